use std::time::Instant;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints as Basic, SubjectKeyIdentifier};

use super::*;
use crate::auth::Signer;

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn parsed(pem: &str) -> x509_cert::Certificate {
    x509_cert::Certificate::from_der(&der(pem)).unwrap()
}

/// Shakes hands: the client's certificate as the server sees it, and the protocol agreed on.
async fn handshake(
    server: Arc<ServerConfig>,
    roots: RootCertStore,
    host: &str,
    client: Option<(String, String)>,
) -> Result<(Option<Vec<u8>>, Option<Vec<u8>>), String> {
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            builder.with_client_auth_cert(vec![der(&cert)], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let (client, server) = tokio::join!(TlsConnector::from(Arc::new(config)).connect(name, near), TlsAcceptor::from(server).accept(far));
    client.map_err(|e| e.to_string())?;
    let server = server.map_err(|e| e.to_string())?;
    let (_, session) = server.get_ref();
    Ok((session.peer_certificates().map(|c| c[0].to_vec()), session.alpn_protocol().map(<[u8]>::to_vec)))
}

#[test]
#[expect(clippy::print_stderr, reason = "how long it takes is worth seeing, but no reason to fail on a busy machine")]
fn making_one_is_quick() {
    let start = Instant::now();
    let pki = Pki::new("istio-cluster", &["istio-cluster-control-plane", "172.18.0.2"]);
    eprintln!("a Pki takes {:?}", start.elapsed());
    assert_eq!(pki.cluster(), "istio-cluster");
}

#[tokio::test]
async fn api_server_is_reached_under_all_its_names() {
    let pki = Pki::new("c", &["c-control-plane", "172.18.0.2", "172.18.0.2", "not a name"]);
    let service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "10.96.0.1"];
    for host in service.into_iter().chain(["localhost", "127.0.0.1", "::1", "c-control-plane", "172.18.0.2"]) {
        let (peer, protocol) = handshake(pki.server_config(), pki.roots(), host, None).await.unwrap();
        assert_eq!((peer, protocol.as_deref()), (None, Some(&b"h2"[..])));
    }
    let error = handshake(pki.server_config(), pki.roots(), "example.com", None).await.unwrap_err();
    assert!(error.contains("example.com"), "{error}");
    assert!(handshake(pki.server_config(), Pki::new("d", &[]).roots(), "localhost", None).await.is_err());
}

#[tokio::test]
async fn client_certificate_tells_who_it_is() {
    let pki = Pki::new("c", &[]);
    for (user, groups) in [("kubernetes-admin", &["kubeadm:cluster-admins"][..]), ("a", &["x", "y", "z"]), ("b", &[])] {
        let client = pki.client(user, groups);
        let (peer, _) = handshake(pki.server_config(), pki.roots(), "localhost", Some(client)).await.unwrap();
        let peer = peer.unwrap();
        let who = pki.user_of(&peer).unwrap();
        assert_eq!(who.name, user);
        assert_eq!(who.groups, [groups, &["system:authenticated"]].concat());
        assert_eq!(who.extra[CREDENTIAL_ID], [format!("X509SHA256={}", hex::encode(Sha256::digest(&peer)))]);
    }
}

#[tokio::test]
async fn certificate_of_another_ca_is_let_in_but_is_nobody() {
    let (pki, other) = (Pki::new("c", &[]), Pki::new("c", &[]));
    let client = other.client("kubernetes-admin", &["system:masters"]);
    let (peer, _) = handshake(pki.server_config(), pki.roots(), "localhost", Some(client)).await.unwrap();
    assert_eq!(pki.user_of(&peer.unwrap()), None);
}

#[test]
fn what_is_not_for_clients_is_nobody() {
    let pki = Pki::new("c", &[]);
    assert_eq!(pki.user_of(&der(&pki.server_pem())), None);
    assert_eq!(pki.user_of(&der(&pki.ca_pem())), None);
    assert_eq!(pki.user_of(b"no certificate"), None);
    let mut tampered = der(&pki.client("ann", &[]).0).to_vec();
    let at = tampered.windows(3).position(|w| w == b"ann").unwrap();
    tampered[at] = b'b';
    assert_eq!(pki.user_of(&tampered), None);
}

