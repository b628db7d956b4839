//! What environment the user wants.
mod model;
pub use model::*;
