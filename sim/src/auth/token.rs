//! Tokens of `ServiceAccounts` as the API server signs and checks them (Kubernetes `pkg/serviceaccount`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::identity::{CREDENTIAL_ID, User, service_account_name};
use super::rule::quoted;
use crate::failure::Cause;

#[cfg(test)]
mod tests;

/// The issuer of a kubeadm cluster, which is also the audience that the API server itself answers to.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Where the discovery document is served.
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
/// Where the public keys are served.
pub const JWKS_PATH: &str = "/openid/v1/jwks";
/// `spec.expirationSeconds` of a `TokenRequest` that does not say.
pub const DEFAULT_LIFETIME: i64 = 60 * 60;
/// What kubelets ask for; such tokens of pods live on for `EXTENDED_LIFETIME` (`WarnOnlyBoundTokenExpirationSeconds`).
pub const WARN_ONLY_LIFETIME: i64 = 60 * 60 + 7;
/// A year (`ExpirationExtensionSeconds`).
pub const EXTENDED_LIFETIME: i64 = 365 * 24 * 60 * 60;

/// Differences between clocks that are not minded (go-jose `jwt.DefaultLeeway`).
const LEEWAY: i64 = 60;

/// What a token is bound to: an object that must still exist with this UID.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectRef {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

impl ObjectRef {
    /// An object by its name and UID.
    #[must_use]
    pub fn new(name: &str, uid: &str) -> Self {
        Self { name: name.to_owned(), uid: uid.to_owned() }
    }

    fn read(claim: &Value) -> Option<Self> {
        let text = |field: &str| claim[field].as_str().unwrap_or_default().to_owned();
        claim.is_object().then(|| Self { name: text("name"), uid: text("uid") })
    }

    fn claim(&self) -> Value {
        json!({"name": self.name, "uid": self.uid})
    }
}

/// What a token is to say.
#[derive(Debug, Clone, Default)]
pub struct Grant {
    /// Namespace of the `ServiceAccount`.
    pub namespace: String,
    /// The `ServiceAccount`.
    pub account: ObjectRef,
    /// Pod that it is bound to.
    pub pod: Option<ObjectRef>,
    /// Secret that it is bound to.
    pub secret: Option<ObjectRef>,
    /// Node that it is bound to, or that the pod runs on.
    pub node: Option<ObjectRef>,
    /// Who it is for; the API server itself if empty.
    pub audiences: Vec<String>,
    /// Seconds since 1970.
    pub issued_at: i64,
    /// Seconds that it is valid for.
    pub lifetime: i64,
    /// Seconds after which its use is noted, though allowed; see [`lifetime`].
    pub warn_after: Option<i64>,
}

/// A token that is good, but for the existence of the objects that it names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Namespace of the `ServiceAccount`.
    pub namespace: String,
    /// Name and UID of the `ServiceAccount`.
    pub account: ObjectRef,
    /// Pod that it is bound to.
    pub pod: Option<ObjectRef>,
    /// Secret that it is bound to.
    pub secret: Option<ObjectRef>,
    /// Node that it is bound to, or that the pod runs on.
    pub node: Option<ObjectRef>,
    /// Those of the audiences asked for that it is for.
    pub audiences: Vec<String>,
    /// Seconds since 1970; `None` if it never expires.
    pub expires_at: Option<i64>,
    /// `jti`.
    pub id: String,
}

impl Verified {
    /// The user that it makes (`ServiceAccountInfo.UserInfo`).
    #[must_use]
    pub fn user(&self) -> User {
        let mut user = User::service_account(&self.namespace, &self.account.name, &self.account.uid);
        if !self.id.is_empty() {
            user.extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={}", self.id)]);
        }
        for (kind, object) in [("pod", &self.pod), ("node", &self.node)] {
            if let Some(object) = object {
                user.extra.insert(format!("authentication.kubernetes.io/{kind}-name"), vec![object.name.clone()]);
                user.extra.insert(format!("authentication.kubernetes.io/{kind}-uid"), vec![object.uid.clone()]);
            }
        }
        user
    }
}