#[tokio::test]
async fn others_can_serve_with_a_certificate_too() {
    let pki = Pki::new("c", &[]);
    let (chain, key) = pki.sign_server(&["registry.local", "10.0.0.7"]);
    let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    for host in ["registry.local", "10.0.0.7"] {
        handshake(config.clone(), pki.roots(), host, None).await.unwrap();
    }
    assert!(handshake(config, pki.roots(), "localhost", None).await.is_err());
    let (cert, key) = pki.sign_server_pem(&["registry.local"]);
    assert!(cert.starts_with("-----BEGIN CERTIFICATE-----\n") && key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
}

#[test]
fn certificates_have_what_go_looks_for() {
    let pki = Pki::new("c", &[]);
    let ca = parsed(&pki.ca_pem());
    let (critical, basic) = ca.tbs_certificate.get::<Basic>().unwrap().unwrap();
    assert!(critical && basic.ca);
    assert_eq!(ca.tbs_certificate.subject.to_string(), "CN=kubernetes");
    let (_, id) = ca.tbs_certificate.get::<SubjectKeyIdentifier>().unwrap().unwrap();
    let (client, _) = pki.client("ann", &["dev", "ops"]);
    for (leaf, subject) in [(&pki.server_pem(), "CN=kube-apiserver"), (&client, "CN=ann,O=dev+O=ops")] {
        let leaf = parsed(leaf).tbs_certificate;
        assert_eq!((leaf.subject.to_string().as_str(), &leaf.issuer), (subject, &ca.tbs_certificate.subject));
        let (_, authority) = leaf.get::<AuthorityKeyIdentifier>().unwrap().unwrap();
        assert_eq!(authority.key_identifier.unwrap(), id.0);
        assert_ne!(leaf.get::<SubjectKeyIdentifier>().unwrap().unwrap().1, id);
        let (start, end) = (leaf.validity.not_before.to_unix_duration(), leaf.validity.not_after.to_unix_duration());
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + start).unwrap();
        assert!(age >= DAY && age < DAY + Duration::from_mins(1));
        assert_eq!(end, start + DAY * 366);
    }
}

#[test]
fn files_are_those_of_kubeadm() {
    let pki = Pki::new("c", &[]);
    let files = pki.files();
    assert_eq!(files.iter().map(|f| f.0).collect::<Vec<_>>(), ["ca.crt", "ca.key", "apiserver.crt", "apiserver.key", "sa.key", "sa.pub"]);
    for (name, text) in files {
        let label = if name.contains(".crt") {
            "CERTIFICATE"
        } else if name == "sa.pub" {
            "PUBLIC KEY"
        } else {
            "PRIVATE KEY"
        };
        assert!(text.starts_with(&format!("-----BEGIN {label}-----\n")) && text.ends_with(&format!("-----END {label}-----\n")), "{name}");
        assert!(!text.contains('\r') && text.lines().all(|line| line.len() <= 64), "{name}");
    }
    assert!(Signer::new(&pki.service_account_key_pem()).is_some());
}

#[test]
fn kubeconfig_has_the_shape_of_kind() {
    let pki = Pki::new("istio-cluster", &[]);
    let text = pki.kubeconfig("https://127.0.0.1:6443", "kind-istio-cluster", "CERT", "KEY");
    let ca = BASE64.encode(pki.ca_pem());
    let expected = format!(
        "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {ca}
    server: https://127.0.0.1:6443
  name: kind-istio-cluster
contexts:
- context:
    cluster: kind-istio-cluster
    user: kind-istio-cluster
  name: kind-istio-cluster
current-context: kind-istio-cluster
kind: Config
preferences: {{}}
users:
- name: kind-istio-cluster
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
"
    );
    assert_eq!(text, expected);
}

#[test]
fn kube_reads_the_kubeconfig() {
    let pki = Pki::new("c", &[]);
    let (cert, key) = pki.client("kubernetes-admin", &["kubeadm:cluster-admins"]);
    let text = pki.kubeconfig("https://127.0.0.1:6443", "kind-c", &cert, &key);
    let config = kube::config::Kubeconfig::from_yaml(&text).unwrap();
    assert_eq!(config.current_context.as_deref(), Some("kind-c"));
    assert_eq!(config.clusters[0].cluster.as_ref().unwrap().server.as_deref(), Some("https://127.0.0.1:6443"));
}
