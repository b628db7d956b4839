//! The names of images and of what they are made of, in the strict grammar of registries.
//!
//! Nothing that parses here can leave a directory or a URL path: no part is empty, begins with a dot, or holds a slash where none belongs.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use ring::digest::SHA256;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The registry of names that name none.
pub const DOCKER_IO: &str = "docker.io";
/// What the registry of names that name none was called once.
const LEGACY_DOCKER_IO: &str = "index.docker.io";
const LATEST: &str = "latest";
/// The longest path of a repository.
const MAX_PATH: usize = 255;
/// The longest name of a host with its port.
const MAX_NAMESPACE: usize = 255 + 6;
const MAX_TAG: usize = 128;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is no digest.
    #[error("`{text}` is no digest: that is sha256: and 64 lower-case hexadecimal digits")]
    Digest {
        /// The text.
        text: String,
    },
    /// It is a digest of another algorithm.
    #[error("`{text}` is a digest by {algorithm}; only sha256 is understood")]
    Algorithm {
        /// The text.
        text: String,
        /// The algorithm.
        algorithm: String,
    },
    /// It is no host of a registry.
    #[error("`{text}` is no registry: that is a host name or address, with a port or without")]
    Namespace {
        /// The text.
        text: String,
    },
    /// It is no path of a repository.
    #[error("`{text}` is no repository: its parts are lower-case letters and digits, with single `.`, `_`, `__` or dashes between them")]
    Path {
        /// The text.
        text: String,
    },
    /// The path is too long.
    #[error("the repository path `{text}` is longer than {MAX_PATH} bytes")]
    TooLong {
        /// The text.
        text: String,
    },
    /// It is no tag.
    #[error("`{text}` is no tag: that is up to {MAX_TAG} letters, digits, `_`, `.` and dashes, and begins with none of the last two")]
    Tag {
        /// The text.
        text: String,
    },
    /// It reads like the id of an image, which names no repository.
    #[error("`{text}` is the id of an image and not its name")]
    Identifier {
        /// The text.
        text: String,
    },
}

/// The digest of a blob: `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    const PREFIX: &str = "sha256:";

    /// The hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0[Self::PREFIX.len()..]
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::hashed(&ring::digest::digest(&SHA256, bytes))
    }

    /// The digest that a hash function ended with, which must be SHA-256.
    pub(super) fn hashed(digest: &ring::digest::Digest) -> Self {
        Self(format!("{}{}", Self::PREFIX, hex::encode(digest)))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once(':') {
            Some(("sha256", hex)) if is_hex(hex) => Ok(Self(text.to_owned())),
            Some((algorithm @ ("sha384" | "sha512" | "blake3"), hex)) if !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Err(NameError::Algorithm { text: text.to_owned(), algorithm: algorithm.to_owned() })
            }
            _ => Err(NameError::Digest { text: text.to_owned() }),
        }
    }
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A repository of a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    /// The registry that its names begin with: `docker.io`, `registry.k8s.io`, `localhost:5000`.
    pub namespace: String,
    /// The path in it: `library/busybox`.
    pub path: String,
}

impl Repository {
    /// A repository of these two parts, which are taken as they are: nothing is added for `docker.io`.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn new(namespace: &str, path: &str) -> Result<Self, NameError> {
        if !is_namespace(namespace) {
            return Err(NameError::Namespace { text: namespace.to_owned() });
        }
        if path.len() > MAX_PATH {
            return Err(NameError::TooLong { text: path.to_owned() });
        }
        if !path.split('/').all(is_component) {
            return Err(NameError::Path { text: path.to_owned() });
        }
        Ok(Self { namespace: namespace.to_owned(), path: path.to_owned() })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.path)
    }
}

impl FromStr for Repository {
    type Err = NameError;

    /// Completes what is left out, as container engines do: `busybox` is `docker.io/library/busybox`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_hex(text) {
            return Err(NameError::Identifier { text: text.to_owned() });
        }
        let (namespace, path) = match text.split_once('/') {
            Some((LEGACY_DOCKER_IO, path)) => (DOCKER_IO, path),
            Some((first, path)) if is_host_like(first) => (first, path),
            _ => (DOCKER_IO, text),
        };
        if namespace == DOCKER_IO && !path.contains('/') {
            // Checked as it was given, so that the error shows what was given.
            Self::new(namespace, path)?;
            return Self::new(namespace, &format!("library/{path}"));
        }
        Self::new(namespace, path)
    }
}

/// Whether the first part of a name is a registry and not the beginning of a path.
pub(super) fn is_host_like(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_namespace(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.parse::<Ipv6Addr>().is_ok() => match rest.strip_prefix(':') {
            Some(port) => (None, Some(port)),
            None if rest.is_empty() => (None, None),
            None => return false,
        },
        Some(_) => return false,
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let label =
        |l: &str| l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !l.is_empty() && !l.starts_with('-') && !l.ends_with('-');
    text.len() <= MAX_NAMESPACE
        && host.is_none_or(|h| h.split('.').all(label))
        && port.is_none_or(|p| !p.is_empty() && p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit()))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    if !(bytes.first().is_some_and(|b| word(*b)) && bytes.last().is_some_and(|b| word(*b))) {
        return false;
    }
    bytes.split(|b| word(*b)).all(|between| matches!(between, b"" | b"." | b"_" | b"__") || between.iter().all(|b| *b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= MAX_TAG && text.bytes().next().is_some_and(word) && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

/// Which manifest of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// The one that a tag points at now.
    Tag(String),
    /// This one.
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl FromStr for Reference {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains(':') {
            text.parse().map(Self::Digest)
        } else if is_tag(text) {
            Ok(Self::Tag(text.to_owned()))
        } else {
            Err(NameError::Tag { text: text.to_owned() })
        }
    }
}

/// The full name of an image: at least one of tag and digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// Its repository.
    pub repository: Repository,
    /// Its tag.
    pub tag: Option<String>,
    /// Its digest.
    pub digest: Option<Digest>,
}

impl ImageName {
    /// What a registry is asked for: the digest, or else the tag.
    #[must_use]
    pub fn reference(&self) -> Reference {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Reference::Digest(digest.clone()),
            (None, Some(tag)) => Reference::Tag(tag.clone()),
            (None, None) => Reference::Tag(LATEST.to_owned()),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    /// Completes what is left out, as container engines do: `busybox` is `docker.io/library/busybox:latest`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon before the last slash belongs to a port.
        let (name, tag) = match rest.rfind(':') {
            Some(colon) if !rest[colon..].contains('/') => (&rest[..colon], Some(&rest[colon + 1..])),
            _ => (rest, None),
        };
        if let Some(tag) = tag.filter(|t| !is_tag(t)) {
            return Err(NameError::Tag { text: tag.to_owned() });
        }
        let repository = name.parse()?;
        let tag = tag.map(ToOwned::to_owned).or_else(|| digest.is_none().then(|| LATEST.to_owned()));
        Ok(Self { repository, tag, digest })
    }
}

macro_rules! serde_as_text {
    ($($name:ty),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

serde_as_text!(Digest, Repository, Reference, ImageName);

#[cfg(test)]
#[path = "name_tests.rs"]
mod tests;
