//! The API machinery without HTTP: what a write goes through before it is stored. The server and the controllers both use it.

mod addresses;
mod authn;
mod bootstrap;
mod checks;
mod crds;
mod delete;
mod registry;
mod write;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde_json::Value;

use addresses::Addresses;
pub use authn::Rejection;
pub use bootstrap::NAMESPACES;
pub use delete::{Delete, Deleted, Propagation};
pub use registry::Registry;
pub use write::{Part, Write};

use crate::auth::pki::Pki;
use crate::auth::rbac::Policy;
use crate::auth::token::Signer;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::resource::ResourceRef;
use crate::store::{Object, Store};

/// The characters of generated names: no vowels, no digits that look like letters. Source: apimachinery `pkg/util/rand`.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// How many events a cluster keeps.
const EVENTS: usize = 5000;

/// The kinds whose change makes the RBAC policy anew.
const RBAC: [&str; 4] = [
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
];

/// The API of one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    pki: Pki,
    signer: Signer,
    registry: RwLock<Arc<Registry>>,
    policy: Mutex<Option<(u64, Arc<Policy>)>>,
    policy_changes: AtomicU64,
    addresses: Addresses,
    /// Namespace and name of every event, oldest first.
    events: Mutex<VecDeque<(Box<str>, Box<str>)>>,
    version: String,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("revision", &self.0.store.revision()).finish_non_exhaustive()
    }
}

impl Api {
    /// The API of an empty cluster that calls itself `version`, for example `v1.33.4`.
    ///
    /// # Panics
    /// Never: the key that signs tokens is one that the certificates' maker made.
    #[must_use]
    pub fn new(pki: Pki, clock: Clock, version: &str) -> Self {
        // The key is one that the pki made.
        let signer = Signer::new(&pki.service_account_key_pem()).expect("its own key is one");
        Self(Arc::new(Inner {
            store: Store::default(),
            clock,
            pki,
            signer,
            registry: RwLock::new(Arc::new(Registry::builtin())),
            policy: Mutex::new(None),
            policy_changes: AtomicU64::new(0),
            addresses: Addresses::default(),
            events: Mutex::default(),
            version: version.to_owned(),
        }))
    }

    /// The objects.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The time.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The certificates.
    #[must_use]
    pub fn pki(&self) -> &Pki {
        &self.0.pki
    }

    /// What signs `ServiceAccount` tokens.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.0.signer
    }

    /// The version that the API server calls itself, for example `v1.33.4`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// What is served now.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.0.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A resource by its id, for example `deployments.apps`.
    #[must_use]
    pub fn resource(&self, id: &str) -> Option<ResourceRef> {
        self.registry().by_id(id)
    }

    /// An object as a value, in its storage version.
    #[must_use]
    pub fn read(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.0.store.get(resource, namespace, name).map(|o| o.value())
    }

    /// The access rules as they are now.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        let changes = self.0.policy_changes.load(Ordering::Acquire);
        let mut cached = self.0.policy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, policy)) = &*cached
            && *at == changes
        {
            return Arc::clone(policy);
        }
        let [cluster_roles, cluster_bindings, roles, bindings] =
            RBAC.map(|r| self.0.store.list(r, "").1.iter().map(|o| o.value()).collect::<Vec<_>>());
        let policy = Arc::new(Policy::new(&cluster_roles, &cluster_bindings, &roles, &bindings));
        *cached = Some((changes, Arc::clone(&policy)));
        policy
    }

    /// What must follow a write at once: the access rules and the served resources are derived from objects.
    fn after_write(&self, resource: &str, object: &Object) {
        if RBAC.contains(&resource) {
            self.0.policy_changes.fetch_add(1, Ordering::Release);
        }
        if resource == crds::ID {
            self.follow_crd(object);
        }
    }

    /// Upstream drops events after an hour (`--event-ttl`); a cluster that makes more than it can keep drops the oldest at once.
    fn expire_events(&self, newest: &Object) {
        let mut events = self.0.events.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (newest.namespace.clone(), newest.name.clone());
        events.push_back(key);
        while events.len() > EVENTS {
            if let Some((namespace, name)) = events.pop_front() {
                // Whoever deleted it before did no harm.
                let _ = self.0.store.remove("events", (&namespace, &name), None, None);
            }
        }
    }

    fn after_removal(&self, resource: &str, object: &Object) {
        if RBAC.contains(&resource) {
            self.0.policy_changes.fetch_add(1, Ordering::Release);
        }
        if resource == crds::ID {
            self.drop_crd(object);
        }
        if resource == "services" {
            self.0.addresses.follow(Some(&object.value()), None);
        }
    }
}

/// Five characters for the end of a generated name.
#[must_use]
pub fn suffix() -> String {
    random::<5>().iter().map(|b| char::from(SAFE[usize::from(*b) % SAFE.len()])).collect()
}

/// A random UUID (RFC 9562, version 4).
#[must_use]
pub fn uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without the system's source of randomness nothing else here would work either.
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// Refuses what a client may not do because the thing is not served.
fn unknown(id: &str) -> Failure {
    Failure::internal(format!("the resource {id} is not served"))
}
