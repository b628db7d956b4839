//! Image references, completed as `github.com/distribution/reference` does it for the CRI.

/// A complete reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `docker.io`, `registry.k8s.io`, `lab-registry:5000`.
    pub registry: String,
    /// `library/busybox`.
    pub repository: String,
    /// The tag; `latest` unless there is a digest.
    pub tag: Option<String>,
    /// `sha256:…`.
    pub digest: Option<String>,
}

impl Reference {
    /// Completes a reference: Docker Hub, its `library`, and `latest` are implied.
    ///
    /// # Errors
    /// What the CRI says of one that cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("failed to parse image reference \"{text}\": invalid reference format");
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        let hex = |d: &str| d.strip_prefix("sha256:").is_some_and(|h| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit()));
        if digest.as_deref().is_some_and(|d| !hex(d)) {
            return Err(invalid());
        }
        // A colon after the last slash begins the tag; one before it belongs to the registry's port.
        let (name, tag) = match rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
            Some((name, tag)) => (name, Some(tag.to_owned())),
            None => (rest, None),
        };
        let word = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if tag.as_deref().is_some_and(|t| t.is_empty() || t.len() > 128 || !t.bytes().all(word)) {
            return Err(invalid());
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path.to_owned()),
            _ => ("docker.io", name.to_owned()),
        };
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        let repository = if registry == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path };
        let part = |p: &str| !p.is_empty() && p.bytes().all(|b| word(b) && !b.is_ascii_uppercase());
        if !repository.split('/').all(part) || name.is_empty() {
            return Err(invalid());
        }
        let tag = if tag.is_none() && digest.is_none() { Some("latest".to_owned()) } else { tag };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }

    /// Registry and repository.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What is asked for in the registry: the digest, or else the tag.
    #[must_use]
    pub fn object(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())?;
        match (&self.tag, &self.digest) {
            // The CRI drops the tag when there is a digest.
            (_, Some(digest)) => write!(f, "@{digest}"),
            (Some(tag), None) => write!(f, ":{tag}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("busybox", "docker.io/library/busybox:latest")]
    #[case("istio/pilot:1.27.1", "docker.io/istio/pilot:1.27.1")]
    #[case("docker.io/busybox", "docker.io/library/busybox:latest")]
    #[case("index.docker.io/a/b:1", "docker.io/a/b:1")]
    #[case("localhost/a", "localhost/a:latest")]
    #[case("lab-registry:5000/a/b", "lab-registry:5000/a/b:latest")]
    #[case("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10")]
    fn references_are_completed(#[case] text: &str, #[case] wanted: &str) {
        assert_eq!(Reference::parse(text).unwrap().to_string(), wanted);
    }

    #[test]
    fn a_digest_replaces_the_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let reference = Reference::parse(&format!("a/b:1@{digest}")).unwrap();
        assert_eq!(reference.to_string(), format!("docker.io/a/b@{digest}"));
        assert_eq!(reference.object(), digest);
        for wrong in ["", "A/b", "a/b@sha256:1", "a/b:", "a//b"] {
            assert!(Reference::parse(wrong).is_err(), "{wrong}");
        }
    }
}
