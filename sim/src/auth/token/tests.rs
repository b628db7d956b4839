use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};
use rstest::rstest;

use super::*;

const NOW: i64 = 1_700_000_000;

fn key() -> String {
    KeyPair::generate().unwrap().serialize_pem()
}

fn signer() -> Signer {
    Signer::new(&key()).unwrap()
}

fn grant() -> Grant {
    Grant {
        namespace: "shop".to_owned(),
        account: ObjectRef::new("cart", "u-1"),
        pod: Some(ObjectRef::new("cart-0", "u-2")),
        node: Some(ObjectRef::new("worker", "u-3")),
        issued_at: NOW,
        lifetime: DEFAULT_LIFETIME,
        ..Grant::default()
    }
}

fn part(token: &str, at: usize) -> Value {
    read(token.split('.').nth(at).unwrap()).unwrap()
}

fn with_part(token: &str, at: usize, part: &Value) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts[at] = BASE64.encode(part.to_string());
    parts.join(".")
}

#[test]
fn token_says_what_upstream_says() {
    let signer = signer();
    let token = signer.issue(&Grant { warn_after: Some(3607), lifetime: EXTENDED_LIFETIME, ..grant() });
    assert_eq!(part(&token, 0), json!({"alg": "ES256", "kid": signer.key_id()}));
    let mut claims = part(&token, 1);
    let id = claims["jti"].take();
    assert_eq!(
        claims,
        json!({
            "aud": ["https://kubernetes.default.svc.cluster.local"], "exp": NOW + 31_536_000, "iat": NOW, "nbf": NOW,
            "iss": "https://kubernetes.default.svc.cluster.local", "jti": null, "sub": "system:serviceaccount:shop:cart",
            "kubernetes.io": {
                "namespace": "shop", "serviceaccount": {"name": "cart", "uid": "u-1"}, "pod": {"name": "cart-0", "uid": "u-2"},
                "node": {"name": "worker", "uid": "u-3"}, "warnafter": NOW + 3607,
            },
        })
    );
    let id = id.as_str().unwrap();
    assert_eq!((id.len(), &id[14..15]), (36, "4"));
    assert_ne!(id, part(&signer.issue(&grant()), 1)["jti"]);
}

#[test]
fn good_token_gives_everything_back() {
    let signer = signer();
    let token = signer.issue(&grant());
    let verified = signer.verify(&token, &[], NOW + 10).unwrap();
    assert_eq!(verified.audiences, [ISSUER]);
    assert_eq!(verified.expires_at, Some(NOW + 3600));
    let mut expected = User::service_account("shop", "cart", "u-1");
    for (key, value) in [("pod-name", "cart-0"), ("pod-uid", "u-2"), ("node-name", "worker"), ("node-uid", "u-3")] {
        expected.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
    }
    expected.extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={}", verified.id)]);
    assert_eq!(verified.user(), expected);
}

#[test]
fn audiences_are_intersected() {
    let signer = signer();
    let token = signer.issue(&Grant { audiences: vec!["a".into(), "b".into()], ..grant() });
    assert_eq!(signer.verify(&token, &["b".into(), "c".into()], NOW).unwrap().audiences, ["b"]);
    let error = signer.verify(&token, &[], NOW).unwrap_err();
    let expected = r#"[invalid bearer token, token audiences ["a" "b"] is invalid for the target audiences ["https://kubernetes.default.svc.cluster.local"]]"#;
    assert_eq!(error.to_string(), expected);
}

#[rstest]
#[case::last_second(NOW + 3660, None)]
#[case::expired(NOW + 3661, Some("[invalid bearer token, service account token has expired]"))]
#[case::clock_a_minute_behind(NOW - 60, None)]
#[case::clock_further_behind(NOW - 61, Some("[invalid bearer token, service account token is not valid yet]"))]
fn times_have_a_leeway_of_a_minute(#[case] now: i64, #[case] error: Option<&str>) {
    let signer = signer();
    let result = signer.verify(&signer.issue(&grant()), &[], now);
    assert_eq!(result.err().map(|e| e.to_string()).as_deref(), error);
}

#[test]
fn token_from_the_future_has_unexpected_claims() {
    let signer = signer();
    let mut claims = claims(&grant());
    claims["iat"] = json!(NOW + 100);
    let token = signer.sign(&json!({"alg": "ES256", "kid": signer.key_id}), &claims);
    assert_eq!(signer.verify(&token, &[], NOW), Err(TokenError::Claims));
}

#[rstest]
#[case(json!(1_600_000_000.5))]
#[case(json!("never"))]
fn expiry_that_is_no_whole_number_does_not_mean_never(#[case] expiry: Value) {
    let signer = signer();
    let mut claims = claims(&grant());
    claims["exp"] = expiry;
    let token = signer.sign(&json!({"alg": "ES256", "kid": signer.key_id}), &claims);
    assert_eq!(signer.verify(&token, &[], NOW), Err(TokenError::Claims));
}

