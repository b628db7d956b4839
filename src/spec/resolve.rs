//! The last step of loading: what was left out is looked up, versions are normalised, placeholders filled, values validated.

use serde_json::{Value, json};

use super::catalog;
use super::error::SpecError;
use super::layers::{KeyPath, Merged};
use super::schema::nearest;
use super::version::Version;
use super::{Spec, ToolSpec};

/// What the download files of this machine are called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Platform {
    os: &'static str,
    arch: &'static str,
}

impl Platform {
    pub(super) fn current() -> Self {
        Self::of(std::env::consts::OS, std::env::consts::ARCH)
    }

    /// From Rust's names to those of Go, which all the tools use.
    pub(super) fn of(os: &'static str, arch: &'static str) -> Self {
        let os = if os == "macos" { "darwin" } else { os };
        let arch = match arch {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { os, arch }
    }

    /// Istio's release files alone call it differently.
    fn os_istio(self) -> &'static str {
        match self.os {
            "darwin" => "osx",
            "windows" => "win",
            other => other,
        }
    }
}

/// Makes the merged layers a spec.
pub(super) fn resolve(mut merged: Merged, platform: &Platform) -> Result<Spec, SpecError> {
    require_urls(&merged)?;
    for path in
        [["cluster", "nodeImage"].as_slice(), &["istio", "hub"], &["tools", "kubectl", "version"], &["tools", "istioctl", "version"]]
    {
        default_to_empty(&mut merged.value, path);
    }
    if merged.value.get("mirrors").is_none() {
        merged.value["mirrors"] = json!({});
    }
    let mut spec: Spec = serde_json::from_value(merged.value.clone()).map_err(|source| SpecError::IncompleteProfile {
        profile: merged.value["profile"].as_str().unwrap_or_default().to_owned(),
        source,
    })?;
    let check = Check { merged: &merged };
    check.versions(&mut spec)?;
    check.fill(&mut spec, platform)?;
    check.values(&spec)?;
    Ok(spec)
}

fn default_to_empty(value: &mut Value, path: &[&str]) {
    if let Some((last, parents)) = path.split_last()
        && let Some(Value::Object(map)) = parents.iter().try_fold(value, |value, part| value.get_mut(part))
    {
        map.entry(*last).or_insert_with(|| "".into());
    }
}

/// A host of a mirror has one key without a default, and no earlier layer could give it.
fn require_urls(merged: &Merged) -> Result<(), SpecError> {
    let Some(Value::Object(mirrors)) = merged.value.get("mirrors") else { return Ok(()) };
    for (registry, mirror) in mirrors {
        let hosts = mirror.get("hosts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, host) in hosts.iter().enumerate() {
            if host.get("url").is_none() {
                let path = KeyPath::of(&["mirrors", registry, "hosts"]).child(index);
                return Err(SpecError::MissingKey { at: merged.origin(&path), parent: path.to_string(), key: "url".to_owned() });
            }
        }
    }
    Ok(())
}

struct Check<'a> {
    merged: &'a Merged,
}

