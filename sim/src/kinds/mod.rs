//! What the API server knows about single kinds: defaults, the default admission plugins, validation, selectable fields, and the schemas of
//! custom resources. Everything here is a function of JSON; what it asks of the cluster goes through [`World`].
//!
//! A creation calls [`admit_create`] and then [`validate`], an update [`admit_update`] and then [`validate`] with the old object. Metadata
//! (uid, timestamps, generation, whether the namespace exists) is the caller's; `metadata.uid` must be set before [`admit_create`], for the
//! selector of a Job is made of it.

mod access;
mod admit;
mod causes;
mod container_validation;
mod containers;
mod crd;
mod decode;
mod fields;
mod meta;
mod names;
mod pod_admission;
mod pod_validation;
mod pods;
mod quantity;
pub mod schema;
mod service_validation;
mod services;
mod shape;
mod small;
#[cfg(test)]
mod tests;
mod validation;
mod volumes;
mod workload_validation;
mod workloads;

use serde_json::Value;

pub use admit::{admit_create, admit_update};
pub use fields::{field_names, fields};
pub use meta::validate_meta;
pub use names::validate_name;
pub use quantity::{canonical as canonical_quantity, quantity};
pub use shape::check_shape;
pub use validation::validate;

/// What defaulting may ask of the cluster.
pub trait World {
    /// An object by its resource (`serviceaccounts`, `priorityclasses.scheduling.k8s.io`); the namespace is empty for cluster-scoped ones.
    fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Value>;
    /// A free service address.
    fn allocate_ip(&self) -> Option<String>;
    /// Takes a certain service address; whether it was free.
    fn take_ip(&self, ip: &str) -> bool;
    /// A free node port.
    fn allocate_node_port(&self) -> Option<u16>;
    /// Five characters of `bcdfghjklmnpqrstvwxz2456789`.
    fn suffix(&self) -> String;
    /// The time as `metadata.creationTimestamp` has it.
    fn now(&self) -> String;

    /// Takes a certain node port; whether it was free.
    fn take_node_port(&self, _port: u16) -> bool {
        true
    }

    /// The `PriorityClass` that is the global default.
    fn default_priority_class(&self) -> Option<Value> {
        None
    }

    /// Name of the `StorageClass` that is the default.
    fn default_storage_class(&self) -> Option<String> {
        None
    }
}
