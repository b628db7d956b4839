//! Profiles: named, complete sets of versions that a spec starts from. Adding one is adding a YAML file and its line in [`PROFILES`].

/// A named starting point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// What a spec calls it.
    pub name: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    /// The spec file, with placeholders.
    pub yaml: &'static str,
}

/// The profile of a spec that names none.
pub const DEFAULT_PROFILE: &str = "guide";

/// Every profile.
pub const PROFILES: &[Profile] = &[Profile {
    name: DEFAULT_PROFILE,
    description: "Exactly what the guide pins: Istio 1.27.1 ambient, Dashboard v2.7.0, Gateway API v1.3.0 on kind 0.30.0 with Kubernetes 1.33.4",
    yaml: include_str!("profiles/guide.yaml"),
}];

/// The profile of that name.
#[must_use]
pub fn profile(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}