impl Check<'_> {
    fn invalid(&self, path: &KeyPath, value: &str, reason: &'static str) -> SpecError {
        SpecError::InvalidValue { at: self.merged.origin(path), key: path.to_string(), value: value.to_owned(), reason }
    }

    fn ensure(&self, holds: bool, path: &[&str], value: &str, reason: &'static str) -> Result<(), SpecError> {
        if holds { Ok(()) } else { Err(self.invalid(&KeyPath::of(path), value, reason)) }
    }

    fn version(&self, path: &[&str], text: &str) -> Result<Version, SpecError> {
        let path = KeyPath::of(path);
        text.parse().map_err(|source| SpecError::InvalidVersion { at: self.merged.origin(&path), key: path.to_string(), source })
    }

    fn versions(&self, spec: &mut Spec) -> Result<(), SpecError> {
        let kind = self.version(&["tools", "kind", "version"], &spec.tools.kind.version)?;
        let kubernetes = self.version(&["cluster", "kubernetes"], &spec.cluster.kubernetes)?;
        let (kubernetes, image) = self.node_image(&spec.cluster.node_image, &kind, kubernetes)?;
        let istio = self.version(&["istio", "version"], &spec.istio.version)?;

        spec.cluster.kubernetes = kubernetes.to_string();
        spec.cluster.node_image = image;
        spec.istio.version = istio.to_string();
        if spec.istio.hub.is_empty() {
            catalog::istio_hub(&istio).clone_into(&mut spec.istio.hub);
        }
        spec.tools.kind.version = kind.to_string();
        for (name, tool, default) in [("kubectl", &mut spec.tools.kubectl, &kubernetes), ("istioctl", &mut spec.tools.istioctl, &istio)] {
            tool.version = match tool.version.as_str() {
                "" => default.to_string(),
                version => self.version(&["tools", name, "version"], version)?.to_string(),
            };
        }
        // These two are the names of tags, which have the `v`.
        spec.dashboard.version = format!("v{}", self.version(&["dashboard", "version"], &spec.dashboard.version)?);
        spec.gateway_api.version = format!("v{}", self.version(&["gatewayApi", "version"], &spec.gateway_api.version)?);
        Ok(())
    }

    /// The node image and the Kubernetes version that it has.
    fn node_image(&self, image: &str, kind: &Version, kubernetes: Version) -> Result<(Version, String), SpecError> {
        let kubernetes_at = self.merged.origin(&KeyPath::of(&["cluster", "kubernetes"]));
        if !image.is_empty() {
            let image_at = self.merged.origin(&KeyPath::of(&["cluster", "nodeImage"]));
            return match version_in_tag(image) {
                Some(tag) if tag == kubernetes => Ok((tag, image.to_owned())),
                // A profile's version is no wish of the user.
                Some(tag) if !kubernetes_at.is_user() => Ok((tag, image.to_owned())),
                Some(tag) => Err(SpecError::NodeImageContradicts {
                    at: image_at,
                    image: tag.to_string(),
                    kubernetes: kubernetes.to_string(),
                    kubernetes_at,
                }),
                None => Ok((kubernetes, image.to_owned())),
            };
        }
        if let Some(known) = catalog::node_image(kind, &kubernetes) {
            return Ok((kubernetes, known.reference()));
        }
        let kind_at = self.merged.origin(&KeyPath::of(&["tools", "kind", "version"]));
        Err(SpecError::UnknownNodeImage {
            at: if kind_at.is_user() && !kubernetes_at.is_user() { kind_at } else { kubernetes_at },
            kind: kind.to_string(),
            kubernetes: kubernetes.to_string(),
            known: match catalog::kind_release(kind) {
                Some(release) => release.images.iter().map(|image| image.kubernetes.to_owned()).collect(),
                None => catalog::KIND_RELEASES.iter().map(|release| format!("kind {}", release.version)).collect(),
            },
        })
    }

    fn fill(&self, spec: &mut Spec, platform: &Platform) -> Result<(), SpecError> {
        let version = spec.dashboard.version.as_str();
        spec.dashboard.manifest = self.filled(&["dashboard", "manifest"], &spec.dashboard.manifest, &[("version", version)])?;
        let gateway = &mut spec.gateway_api;
        let values = [("version", gateway.version.as_str()), ("channel", gateway.channel.as_str())];
        gateway.manifest = self.filled(&["gatewayApi", "manifest"], &gateway.manifest, &values)?;
        for (name, tool) in tools_mut(spec) {
            let values =
                [("version", tool.version.as_str()), ("os", platform.os), ("arch", platform.arch), ("osIstio", platform.os_istio())];
            tool.url = self.filled(&["tools", name, "url"], &tool.url, &values)?;
        }
        Ok(())
    }

    fn filled(&self, path: &[&str], template: &str, values: &[(&str, &str)]) -> Result<String, SpecError> {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else { break };
            filled.push_str(before);
            let Some((_, value)) = values.iter().find(|(candidate, _)| *candidate == name) else {
                let path = KeyPath::of(path);
                let valid: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
                return Err(SpecError::UnknownPlaceholder {
                    at: self.merged.origin(&path),
                    key: path.to_string(),
                    name: name.to_owned(),
                    nearest: nearest(name, &valid).map(str::to_owned),
                    valid: valid.into_iter().map(str::to_owned).collect(),
                });
            };
            filled.push_str(value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn values(&self, spec: &Spec) -> Result<(), SpecError> {
        let cluster = &spec.cluster;
        let name_ok = !cluster.name.is_empty() && cluster.name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
        self.ensure(name_ok, &["cluster", "name"], &cluster.name, "kind takes lower-case letters, digits, dots and dashes only")?;
        self.ensure(
            cluster.name.len() <= 50,
            &["cluster", "name"],
            &cluster.name,
            "longer than 50 characters, which host names do not bear",
        )?;
        // Far beyond what one machine carries, and far below what arithmetic or a plan of it would bear.
        for (key, count, least, most) in [("controlPlanes", cluster.control_planes, 1, 9), ("workers", cluster.workers, 0, 100)] {
            self.ensure(
                (least..=most).contains(&count),
                &["cluster", key],
                &count.to_string(),
                "kind on one machine bears 1 to 9 control planes and up to 100 workers",
            )?;
        }
        let plain = |text: &str| !text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\\'));
        self.ensure(plain(&cluster.node_image), &["cluster", "nodeImage"], &cluster.node_image, "not an image reference")?;
        let path_ok = cluster.config_path.starts_with('/') && plain(&cluster.config_path) && !cluster.config_path.contains(':');
        self.ensure(path_ok, &["cluster", "configPath"], &cluster.config_path, "not the absolute path of one directory")?;

        for (registry, mirror) in &spec.mirrors {
            let path = KeyPath::of(&["mirrors", registry]);
            if let Some(server) = &mirror.server {
                self.url(&path.child("server"), server)?;
            }
            for (index, host) in mirror.hosts.iter().enumerate() {
                self.url(&path.child("hosts").child(index).child("url"), &host.url)?;
            }
        }
        for (index, entry) in spec.proxy.no_proxy.iter().enumerate() {
            let path = KeyPath::of(&["proxy", "noProxy"]).child(index);
            if entry.is_empty() || !plain(entry) || entry.contains(',') {
                return Err(self.invalid(&path, entry, "not one host, domain or range of addresses"));
            }
        }
        let user = &spec.dashboard.admin_user;
        let user_ok = !user.is_empty()
            && user.len() <= 253
            && user.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
            && user.starts_with(|c: char| c.is_ascii_alphanumeric())
            && user.ends_with(|c: char| c.is_ascii_alphanumeric());
        self.ensure(user_ok, &["dashboard", "adminUser"], user, "not a DNS subdomain name, as Kubernetes wants it (RFC 1123)")?;
        self.url(&KeyPath::of(&["proxy", "http"]), &spec.proxy.http)?;
        self.url(&KeyPath::of(&["proxy", "https"]), &spec.proxy.https)?;
        if let Some(proxy) = &spec.downloads.proxy {
            self.url(&KeyPath::of(&["downloads", "proxy"]), proxy)?;
        }
        for (section, manifest) in [("dashboard", &spec.dashboard.manifest), ("gatewayApi", &spec.gateway_api.manifest)] {
            if manifest.contains("://") {
                self.url(&KeyPath::of(&[section, "manifest"]), manifest)?;
            }
        }
        for (name, tool) in [("kind", &spec.tools.kind), ("kubectl", &spec.tools.kubectl), ("istioctl", &spec.tools.istioctl)] {
            self.url(&KeyPath::of(&["tools", name, "url"]), &tool.url)?;
        }

        let image = &spec.probe.image;
        let qualified = image.split_once('/').is_some_and(|(host, rest)| {
            (host == "localhost" || host.contains('.') || host.contains(':')) && !rest.is_empty() && plain(image)
        });
        self.ensure(
            qualified,
            &["probe", "image"],
            image,
            "not a full image reference with the host of its registry, like docker.io/library/busybox:latest",
        )
    }

    fn url(&self, path: &KeyPath, text: &str) -> Result<(), SpecError> {
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Err(self.invalid(path, text, "a URL here starts with http:// or https://"));
        }
        let valid = text.parse::<http::Uri>().is_ok_and(|url| {
            let host = url.host().unwrap_or_default();
            // `http::Uri` lets through a port that is none, and then says that there is no port.
            let after_host = url.authority().and_then(|authority| authority.as_str().rsplit_once(host)).map_or("", |(_, after)| after);
            !host.is_empty() && (after_host.is_empty() || url.port_u16().is_some())
        });
        if valid { Ok(()) } else { Err(self.invalid(path, text, "not a URL")) }
    }
}

fn tools_mut(spec: &mut Spec) -> [(&'static str, &mut ToolSpec); 3] {
    [("kind", &mut spec.tools.kind), ("kubectl", &mut spec.tools.kubectl), ("istioctl", &mut spec.tools.istioctl)]
}

/// The Kubernetes version in a tag like `kindest/node:v1.33.4@sha256:…`. Tags of self-made images, like `v1.33.4-mine`, tell nothing.
fn version_in_tag(image: &str) -> Option<Version> {
    let name = image.split('@').next()?;
    let tag = name.rsplit('/').next()?.split_once(':')?.1;
    let version: Version = tag.starts_with('v').then(|| tag.parse().ok())??;
    let known = version.is_release() || ["alpha", "beta", "rc"].iter().any(|stage| version.pre.starts_with(stage));
    known.then_some(version)
}