/// Why a token is no good, as a `TokenReview` has it in `status.error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not one of ours at all: no such format, algorithm or issuer.
    #[error("invalid bearer token")]
    Invalid,
    /// The header names a key that there is not.
    #[error("[invalid bearer token, invalid signature, no keys found]")]
    NoKey,
    /// The signature does not fit.
    #[error("[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]")]
    Signature,
    /// It is for somebody else.
    #[error("[invalid bearer token, token audiences {} is invalid for the target audiences {}]", quoted(.token), quoted(.wanted))]
    Audience {
        /// Audiences of the token.
        token: Vec<String>,
        /// Audiences that it should be for.
        wanted: Vec<String>,
    },
    /// Too old.
    #[error("[invalid bearer token, service account token has expired]")]
    Expired,
    /// Too young.
    #[error("[invalid bearer token, service account token is not valid yet]")]
    NotYetValid,
    /// Issued in the future.
    #[error("[invalid bearer token, service account token claims could not be validated due to unexpected validation error]")]
    Claims,
    /// For whoever looks up the objects that it names: what is wrong with them.
    #[error("[invalid bearer token, {0}]")]
    Revoked(String),
}

/// Signs tokens and checks them.
#[derive(Clone)]
pub struct Signer {
    signing: EncodingKey,
    verifying: DecodingKey,
    key_id: String,
    /// Coordinates of the public key.
    x: String,
    y: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Signer {
    /// From a P-256 key in PKCS#8, or `None` if it is none.
    #[must_use]
    pub fn new(key_pem: &str) -> Option<Self> {
        let pair = KeyPair::from_pem(key_pem).ok()?;
        // An uncompressed point: a byte that says so and the two coordinates.
        let point = pair.public_key_raw().strip_prefix(&[4]).filter(|point| point.len() == 64)?;
        let (x, y) = point.split_at(32);
        Some(Self {
            signing: EncodingKey::from_ec_pem(key_pem.as_bytes()).ok()?,
            verifying: DecodingKey::from_ec_pem(pair.public_key_pem().as_bytes()).ok()?,
            key_id: BASE64.encode(Sha256::digest(pair.subject_public_key_info())),
            x: BASE64.encode(x),
            y: BASE64.encode(y),
        })
    }

    /// `kid`: the hash of the public key (`keyIDFromPublicKey`).
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// A signed token.
    #[must_use]
    pub fn issue(&self, grant: &Grant) -> String {
        self.sign(&json!({"alg": "ES256", "kid": self.key_id}), &claims(grant))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature =
            crypto::sign(message.as_bytes(), &self.signing, Algorithm::ES256).expect("the key was read as one for this algorithm");
        format!("{message}.{signature}")
    }

    /// Checks a token for any of some audiences (none means the API server itself) at a time in seconds since 1970. In upstream's order:
    /// issuer, signature, audiences, times.
    ///
    /// # Errors
    ///
    /// What a `TokenReview` says. That the objects in it still exist is for the caller to check.
    pub fn verify(&self, token: &str, audiences: &[String], now: i64) -> Result<Verified, TokenError> {
        let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { return Err(TokenError::Invalid) };
        let (header, claims) = (read(header)?, read(payload)?);
        if claims["iss"] != ISSUER || header["alg"] != "ES256" {
            return Err(TokenError::Invalid);
        }
        if header["kid"].as_str().is_some_and(|kid| !kid.is_empty() && kid != self.key_id) {
            return Err(TokenError::NoKey);
        }
        let signed = &token[..token.len() - signature.len() - 1];
        if !crypto::verify(signature, signed.as_bytes(), &self.verifying, Algorithm::ES256).unwrap_or(false) {
            return Err(TokenError::Signature);
        }
        let audiences = common_audiences(&claims, audiences)?;
        check_times(&claims, now)?;
        let own = &claims["kubernetes.io"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Verified {
            namespace: text(&own["namespace"]),
            account: ObjectRef::read(&own["serviceaccount"]).unwrap_or_default(),
            pod: ObjectRef::read(&own["pod"]),
            secret: ObjectRef::read(&own["secret"]),
            node: ObjectRef::read(&own["node"]),
            audiences,
            expires_at: claims["exp"].as_i64(),
            id: text(&claims["jti"]),
        })
    }

    /// The discovery document; `server` is the host and port that the API server is reached at.
    #[must_use]
    pub fn discovery(&self, server: &str) -> Value {
        json!({
            "issuer": ISSUER,
            "jwks_uri": format!("https://{server}{JWKS_PATH}"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// The public keys.
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({"keys": [{"use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256", "x": self.x, "y": self.y}]})
    }
}

fn read(part: &str) -> Result<Value, TokenError> {
    let bytes = BASE64.decode(part).map_err(|_| TokenError::Invalid)?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object).ok_or(TokenError::Invalid)
}

fn own_audience() -> Vec<String> {
    vec![ISSUER.to_owned()]
}

/// Claims in the alphabetical order that go-jose leaves them in.
fn claims(grant: &Grant) -> Value {
    let audiences = if grant.audiences.is_empty() { own_audience() } else { grant.audiences.clone() };
    let mut own = json!({"namespace": grant.namespace, "serviceaccount": grant.account.claim()});
    for (kind, object) in [("node", &grant.node), ("pod", &grant.pod), ("secret", &grant.secret)] {
        if let Some(object) = object {
            own[kind] = object.claim();
        }
    }
    if let Some(seconds) = grant.warn_after {
        own["warnafter"] = json!(grant.issued_at + seconds);
    }
    json!({
        "aud": audiences,
        "exp": grant.issued_at + grant.lifetime,
        "iat": grant.issued_at,
        "iss": ISSUER,
        "jti": uuid(),
        "kubernetes.io": own,
        "nbf": grant.issued_at,
        "sub": service_account_name(&grant.namespace, &grant.account.name),
    })
}

/// A random UUID (version 4).
fn uuid() -> String {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

fn common_audiences(claims: &Value, wanted: &[String]) -> Result<Vec<String>, TokenError> {
    // `aud` may be a single string (RFC 7519). A token without one is for the API server.
    let mut token: Vec<String> = match &claims["aud"] {
        Value::String(one) => vec![one.clone()],
        many => many.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
    };
    if token.is_empty() {
        token = own_audience();
    }
    let wanted = if wanted.is_empty() { own_audience() } else { wanted.to_vec() };
    let common: Vec<String> = token.iter().filter(|a| wanted.contains(a)).cloned().collect();
    if common.is_empty() { Err(TokenError::Audience { token, wanted }) } else { Ok(common) }
}

/// go-jose `Claims.Validate`.
fn check_times(claims: &Value, now: i64) -> Result<(), TokenError> {
    // A time that is not a whole number must not pass for none.
    if ["nbf", "exp", "iat"].iter().any(|name| !claims[name].is_null() && !claims[name].is_i64()) {
        return Err(TokenError::Claims);
    }
    let time = |name: &str| claims[name].as_i64();
    if time("nbf").is_some_and(|t| now.saturating_add(LEEWAY) < t) {
        return Err(TokenError::NotYetValid);
    }
    if time("exp").is_some_and(|t| now.saturating_sub(LEEWAY) > t) {
        return Err(TokenError::Expired);
    }
    if time("iat").is_some_and(|t| now.saturating_add(LEEWAY) < t) {
        return Err(TokenError::Claims);
    }
    Ok(())
}

/// Checks `spec.expirationSeconds` of a `TokenRequest` (`pkg/apis/authentication/validation`).
///
/// # Errors
///
/// The cause of the 422.
pub fn check_lifetime(seconds: i64) -> Result<(), Cause> {
    let why = if seconds < 10 * 60 {
        "may not specify a duration less than 10 minutes"
    } else if seconds > 1 << 32 {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(());
    };
    let message = format!("Invalid value: {seconds}: {why}");
    Err(Cause { reason: "FieldValueInvalid", message, field: "spec.expirationSeconds".to_owned() })
}

/// Lifetime and time of the warning for a checked request: tokens that kubelets ask for live longer than they say
/// (`pkg/registry/core/serviceaccount/storage/token.go`). `status.expirationTimestamp` still tells what was asked for.
#[must_use]
pub fn lifetime(requested: i64, audiences: &[String], bound_to_pod: bool) -> (i64, Option<i64>) {
    let for_api_server = audiences.is_empty() || audiences == own_audience();
    if bound_to_pod && for_api_server && requested == WARN_ONLY_LIFETIME { (EXTENDED_LIFETIME, Some(requested)) } else { (requested, None) }
}
