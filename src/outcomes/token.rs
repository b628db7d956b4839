//! Tokens of the admin user: a real one, and forged ones that differ from it in one thing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, Header, encode};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use super::{DASHBOARD_NAMESPACE, Environment, Stop};
use crate::cluster::Capability;
use crate::cluster::kind_config::expected_nodes;
use crate::journal::Secret;
use crate::wait::Limit;

/// Where kubeadm keeps the key that signs `ServiceAccount` tokens.
const SIGNING_KEY: &str = "/etc/kubernetes/pki/sa.key";

/// A token and what it says.
#[derive(Debug, Clone)]
pub struct AdminToken {
    /// The token itself.
    pub raw: Secret,
    /// The command that made it printed more than the token.
    pub noise: bool,
    /// Header.
    pub header: Value,
    /// Claims.
    pub claims: Value,
}

impl AdminToken {
    /// `kubectl -n kubernetes-dashboard create token admin-user`, as the guide does it, where that works; otherwise the request that it makes.
    pub(super) async fn create(env: &Environment) -> Result<Self, Stop> {
        let typed = env.missing(&Capability::KUBECTL).await.is_none() && env.missing(&Capability::TYPED_REQUESTS).await.is_none();
        let made_by = if typed { "`kubectl create token` printed" } else { "a TokenRequest gave" };
        let stdout = if typed {
            let command = env.context.kubectl().await?.args(["-n", DASHBOARD_NAMESPACE, "create", "token", &env.spec.dashboard.admin_user]);
            command.secret_output().timeout(env.waiting.limit(Limit::ShortCommand)).ok(&env.context.journal).await?.stdout
        } else {
            request(&env.cluster.client, &env.spec.dashboard.admin_user).await.map_err(Stop::kube("make a token"))?
        };
        let raw = stdout.trim().to_owned();
        env.context.journal.redactor().learn(&raw);
        let parts = parse(&raw).ok_or_else(|| Stop::Failed(format!("{made_by} something that is no JSON Web Token")))?;
        Ok(Self { noise: stdout.lines().count() != 1, raw: Secret::new(raw), header: parts.0, claims: parts.1 })
    }

    /// The same token with its signature damaged.
    #[must_use]
    pub fn tampered(&self) -> Secret {
        let raw = self.raw.expose();
        let at = raw.rfind('.').map_or(0, |dot| dot + 1);
        // The first character of a signature carries six whole bits, so another one is another signature.
        let other = if raw[at..].starts_with('A') { "B" } else { "A" };
        Secret::new(format!("{}{other}{}", &raw[..at], raw.get(at + 1..).unwrap_or_default()))
    }

    /// A token signed with the cluster's own key that says the same but for its times: valid from two hours ago until `expires` seconds from
    /// now, which may be negative. The API server refuses to make tokens that live under ten minutes, and nobody should wait for one.
    pub(super) async fn forged(&self, env: &Environment, expires: i64) -> Result<Secret, Stop> {
        let control_plane = expected_nodes(&env.spec).into_iter().find(|(_, role)| *role == "control-plane").map(|(name, _)| name);
        let node = control_plane.ok_or_else(|| Stop::Failed("there is no control-plane node".to_owned()))?;
        let key = env.cluster.nodes.read_file(&node, SIGNING_KEY).await?;
        env.context.journal.redactor().learn(&key);
        let unusable = |e: jsonwebtoken::errors::Error| Stop::Failed(format!("the signing key on {node} is not usable: {e}"));
        let header: Header = serde_json::from_value(self.header.clone()).map_err(|e| Stop::Failed(format!("the token's header: {e}")))?;
        let key = match header.alg {
            jsonwebtoken::Algorithm::ES256 | jsonwebtoken::Algorithm::ES384 => EncodingKey::from_ec_pem(key.as_bytes()),
            _ => EncodingKey::from_rsa_pem(key.as_bytes()),
        }
        .map_err(unusable)?;
        let now = Timestamp::now().as_second();
        let mut claims = self.claims.clone();
        claims["iat"] = json!(now - 7200);
        claims["nbf"] = json!(now - 7200);
        claims["exp"] = json!(now + expires);
        let token = encode(&header, &claims, &key).map_err(unusable)?;
        env.context.journal.redactor().learn(&token);
        Ok(Secret::new(token))
    }
}

/// A token for the Dashboard's admin user by a `TokenRequest`, which is what `kubectl create token` sends.
///
/// # Errors
/// When the API server refuses it.
pub async fn request(client: &kube::Client, user: &str) -> Result<String, kube::Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), DASHBOARD_NAMESPACE);
    let made = accounts.create_token_request(user, &PostParams::default(), &TokenRequest::default()).await?;
    Ok(made.status.map(|s| s.token).unwrap_or_default())
}

/// A token of an account of the Dashboard's namespace for these audiences, or for the API server's own.
pub(super) async fn request_for(env: &Environment, account: &str, audiences: &[&str]) -> Result<Secret, Stop> {
    let accounts: Api<ServiceAccount> = Api::namespaced(env.cluster.client.clone(), DASHBOARD_NAMESPACE);
    let spec = TokenRequestSpec { audiences: audiences.iter().map(|a| (*a).to_owned()).collect(), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let made = accounts.create_token_request(account, &PostParams::default(), &request).await;
    let token = made.map_err(Stop::kube(format!("make a token of {account}")))?.status.map(|s| s.token).unwrap_or_default();
    env.context.journal.redactor().learn(&token);
    Ok(Secret::new(token))
}

/// Header and claims of a compact JSON Web Token (RFC 7519), without a look at its signature.
fn parse(token: &str) -> Option<(Value, Value)> {
    let mut parts = token.split('.');
    let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || signature.is_empty() {
        return None;
    }
    let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok().filter(Value::is_object);
    Some((read(header)?, read(claims)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_parts_with_objects_are_a_token() {
        let part = |v: Value| URL_SAFE_NO_PAD.encode(v.to_string());
        let good = format!("{}.{}.c2ln", part(json!({"alg": "RS256"})), part(json!({"sub": "x"})));
        assert_eq!(parse(&good).unwrap().1["sub"], "x");
        for bad in ["", "a.b.c", &good.replace(".c2ln", "."), &format!("{good}.x"), &format!("{}.{}.c2ln", part(json!(1)), part(json!({})))]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let token = AdminToken { raw: Secret::new(good.clone()), noise: false, header: json!({}), claims: json!({}) };
        let tampered = token.tampered();
        assert_ne!(tampered.expose(), good);
        assert_eq!(tampered.expose().rsplit_once('.').unwrap().0, good.rsplit_once('.').unwrap().0, "only the signature differs");
        assert_eq!(tampered.expose().len(), good.len());
    }
}
