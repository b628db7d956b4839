//! What a child sees of the caller's environment.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The only variables that a child inherits.
///
/// Proxy variables are not among them: kind copies them into the nodes, which would make the outcomes about registry mirrors and
/// the containerd proxy true or false for the wrong reason. `KUBECONFIG` and `KIND_*` are not either: a child must never find the
/// user's clusters by accident.
pub const PASSED_VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "TMPDIR",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Keeps what a child may see, and fixes the language so that texts can be matched.
pub(crate) fn scrub(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let passed = vars.into_iter().filter(|(name, _)| name.to_str().is_some_and(|n| PASSED_VARIABLES.contains(&n)));
    passed.chain([("LANG".into(), "C.UTF-8".into())]).collect()
}

/// Whether the variables name a proxy, in either case of letters.
pub(crate) fn names_a_proxy(vars: impl IntoIterator<Item = (OsString, OsString)>) -> bool {
    vars.into_iter().any(|(name, value)| {
        let name = name.to_string_lossy().to_ascii_lowercase();
        !value.is_empty() && matches!(name.as_str(), "http_proxy" | "https_proxy" | "all_proxy")
    })
}

/// Where the Docker client of the caller keeps its configuration: `DOCKER_CONFIG`, else `~/.docker`.
#[must_use]
pub fn docker_config_dir() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")))
}

/// Makes a Docker configuration directory in `into` that is that of `from` without `proxies`.
///
/// From 0.33 on kind falls back to `proxies` of the Docker client's `config.json` when no proxy variable is set, so scrubbing
/// variables is not enough. The rest must stay: `currentContext` says which engine is meant, and `auths` and the credential
/// helpers are needed for node images in private registries. The contexts, which may hold TLS keys, are linked and not copied.
/// Give the result to a command with [`Command::docker_config`](super::Command::docker_config).
///
/// A `config.json` that does not parse is left out with its contexts kept; the Docker client would reject it anyway.
///
/// # Errors
/// When `into` cannot be written, or `from` exists but cannot be read.
pub fn copy_docker_config(from: &Path, into: &Path) -> io::Result<()> {
    std::fs::create_dir_all(into)?;
    let text = match std::fs::read_to_string(from.join("config.json")) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => "{}".to_owned(),
        Err(e) => return Err(e),
    };
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    match config.as_object_mut() {
        Some(map) => drop(map.remove("proxies")),
        None => config = serde_json::json!({}),
    }
    // It may hold credentials: a new file, readable by the owner only before anything is in it, renamed into place.
    let mut file = tempfile::NamedTempFile::new_in(into)?;
    io::Write::write_all(&mut file, config.to_string().as_bytes())?;
    file.persist(into.join("config.json")).map_err(|e| e.error)?;
    let contexts = from.join("contexts");
    let link = into.join("contexts");
    if contexts.is_dir() && !link.exists() {
        match std::fs::remove_file(&link) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => std::os::unix::fs::symlink(std::path::absolute(contexts)?, link)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn vars(names: &[&str]) -> Vec<(OsString, OsString)> {
        names.iter().map(|n| (OsString::from(n), OsString::from("x"))).collect()
    }

    #[test]
    fn only_the_listed_variables_pass() {
        let given =
            vars(&["PATH", "HTTP_PROXY", "https_proxy", "No_Proxy", "ALL_PROXY", "KUBECONFIG", "KIND_CLUSTER_NAME", "LANG", "HOME"]);
        let seen: Vec<_> = scrub(given).into_iter().map(|(n, v)| format!("{}={}", n.display(), v.display())).collect();
        assert_eq!(seen, ["PATH=x", "HOME=x", "LANG=C.UTF-8"]);
        assert!(names_a_proxy(vars(&["A", "Https_Proxy"])));
        assert!(!names_a_proxy(vars(&["NO_PROXY", "PATH"])));
    }

    #[test]
    fn a_docker_configuration_loses_its_proxies_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (from, into) = (dir.path().join("from"), dir.path().join("into"));
        std::fs::create_dir_all(from.join("contexts/meta/a")).unwrap();
        std::fs::write(from.join("contexts/meta/a/meta.json"), "{}").unwrap();
        let config = r#"{"currentContext":"colima","auths":{"r":{"auth":"eA=="}},"proxies":{"default":{"httpProxy":"http://p"}}}"#;
        std::fs::write(from.join("config.json"), config).unwrap();
        for _ in 0..2 {
            copy_docker_config(&from, &into).unwrap();
        }
        let copy: serde_json::Value = serde_json::from_slice(&std::fs::read(into.join("config.json")).unwrap()).unwrap();
        assert_eq!(copy, serde_json::json!({"currentContext": "colima", "auths": {"r": {"auth": "eA=="}}}));
        assert_eq!(std::fs::metadata(into.join("config.json")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(into.join("contexts/meta/a/meta.json").exists());
    }

    #[test]
    fn no_docker_configuration_gives_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        copy_docker_config(&dir.path().join("none"), &dir.path().join("into")).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("into/config.json")).unwrap(), "{}");
    }
}
