//! Sessions: the visitor's token, encrypted, in a string that the visitor carries. A JWE in the JSON serialisation (RFC 7516, 7.2.2) with the
//! shared key itself (`dir`), where the real one wraps a content key with RSA. Source: `auth/jwe/manager.go`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::{SignedDuration, Timestamp};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

use super::keys::Key;
use crate::journal::Secret;

/// `--token-ttl`, in seconds.
const LIFETIME: i64 = 900;
const TAG: usize = 16;

/// Why a session is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Expired {
    /// Its time is over.
    #[error("MSG_TOKEN_EXPIRED_ERROR")]
    Time,
    /// It was not made with the key that is there now, or is no session at all.
    #[error("MSG_ENCRYPTION_KEY_CHANGED")]
    Key,
}

/// Makes and reads sessions.
pub(super) struct Sessions(Key);

impl Sessions {
    pub(super) fn new(key: Key) -> Self {
        Self(key)
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.0.0).ok().map(LessSafeKey::new)
    }

    /// A session that speaks with a token.
    pub(super) fn seal(&self, token: &Secret, now: Timestamp) -> Option<Secret> {
        let protected = BASE64.encode(json!({"alg": "dir", "enc": "A256GCM"}).to_string());
        let expires = now + SignedDuration::from_secs(LIFETIME);
        let aad = BASE64.encode(json!({"iat": now.to_string(), "exp": expires.to_string()}).to_string());
        let mut iv = [0; 12];
        SystemRandom::new().fill(&mut iv).ok()?;
        let mut text = token.expose().as_bytes().to_vec();
        let bound = Aad::from(format!("{protected}.{aad}"));
        let tag = self.cipher()?.seal_in_place_separate_tag(Nonce::assume_unique_for_key(iv), bound, &mut text).ok()?;
        let jwe = json!({
            "protected": protected, "aad": aad, "iv": BASE64.encode(iv), "ciphertext": BASE64.encode(text), "tag": BASE64.encode(tag),
        });
        Some(Secret::new(jwe.to_string()))
    }

    /// The token of a session.
    pub(super) fn open(&self, session: &str, now: Timestamp) -> Result<Secret, Expired> {
        let (token, expires) = self.read(session).ok_or(Expired::Key)?;
        if now < expires { Ok(token) } else { Err(Expired::Time) }
    }

    fn read(&self, session: &str) -> Option<(Secret, Timestamp)> {
        let jwe: Value = serde_json::from_str(session).ok()?;
        let part = |name: &str| BASE64.decode(jwe[name].as_str()?).ok();
        let bound = Aad::from(format!("{}.{}", jwe["protected"].as_str()?, jwe["aad"].as_str()?));
        let iv: [u8; 12] = part("iv")?.try_into().ok()?;
        let mut sealed = part("ciphertext")?;
        let tag = part("tag").filter(|t| t.len() == TAG)?;
        sealed.extend(tag);
        let text = self.cipher()?.open_in_place(Nonce::assume_unique_for_key(iv), bound, &mut sealed).ok()?;
        let token = Secret::new(std::str::from_utf8(text).ok()?);
        let times: Value = serde_json::from_slice(&part("aad")?).ok()?;
        Some((token, times["exp"].as_str()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_with_its_time_and_its_key() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let sessions = Sessions::new(Key([7; 32]));
        let session = sessions.seal(&Secret::new("the-token"), now).unwrap();
        assert!(!session.expose().contains("the-token"));
        let later = |s: i64| now + SignedDuration::from_secs(s);
        assert_eq!(sessions.open(session.expose(), later(899)).unwrap().expose(), "the-token");
        assert_eq!(sessions.open(session.expose(), later(900)).unwrap_err(), Expired::Time);
        assert_eq!(Sessions::new(Key([8; 32])).open(session.expose(), now).unwrap_err(), Expired::Key);
        let mut longer: Value = serde_json::from_str(session.expose()).unwrap();
        longer["aad"] = json!(BASE64.encode(json!({"exp": "2036-01-01T00:00:00Z"}).to_string()));
        assert_eq!(sessions.open(&longer.to_string(), now).unwrap_err(), Expired::Key, "the time is part of what is sealed");
        assert_eq!(sessions.open("no json", now).unwrap_err(), Expired::Key);
    }
}
