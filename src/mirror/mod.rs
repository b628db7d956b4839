//! What stands between nodes and registries: a recording pull-through mirror, its cache, and the registry client behind it.

pub mod cache;
mod hashing;
pub mod layout;
pub mod name;
pub mod proxy;
pub mod record;
pub mod server;
#[cfg(test)]
mod testing;
pub mod upstream;