#[test]
fn tampered_tokens_are_refused() {
    let signer = signer();
    let token = signer.issue(&grant());
    let mut claims = part(&token, 1);
    claims["kubernetes.io"]["serviceaccount"]["name"] = json!("root");
    assert_eq!(signer.verify(&with_part(&token, 1, &claims), &[], NOW), Err(TokenError::Signature));
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = BASE64.decode(signature).unwrap();
    bytes[10] ^= 1;
    assert_eq!(signer.verify(&format!("{message}.{}", BASE64.encode(bytes)), &[], NOW), Err(TokenError::Signature));
    assert_eq!(signer.verify(&format!("{message}."), &[], NOW), Err(TokenError::Signature));
    let error = TokenError::Signature.to_string();
    assert_eq!(error, "[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]");
}

#[rstest]
#[case::none("none")]
#[case::upper_case("NONE")]
#[case::hmac("HS256")]
#[case::another_curve("ES384")]
fn other_algorithms_are_refused(#[case] algorithm: &str) {
    let signer = signer();
    let token = with_part(&signer.issue(&grant()), 0, &json!({"alg": algorithm, "kid": signer.key_id()}));
    assert_eq!(signer.verify(&token, &[], NOW), Err(TokenError::Invalid));
    let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
    assert_eq!(signer.verify(&unsigned, &[], NOW), Err(TokenError::Invalid));
}

#[test]
fn tokens_of_another_key_are_refused() {
    let (signer, other) = (signer(), signer());
    let token = other.issue(&grant());
    assert_eq!(signer.verify(&token, &[], NOW), Err(TokenError::NoKey));
    // Whoever lies about the key, or does not say, gets no further.
    let lie = other.sign(&json!({"alg": "ES256", "kid": signer.key_id}), &claims(&grant()));
    assert_eq!(signer.verify(&lie, &[], NOW), Err(TokenError::Signature));
    let silent = other.sign(&json!({"alg": "ES256"}), &claims(&grant()));
    assert_eq!(signer.verify(&silent, &[], NOW), Err(TokenError::Signature));
}

#[rstest]
#[case("")]
#[case("abcdef.0123456789abcdef")]
#[case("a.b.c")]
#[case("a.b.c.d")]
#[case("e30.e30.e30")]
fn what_is_no_token_is_refused(#[case] token: &str) {
    assert_eq!(signer().verify(token, &[], NOW).unwrap_err().to_string(), "invalid bearer token");
}

#[test]
fn another_issuer_is_refused() {
    let signer = signer();
    let mut claims = claims(&grant());
    claims["iss"] = json!("https://accounts.example.com");
    let token = signer.sign(&json!({"alg": "ES256", "kid": signer.key_id}), &claims);
    assert_eq!(signer.verify(&token, &[], NOW), Err(TokenError::Invalid));
}

#[test]
fn only_p256_keys_sign() {
    let wrong = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
    assert!(Signer::new(&wrong).is_none() && Signer::new("no key").is_none());
}

#[test]
fn published_key_checks_tokens() {
    let signer = signer();
    let key = &signer.jwks()["keys"][0];
    assert_eq!(key["kid"], signer.key_id());
    let decoding = DecodingKey::from_ec_components(key["x"].as_str().unwrap(), key["y"].as_str().unwrap()).unwrap();
    let token = signer.issue(&grant());
    let (message, signature) = token.rsplit_once('.').unwrap();
    assert!(crypto::verify(signature, message.as_bytes(), &decoding, Algorithm::ES256).unwrap());
    assert_eq!(signer.discovery("172.18.0.2:6443")["jwks_uri"], "https://172.18.0.2:6443/openid/v1/jwks");
}

#[rstest]
#[case(600, None)]
#[case(1 << 32, None)]
#[case(599, Some("Invalid value: 599: may not specify a duration less than 10 minutes"))]
#[case(-1, Some("Invalid value: -1: may not specify a duration less than 10 minutes"))]
#[case((1 << 32) + 1, Some("Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds"))]
fn lifetimes_have_limits(#[case] seconds: i64, #[case] message: Option<&str>) {
    let cause = check_lifetime(seconds).err();
    assert_eq!(cause.as_ref().map(|c| c.message.as_str()), message);
    assert!(cause.is_none_or(|c| c.field == "spec.expirationSeconds" && c.reason == "FieldValueInvalid"));
}

#[test]
fn only_tokens_of_pods_for_the_api_server_are_extended() {
    assert_eq!(lifetime(3607, &[], true), (EXTENDED_LIFETIME, Some(3607)));
    assert_eq!(lifetime(3607, &[], false), (3607, None));
    assert_eq!(lifetime(3600, &[], true), (3600, None));
    assert_eq!(lifetime(3607, &["vault".into()], true), (3607, None));
}
