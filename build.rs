//! Tells a release build which commit it is of, for the bill of environment in its reports. Other builds are not told: they would be made anew
//! after every commit.

#![expect(clippy::disallowed_methods, reason = "no journal is there yet, and git is awaited")]

use std::path::Path;
use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // In a package from a registry there is no repository, or that of somebody else around it.
    if std::env::var("PROFILE").as_deref() != Ok("release") || !Path::new(".git").exists() {
        return;
    }
    // The log of HEAD is written to by whatever moves it.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    if let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) {
        let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
        println!("cargo::rustc-env=MESHPROOF_COMMIT={commit}{}", if changed { ".changed" } else { "" });
    }
}
