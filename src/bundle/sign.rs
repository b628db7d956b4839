//! Signatures of bundles: ed25519, of a text that holds the digest of `bundle.json`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::blobs::{BlobError, persist};
use super::record::{BUNDLE_JSON, BUNDLE_SIG, Record, RecordError};
use crate::mirror::name::Digest;

/// What stands before an ed25519 key in a `SubjectPublicKeyInfo`.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const MAX_KEY_BYTES: u64 = 16 * 1024;
const ALGORITHM: &str = "ed25519";

/// Errors of keys and signatures.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The signature cannot be put in its place.
    #[error(transparent)]
    Place(#[from] BlobError),
    /// The system gives no random numbers.
    #[error("no key can be made: the system gives no random numbers")]
    Random,
    /// The file holds no key of this kind.
    #[error("{what} is no {kind} key: {why}")]
    Key {
        /// The file, or what else the text is.
        what: String,
        /// Private or public.
        kind: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What is to be signed is no bundle.
    #[error("{path} is no bundle")]
    Record {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: RecordError,
    },
    /// `bundle.sig` is not written as meshproof writes it.
    #[error("bundle.sig cannot be read: {0}")]
    Form(&'static str),
    /// Somebody else signed it.
    #[error("the bundle is signed with the key {found}, and not with {wanted}")]
    OtherKey {
        /// The key that was given.
        wanted: String,
        /// The key that it was signed with.
        found: String,
    },
    /// The signature is for something else.
    #[error("the signature does not belong to this bundle.json")]
    Wrong,
    /// There is none.
    #[error("the bundle is not signed")]
    Unsigned,
}

/// A key that bundles are signed with.
pub struct PrivateKey(Ed25519KeyPair);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({})", self.public().id())
    }
}

impl PrivateKey {
    /// Reads a PKCS#8 key in PEM, as [`keygen`] and `openssl genpkey -algorithm ed25519` write it.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(text: &str, what: &str) -> Result<Self, SignError> {
        let bad = |why| SignError::Key { what: what.to_owned(), kind: "private", why };
        let der = from_pem(text, "PRIVATE KEY").map_err(bad)?;
        // OpenSSL leaves the public key out.
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Self).map_err(|_| bad("it is not ed25519 in PKCS#8"))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or holds no key.
    pub fn read(path: &Path) -> Result<Self, SignError> {
        Self::from_pem(&text(path)?, &path.display().to_string())
    }

    /// The other half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }
}

/// A key that signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads a key in PEM.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(text: &str, what: &str) -> Result<Self, SignError> {
        let bad = |why| SignError::Key { what: what.to_owned(), kind: "public", why };
        let der = from_pem(text, "PUBLIC KEY").map_err(bad)?;
        let key = der.strip_prefix(&SPKI).and_then(|k| k.try_into().ok());
        key.map(Self).ok_or_else(|| bad("it is not ed25519"))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or holds no key.
    pub fn read(path: &Path) -> Result<Self, SignError> {
        Self::from_pem(&text(path)?, &path.display().to_string())
    }

    /// The key in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        to_pem(&[&SPKI[..], &self.0].concat(), "PUBLIC KEY")
    }

    /// What people compare: the beginning of the digest of the key.
    #[must_use]
    pub fn id(&self) -> String {
        Digest::of(&self.0).hex()[..32].to_owned()
    }
}

fn text(path: &Path) -> Result<String, SignError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|f| f.take(MAX_KEY_BYTES).read_to_string(&mut text));
    read.map(|_| text).map_err(|source| SignError::Read { path: path.to_owned(), source })
}

fn from_pem(text: &str, label: &str) -> Result<Vec<u8>, &'static str> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let body = text.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end)).ok_or("there is no such PEM block in it")?.0;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).map_err(|_| "its base64 is damaged")
}

fn to_pem(der: &[u8], label: &str) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|b| char::from(*b)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// Makes a key and writes both halves. Only the owner can read the private one; files that are there are never written over.
///
/// # Errors
/// When they cannot be written.
pub fn keygen(private: &Path, public: &Path) -> Result<PublicKey, SignError> {
    let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| SignError::Random)?;
    let pem = to_pem(der.as_ref(), "PRIVATE KEY");
    let key = PrivateKey::from_pem(&pem, "the new key")?.public();
    let write = |path: &Path, mode: u32, text: &str| {
        let file = File::options().write(true).create_new(true).mode(mode).open(path);
        let done = file.and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all()));
        done.map_err(|source| SignError::Write { path: path.to_owned(), source })
    };
    write(private, 0o600, &pem)?;
    write(public, 0o644, &key.to_pem())?;
    Ok(key)
}

/// What is signed. Whoever signs other texts with the same key does not sign a bundle by accident.
fn message(record: &Digest) -> String {
    format!("meshproof bundle {record}")
}

/// The text of `bundle.sig` for a `bundle.json` of this digest.
fn signature(record: &Digest, key: &PrivateKey) -> String {
    let signature = key.0.sign(message(record).as_bytes());
    render(&key.public(), signature.as_ref())
}

fn render(key: &PublicKey, signature: &[u8]) -> String {
    let (id, public, signature) = (key.id(), STANDARD.encode(key.0), STANDARD.encode(signature));
    format!("algorithm: {ALGORITHM}\nkey: {id}\npublic: {public}\nsignature: {signature}\n")
}

/// Signs the bundle in a directory.
///
/// # Errors
/// When there is none, or the signature cannot be written.
pub fn sign(dir: &Path, key: &PrivateKey) -> Result<(), SignError> {
    let path = dir.join(BUNDLE_JSON);
    let bytes = std::fs::read(&path).map_err(|source| SignError::Read { path, source })?;
    // What cannot be read again should not be vouched for.
    Record::parse(&bytes).map_err(|source| SignError::Record { path: dir.to_owned(), source })?;
    let path = dir.join(BUNDLE_SIG);
    let write = |source| SignError::Write { path: path.clone(), source };
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(write)?;
    file.write_all(signature(&Digest::of(&bytes), key).as_bytes()).map_err(write)?;
    Ok(persist(file.into_temp_path(), &path, 0o644)?)
}

/// Checks the text of `bundle.sig` against the digest of `bundle.json`, and tells the key that it was made with. Without a key that only shows
/// that nothing is damaged: anybody can sign with a key of their own.
///
/// # Errors
/// When the signature is wrong, or was made with another key than the given.
pub fn check(text: &[u8], record: &Digest, wanted: Option<&PublicKey>) -> Result<PublicKey, SignError> {
    let text = std::str::from_utf8(text).map_err(|_| SignError::Form("it is not UTF-8"))?;
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default();
    if field("algorithm") != ALGORITHM {
        return Err(SignError::Form("its algorithm is not ed25519"));
    }
    let key = STANDARD.decode(field("public")).ok().and_then(|k| k.try_into().ok()).map(PublicKey);
    let key = key.ok_or(SignError::Form("it holds no public key"))?;
    let signature = STANDARD.decode(field("signature")).map_err(|_| SignError::Form("it holds no signature"))?;
    if render(&key, &signature) != text {
        return Err(SignError::Form("it was changed after it was written"));
    }
    if let Some(wanted) = wanted.filter(|w| **w != key) {
        return Err(SignError::OtherKey { wanted: wanted.id(), found: key.id() });
    }
    let verified = UnparsedPublicKey::new(&ED25519, key.0).verify(message(record).as_bytes(), &signature);
    verified.map(|()| key).map_err(|_| SignError::Wrong)
}

#[cfg(test)]
#[path = "sign_tests.rs"]
mod tests;
