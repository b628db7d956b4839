//! What environment the user wants: the spec, its profiles, the catalog of versions, and how files and options become one [`Spec`].

mod advice;
pub mod catalog;
mod error;
mod layers;
mod load;
mod model;
mod profiles;
mod resolve;
mod schema;
mod set;
mod tree;
mod version;

#[cfg(test)]
mod tests;

pub use advice::{Advisory, advisories, fingerprint, from_document, to_document};
pub use error::{Origin, SetProblem, SpecError};
pub use load::{Request, load};
pub use model::*;
pub use profiles::{DEFAULT_PROFILE, PROFILES, Profile, profile};
pub use version::{Version, VersionError};
