//! Names and passwords for registries.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::mirror::name::DOCKER_IO;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// How to log in at one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// With name and password.
    Password {
        /// The name.
        username: String,
        /// The password, or a token that is used as one.
        password: Secret,
    },
    /// With a token that is exchanged for others.
    IdentityToken(Secret),
}

/// How to log in, by the host of a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials(BTreeMap<String, Login>);

/// Why a docker client's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It is not what the docker client writes.
    #[error("the configuration of the docker client cannot be understood at line {line}, column {column}")]
    Json {
        /// The line. The parser's own words could show a password.
        line: usize,
        /// The column.
        column: usize,
    },
    /// What it says for a registry is no name and password.
    #[error("the configuration of the docker client has no name and password for {host}")]
    Auth {
        /// The registry.
        host: String,
    },
}

/// What was left out of a docker client's configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsWarning {
    /// A program knows the credentials, and it is not run.
    #[error("the docker client has its credentials for {host} from the program docker-credential-{helper}, which is not run")]
    Helper {
        /// The registry, or all of them.
        host: String,
        /// The program, as the configuration calls it.
        helper: String,
    },
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: BTreeMap<String, DockerAuth>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DockerAuth {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
}

impl Credentials {
    /// Sets the login for a registry. All names of `docker.io` are the same.
    pub fn insert(&mut self, host: &str, login: Login) {
        self.0.insert(canonical(host), login);
    }

    /// The login at a host with its port, if one is known.
    pub(super) fn get(&self, host: &str) -> Option<&Login> {
        self.0.get(&canonical(host))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes them from the text of the docker client's `config.json`. Credential helpers are not run; each is a warning.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn from_docker_config(text: &str) -> Result<(Self, Vec<CredentialsWarning>), CredentialsError> {
        let config: DockerConfig = serde_json::from_str(text).map_err(|e| CredentialsError::Json { line: e.line(), column: e.column() })?;
        let mut credentials = Self::default();
        for (host, auth) in config.auths {
            let login = if let Some(token) = auth.identitytoken.filter(|t| !t.0.is_empty()) {
                Login::IdentityToken(token)
            } else if let Some(pair) = auth.auth.filter(|a| !a.0.is_empty()) {
                let decoded = STANDARD.decode(pair.0.trim()).ok().and_then(|b| String::from_utf8(b).ok());
                let pair = decoded.as_deref().and_then(|d| d.split_once(':'));
                let Some((username, password)) = pair else { return Err(CredentialsError::Auth { host }) };
                // Some clients end the password with a NUL.
                Login::Password { username: username.to_owned(), password: Secret::new(password.trim_end_matches('\0')) }
            } else if let (Some(username), Some(password)) = (auth.username, auth.password) {
                Login::Password { username, password }
            } else {
                // With a credential store the entry is there and empty.
                continue;
            };
            credentials.insert(&host, login);
        }
        let store = config.creds_store.filter(|s| !s.is_empty()).map(|helper| ("all registries".to_owned(), helper));
        let helpers = store.into_iter().chain(config.cred_helpers);
        Ok((credentials, helpers.map(|(host, helper)| CredentialsWarning::Helper { host, helper }).collect()))
    }
}

/// `https://index.docker.io/v1/` is how the docker client calls `docker.io`.
fn canonical(host: &str) -> String {
    let host = host.split_once("://").map_or(host, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default().to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_IO.to_owned(),
        _ => host.strip_suffix(":443").unwrap_or(&host).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_config_gives_logins_and_warnings() {
        let text = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "bWU6c2VjOnJldA=="},
            "quay.io": {"auth": "", "identitytoken": "tok"},
            "ghcr.io": {},
            "REG.example:443": {"username": "u", "password": "p"}},
            "credsStore": "desktop", "credHelpers": {"gcr.io": "gcloud"}, "psFormat": "x"}"#;
        let (credentials, warnings) = Credentials::from_docker_config(text).unwrap();
        let me = Login::Password { username: "me".into(), password: Secret::new("sec:ret") };
        assert_eq!(credentials.get("registry-1.docker.io"), Some(&me));
        assert_eq!(credentials.get("docker.io"), Some(&me));
        assert_eq!(credentials.get("quay.io"), Some(&Login::IdentityToken(Secret::new("tok"))));
        assert!(credentials.get("ghcr.io").is_none() && credentials.get("reg.example").is_some());
        let shown: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert!(shown[0].contains("docker-credential-desktop") && shown[1].contains("gcr.io"), "{shown:?}");
        assert!(!format!("{credentials:?}").contains("ret"));
    }

    #[test]
    fn what_is_no_docker_config_is_refused_without_showing_it() {
        let error = Credentials::from_docker_config(r#"{"auths": "secret"}"#).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("secret"));
        let error = Credentials::from_docker_config(r#"{"auths":{"a.b":{"auth":"bm9jb2xvbg=="}}}"#).unwrap_err();
        assert!(error.to_string().ends_with("for a.b"));
        assert!(Credentials::from_docker_config("{}").unwrap().0.is_empty());
    }
}
