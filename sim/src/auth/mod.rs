//! Who is asking and what they may do: identities, certificates, `ServiceAccount` tokens and RBAC. Nothing here reads the store.

pub mod identity;
pub mod pki;
pub mod rbac;
pub mod roles;
pub mod rule;
pub mod token;

pub use identity::User;
pub use pki::Pki;
pub use rbac::{Attributes, Decision, Policy};
pub use rule::Rule;
pub use token::{Grant, ObjectRef, Signer, TokenError, Verified};
