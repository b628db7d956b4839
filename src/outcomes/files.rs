//! What the session's own files show and to whom. They hold an administrator's key, so this belongs to what is proved.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::{Checked, Environment, Look, Outcome, Stop};
use crate::session::UNFINISHED;

pub(super) fn outcomes() -> Vec<Outcome> {
    vec![
        Outcome::hardening("cluster.files.private", private).needs(&["cluster"]),
        Outcome::hardening("cluster.files.no-secret", no_secret).needs(&["cluster"]),
    ]
}

/// Those whose work is to hold a key or a password, by their first part below the session's directory. Nodes and containers have `certs.d` and
/// `recording` mounted, whoever they run as.
const KEY_HOLDERS: [&str; 4] = ["kubeconfig", "kubeconfig.kept", "docker-config", "agent.json"];
const MOUNTED: [&str; 2] = ["certs.d", "recording"];
/// Files of clients that have no other place: caches of what the API server says of itself.
const CLIENTS: &str = "home";

/// Compact JSON Web Tokens (RFC 7519) with a signature, and private keys in PEM.
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----|client-key-data: *[A-Za-z0-9+/]{40,}")
        .expect("a valid pattern")
});

/// Every file below a directory, links not followed. Others work here as well: what is gone by now was not to stay, and what is being written will
/// be looked at under its own name.
fn files(dir: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let Some(entries) = unless_gone(std::fs::read_dir(dir))? else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let Some(kind) = unless_gone(entry.file_type())? else { continue };
        if kind.is_dir() {
            files(&entry.path(), into)?;
        } else if kind.is_file() && !entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            into.push(entry.path());
        }
    }
    Ok(())
}

fn unless_gone<T>(found: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match found {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Each with the first part of its path below the session's directory.
fn session_files(env: &Environment) -> Result<Vec<(PathBuf, String)>, Stop> {
    let dir = env.context.session.dir();
    let mut all = Vec::new();
    files(dir, &mut all).map_err(|e| Stop::Failed(format!("the files of {} cannot be listed: {e}", dir.display())))?;
    all.sort();
    let first = |path: &PathBuf| {
        let part = path.strip_prefix(dir).ok().and_then(|rest| rest.components().next());
        part.map(|part| part.as_os_str().to_string_lossy().into_owned()).unwrap_or_default()
    };
    Ok(all.into_iter().map(|path| (path.clone(), first(&path))).collect())
}

/// Whether a mode gives nothing of this to anybody.
fn kept_from(mode: u32, what: u32) -> bool {
    mode & what == 0
}

fn private<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let dir = env.context.session.dir();
        let mode = |path: &Path| path.metadata().map(|m| m.permissions().mode() & 0o777);
        let found = mode(dir).map_err(|e| Stop::Failed(format!("{}: {e}", dir.display())))?;
        look.see("directory", format!("{found:04o}"));
        // Somebody may have made it, and its mode with it; what counts is in the files.
        let mut looked = 0;
        for (path, part) in session_files(env)? {
            if MOUNTED.contains(&part.as_str()) || part == CLIENTS {
                continue;
            }
            // One that is gone since it was listed was somebody's unfinished one.
            let Ok(found) = mode(&path) else { continue };
            looked += 1;
            let name = path.strip_prefix(dir).unwrap_or(&path).display();
            // A key is nobody else's to read, and nothing is anybody else's to write.
            let refused = if KEY_HOLDERS.contains(&part.as_str()) || part == "state.json" { 0o077 } else { 0o022 };
            look.require(kept_from(found, refused), || format!("others may use {name}: its mode is {found:04o}"));
        }
        look.see("files", looked);
        Ok(())
    })
}

fn no_secret<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        // The token that everybody here works with, whatever it looks like. It may be that there is none.
        let token = env.admin_token().await.ok().map(|token| token.raw.expose().to_owned());
        let dir = env.context.session.dir();
        let (mut looked, mut bytes) = (0, 0);
        for (path, part) in session_files(env)? {
            if KEY_HOLDERS.contains(&part.as_str()) {
                continue;
            }
            let Ok(content) = std::fs::read(&path) else { continue };
            (looked, bytes) = (looked + 1, bytes + content.len());
            let text = String::from_utf8_lossy(&content);
            let name = path.strip_prefix(dir).unwrap_or(&path).display().to_string();
            look.require(token.as_ref().is_none_or(|token| !text.contains(token.as_str())), || {
                format!("{name} holds the admin user's token")
            });
            look.require(!SECRET.is_match(&text), || format!("{name} holds a token or a private key"));
        }
        look.see("files", looked);
        look.see("bytes", bytes);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_found_but_links_and_what_is_being_written() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        for name in ["one", "a/two", "a/b/three", &format!("a/{UNFINISHED}four")] {
            std::fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink(at("one"), at("link")).unwrap();
        std::os::unix::fs::symlink(dir.path(), at("a/loop")).unwrap();
        let mut found = Vec::new();
        files(dir.path(), &mut found).unwrap();
        found.sort();
        assert_eq!(found, ["a/b/three", "a/two", "one"].map(at));
        // What is gone was not to stay; what cannot be listed is told.
        files(&at("gone"), &mut found).unwrap();
        assert_eq!(files(&at("one"), &mut found).unwrap_err().kind(), std::io::ErrorKind::NotADirectory);
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn tokens_and_keys_are_known_by_their_form() {
        let token = format!("eyJ{0}.eyJ{0}.{0}", "a".repeat(30));
        for secret in [format!("Bearer {token}\""), "-----BEGIN RSA PRIVATE KEY-----".to_owned(), "-----BEGIN PRIVATE KEY-----".to_owned()]
        {
            assert!(SECRET.is_match(&secret), "{secret}");
        }
        for harmless in ["eyJhbGci", "-----BEGIN CERTIFICATE-----", "eyJhbGciOiJSUzI1NiJ9.[redacted]", "a.b.c"] {
            assert!(!SECRET.is_match(harmless), "{harmless}");
        }
    }
}
