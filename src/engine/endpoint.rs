//! Which container engine the docker client would talk to: `DOCKER_HOST`, then `DOCKER_CONTEXT`, then the current context of
//! `config.json`, then the default socket. kind follows the same order through the docker client, and both must mean the same engine.
//!
//! Source: docker/cli `cli/context/store` (a context's directory is the SHA-256 of its name).

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The socket of a plain Linux installation.
pub const DEFAULT: &str = "unix:///var/run/docker.sock";

/// Where the engine is and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// An URL such as `unix:///var/run/docker.sock`.
    pub url: String,
    /// For messages, for example `DOCKER_HOST`.
    pub source: String,
}

/// Finds the endpoint; `var` looks up an environment variable.
#[must_use]
pub fn find(var: impl Fn(&str) -> Option<String>) -> Endpoint {
    let set = |name: &str| var(name).filter(|v| !v.is_empty());
    if let Some(url) = set("DOCKER_HOST") {
        return Endpoint { url, source: "DOCKER_HOST".into() };
    }
    let config = set("DOCKER_CONFIG").map(PathBuf::from).or_else(|| set("HOME").map(|h| Path::new(&h).join(".docker")));
    let current = || {
        let text = std::fs::read(config.as_ref()?.join("config.json")).ok()?;
        let value: Value = serde_json::from_slice(&text).ok()?;
        Some(value.get("currentContext")?.as_str()?.to_owned())
    };
    let context = set("DOCKER_CONTEXT").or_else(current).filter(|c| c != "default");
    let host = |name: &str| {
        let directory = hex::encode(Sha256::digest(name));
        let meta = config.as_ref()?.join("contexts/meta").join(directory).join("meta.json");
        let value: Value = serde_json::from_slice(&std::fs::read(meta).ok()?).ok()?;
        Some(value.pointer("/Endpoints/docker/Host")?.as_str()?.to_owned())
    };
    match context {
        Some(name) => match host(&name) {
            Some(url) => Endpoint { url, source: format!("docker context {name}") },
            None => Endpoint { url: DEFAULT.into(), source: format!("default socket (docker context {name} is not readable)") },
        },
        None => Endpoint { url: DEFAULT.into(), source: "default socket".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_docker_client() {
        let home = tempfile::tempdir().unwrap();
        let docker = home.path().join(".docker");
        // sha256("colima")
        let name = "colima";
        let hash = hex::encode(Sha256::digest(name));
        let meta = docker.join("contexts/meta").join(hash);
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(meta.join("meta.json"), r#"{"Name":"colima","Endpoints":{"docker":{"Host":"unix:///c.sock"}}}"#).unwrap();
        let home_text = home.path().to_str().unwrap().to_owned();
        let with = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let home_text = home_text.clone();
            find(move |n| if n == "HOME" { Some(home_text.clone()) } else { pairs.iter().find(|(k, _)| k == n).map(|(_, v)| v.clone()) })
        };
        assert_eq!(with(&[]).url, DEFAULT);
        assert_eq!(with(&[("DOCKER_CONTEXT", "colima")]).url, "unix:///c.sock");
        std::fs::write(docker.join("config.json"), r#"{"currentContext":"colima"}"#).unwrap();
        assert_eq!(with(&[]), Endpoint { url: "unix:///c.sock".into(), source: "docker context colima".into() });
        assert_eq!(with(&[("DOCKER_HOST", "tcp://h:2375")]).url, "tcp://h:2375");
        assert_eq!(with(&[("DOCKER_CONTEXT", "gone")]).url, DEFAULT);
    }
}
