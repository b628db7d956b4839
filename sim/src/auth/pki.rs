//! The certificates and keys of a cluster, as kubeadm makes them (`cmd/kubeadm/app/phases/certs`), but all on P-256.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SigningKey as _,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, BitString, ObjectIdentifier, SetOfVec};
use x509_cert::der::{Decode as _, Encode as _, Tag};
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};

use super::identity::{AUTHENTICATED, CREDENTIAL_ID, User};
use verifier::AskForCertificate;

mod verifier;

#[cfg(test)]
mod tests;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const DAY: Duration = Duration::from_hours(24);

/// A certificate with its key, both as PEM.
#[derive(Clone)]
struct Pair {
    cert: Certificate,
    key: String,
}

/// The certificate authority of a cluster and what it has signed.
pub struct Pki {
    cluster: String,
    ca: Issuer<'static, KeyPair>,
    ca_cert: Certificate,
    server: Pair,
    server_config: Arc<ServerConfig>,
    clients: Arc<dyn ClientCertVerifier>,
    service_account_key: KeyPair,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// The cryptography; never the process's default, since a library cannot know whether there is one.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("the operating system has random numbers")
}

/// A year from yesterday: the clocks of hosts differ.
fn params(common_name: &str) -> CertificateParams {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // To the second, as certificates have it.
    let start = Duration::from_secs(now.as_secs()).saturating_sub(DAY);
    let mut params = CertificateParams::default();
    params.not_before = epoch + start;
    params.not_after = epoch + start + DAY * 366;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// What both kinds of leaves have.
fn leaf(common_name: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = params(common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![usage];
    params
}

/// Names and addresses, each once; what is neither is left out, since no client could ask for it.
fn alternative_names(names: &[&str]) -> Vec<SanType> {
    let mut all: Vec<SanType> = Vec::new();
    for name in names {
        let name = match name.parse::<IpAddr>() {
            Ok(address) => Some(SanType::IpAddress(address)),
            Err(_) => (*name).try_into().ok().map(SanType::DnsName),
        };
        all.extend(name.filter(|n| !all.contains(n)));
    }
    all
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&b| char::from(b)));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// One RDN with all the values of an attribute, as Go writes it.
fn rdn(oid: ObjectIdentifier, values: &[&str]) -> RelativeDistinguishedName {
    let mut set = SetOfVec::new();
    for value in values {
        let value = Any::new(Tag::Utf8String, value.as_bytes()).expect("shorter than 256 MiB");
        // A value that is there already stays there once.
        let _ = set.insert(AttributeTypeAndValue { oid, value });
    }
    RelativeDistinguishedName(set)
}

impl Pki {
    /// For a cluster whose API server is also reached under `hosts`, which are names or addresses.
    ///
    /// # Panics
    ///
    /// Only if the operating system has no random numbers.
    #[must_use]
    pub fn new(cluster: &str, hosts: &[&str]) -> Self {
        let mut root = params("kubernetes");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::KeyCertSign];
        root.subject_alt_names = alternative_names(&["kubernetes"]);
        let key = new_key();
        let ca_cert = root.self_signed(&key).expect("a P-256 key signs");
        let ca = Issuer::new(root, key);

        let (v4, v6) = (Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string());
        let service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "10.96.0.1"];
        let names: Vec<&str> = service.into_iter().chain(["localhost", &v4, &v6]).chain(hosts.iter().copied()).collect();
        let (server, server_key) = serving(&ca, "kube-apiserver", &names);

        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(trusting(&ca_cert)), provider())
            .allow_unauthenticated()
            .build()
            .expect("there is a root");
        let chain = vec![server.cert.der().clone()];
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for both versions")
            .with_client_cert_verifier(Arc::new(AskForCertificate(clients.clone())))
            .with_single_cert(chain, server_key)
            .expect("the key is that of the certificate");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let server_config = Arc::new(config);
        Self { cluster: cluster.to_owned(), ca, ca_cert, server, server_config, clients, service_account_key: new_key() }
    }

    /// The cluster's name, as given.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// `/etc/kubernetes/pki/ca.crt`.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.ca_cert.pem()
    }

    /// `/etc/kubernetes/pki/ca.key`.
    #[must_use]
    pub fn ca_key_pem(&self) -> String {
        self.ca.key().serialize_pem()
    }

    /// `/etc/kubernetes/pki/apiserver.crt`.
    #[must_use]
    pub fn server_pem(&self) -> String {
        self.server.cert.pem()
    }

    /// `/etc/kubernetes/pki/apiserver.key`.
    #[must_use]
    pub fn server_key_pem(&self) -> String {
        self.server.key.clone()
    }

    /// `/etc/kubernetes/pki/sa.key`, which signs tokens.
    #[must_use]
    pub fn service_account_key_pem(&self) -> String {
        self.service_account_key.serialize_pem()
    }

    /// `/etc/kubernetes/pki/sa.pub`.
    #[must_use]
    pub fn service_account_public_pem(&self) -> String {
        self.service_account_key.public_key_pem()
    }

    /// Everything as it lies in `/etc/kubernetes/pki`: names of files and what is in them.
    #[must_use]
    pub fn files(&self) -> Vec<(&'static str, String)> {
        vec![
            ("ca.crt", self.ca_pem()),
            ("ca.key", self.ca_key_pem()),
            ("apiserver.crt", self.server_pem()),
            ("apiserver.key", self.server_key_pem()),
            ("sa.key", self.service_account_key_pem()),
            ("sa.pub", self.service_account_public_pem()),
        ]
    }

    /// What the API server serves TLS with. Like upstream it asks for a client certificate and completes the handshake whatever it gets:
    /// [`Pki::user_of`] is what checks it, so that a wrong one is answered with 401 rather than with a broken connection.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.server_config.clone()
    }

    /// The CA, for whoever is to trust it.
    #[must_use]
    pub fn roots(&self) -> RootCertStore {
        trusting(&self.ca_cert)
    }

    /// A serving certificate under these names or addresses, and its key.
    #[must_use]
    pub fn sign_server(&self, names: &[&str]) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let (pair, key) = serving(&self.ca, names.first().copied().unwrap_or("server"), names);
        (vec![pair.cert.der().clone()], key)
    }

    /// `sign_server` as PEM, for what reads files: certificate and key.
    #[must_use]
    pub fn sign_server_pem(&self, names: &[&str]) -> (String, String) {
        let (pair, _) = serving(&self.ca, names.first().copied().unwrap_or("server"), names);
        (pair.cert.pem(), pair.key)
    }

    /// A client certificate and its key, both as PEM.
    ///
    /// # Panics
    ///
    /// Only if the operating system has no random numbers.
    #[must_use]
    pub fn client(&self, user: &str, groups: &[&str]) -> (String, String) {
        let key = new_key();
        let template = leaf(user, ExtendedKeyUsagePurpose::ClientAuth).signed_by(&key, &self.ca).expect("a P-256 key signs");
        // rcgen writes an attribute once only, and several groups are several organizations. So the subject is put in afterwards.
        let mut cert = x509_cert::Certificate::from_der(template.der()).expect("it was just written");
        let organizations = (!groups.is_empty()).then(|| rdn(ORGANIZATION, groups));
        cert.tbs_certificate.subject = RdnSequence(organizations.into_iter().chain([rdn(COMMON_NAME, &[user])]).collect());
        let signed = cert.tbs_certificate.to_der().expect("it was just read");
        let signature = self.ca.key().sign(&signed).expect("a P-256 key signs");
        cert.signature = BitString::from_bytes(&signature).expect("shorter than 256 MiB");
        (pem("CERTIFICATE", &cert.to_der().expect("it was just read")), key.serialize_pem())
    }

    /// Who presents a client certificate (`apiserver/pkg/authentication/request/x509`, `CommonNameUserConversion`): the common name is the user
    /// and the organizations are the groups. `None` if it is not of this CA, not for clients, or not valid now: the request is then without a
    /// valid credential. It costs a signature check, so call it once for a connection.
    #[must_use]
    pub fn user_of(&self, der: &[u8]) -> Option<User> {
        self.clients.verify_client_cert(&CertificateDer::from(der), &[], UnixTime::now()).ok()?;
        let cert = x509_cert::Certificate::from_der(der).ok()?;
        let attributes = || cert.tbs_certificate.subject.0.iter().flat_map(|rdn| rdn.0.iter());
        let values = |oid| attributes().filter(move |a| a.oid == oid).map(|a| String::from_utf8_lossy(a.value.value()).into_owned());
        let name = values(COMMON_NAME).next_back().filter(|name| !name.is_empty())?;
        let groups = values(ORGANIZATION).chain([AUTHENTICATED.to_owned()]).collect();
        let mut user = User { name, groups, ..User::default() };
        user.extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={}", hex::encode(Sha256::digest(der)))]);
        Some(user)
    }

    /// A kubeconfig in the words of kind (`pkg/cluster/internal/kubeconfig`): context, cluster and user all have one name.
    #[must_use]
    pub fn kubeconfig(&self, server_url: &str, name: &str, cert_pem: &str, key_pem: &str) -> String {
        let mut text = String::new();
        let encode = |pem: &str| BASE64.encode(pem);
        let _ = write!(
            text,
            "apiVersion: v1\n\
             clusters:\n\
             - cluster:\n    certificate-authority-data: {}\n    server: {server_url}\n  name: {name}\n\
             contexts:\n\
             - context:\n    cluster: {name}\n    user: {name}\n  name: {name}\n\
             current-context: {name}\n\
             kind: Config\n\
             preferences: {{}}\n\
             users:\n\
             - name: {name}\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
            encode(&self.ca_pem()),
            encode(cert_pem),
            encode(key_pem),
        );
        text
    }
}

fn trusting(ca: &Certificate) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).expect("the certificate is its own root");
    roots
}

fn serving(ca: &Issuer<'_, KeyPair>, common_name: &str, names: &[&str]) -> (Pair, PrivateKeyDer<'static>) {
    let mut params = leaf(common_name, ExtendedKeyUsagePurpose::ServerAuth);
    params.subject_alt_names = alternative_names(names);
    let key = new_key();
    let cert = params.signed_by(&key, ca).expect("a P-256 key signs");
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    (Pair { cert, key: key.serialize_pem() }, der)
}
