//! The bundle of an environment: what goes into it by its spec, and the spec of an environment that is made from it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::contents::{Contents, Role, Target, ToolSource, WantedImage, WantedManifest, WantedTool};
use super::manifest::images_of_manifest;
use super::node_image::NodeImage;
use super::record::{Record, RecordError};
use crate::mirror::layout::LayoutError;
use crate::mirror::name::{ImageName, NameError};
use crate::spec::{Spec, catalog, to_document};

/// The manifests of a bundle by their names in it.
pub const DASHBOARD: &str = "dashboard";
/// See [`DASHBOARD`].
pub const GATEWAY_API: &str = "gateway-api";
/// The spec that a bundle was made from, which is the ground of every environment that is made from it.
pub const ENVIRONMENT: &str = "environment";

/// Errors of going from a spec to a bundle and back.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A manifest cannot be read.
    #[error("the manifest {manifest} cannot be read")]
    Manifest {
        /// Where it came from.
        manifest: String,
        /// Why.
        source: serde_saphyr::Error,
    },
    /// An image has no name that can be used.
    #[error("the image {image} has no usable name")]
    Name {
        /// As it was written.
        image: String,
        /// Why.
        source: NameError,
    },
    /// `bundle.json` cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `bundle.json` is not what meshproof writes.
    #[error("{path} is no bundle's")]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RecordError,
    },
    /// A tool cannot be given its name.
    #[error("cannot link {path}")]
    Link {
        /// The link.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The images cannot be read.
    #[error("the images of the bundle {dir} cannot be read")]
    Layout {
        /// The bundle.
        dir: PathBuf,
        /// Why.
        source: LayoutError,
    },
    /// The bundle lacks something that the environment needs.
    #[error("the bundle {dir} has no {what}")]
    Lacks {
        /// The bundle.
        dir: PathBuf,
        /// What.
        what: String,
    },
}

/// The texts of the manifests that a spec names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifests {
    /// Of the Dashboard.
    pub dashboard: String,
    /// Of the Gateway API.
    pub gateway_api: String,
}

/// Everything that an environment of this spec needs. Tools are those of this machine, `tools` says where each is.
///
/// # Errors
/// When a manifest or the name of an image cannot be read.
pub fn contents(spec: &Spec, manifests: &Manifests, tools: [PathBuf; 3], more: &[String]) -> Result<Contents, EnvironmentError> {
    let named = |image: &str| image.parse::<ImageName>().map_err(|source| EnvironmentError::Name { image: image.to_owned(), source });
    let mut images = vec![WantedImage { name: named(&spec.cluster.node_image)?, role: Role::Node }];
    let mut want = |image: &str, role| -> Result<(), EnvironmentError> {
        images.push(WantedImage { name: named(image)?, role });
        Ok(())
    };
    let unreadable = |source| EnvironmentError::Manifest { manifest: spec.dashboard.manifest.clone(), source };
    for image in images_of_manifest(&manifests.dashboard).map_err(unreadable)?.into_iter().collect::<BTreeSet<_>>() {
        want(&image, Role::Dashboard)?;
    }
    for image in catalog::istio_images(&spec.istio.hub, &spec.istio.version) {
        want(&image, Role::Istio)?;
    }
    want(&spec.probe.image, Role::Probe)?;
    for image in more {
        want(image, Role::Probe)?;
    }
    let (os, arch) = here();
    let versions = [("kind", &spec.tools.kind), ("kubectl", &spec.tools.kubectl), ("istioctl", &spec.tools.istioctl)];
    let tool = |((name, tool), file): ((&str, &crate::spec::ToolSpec), PathBuf)| WantedTool {
        name: name.to_owned(),
        version: tool.version.clone(),
        os: os.clone(),
        arch: arch.clone(),
        source: ToolSource::File(file),
    };
    let manifest =
        |name: &str, source: &str, text: &str| WantedManifest { name: name.to_owned(), source: source.to_owned(), text: text.to_owned() };
    Ok(Contents {
        profile: spec.profile.clone(),
        platforms: vec![node_platform()],
        images,
        tools: versions.into_iter().zip(tools).map(tool).collect(),
        manifests: vec![
            manifest(DASHBOARD, &spec.dashboard.manifest, &manifests.dashboard),
            manifest(GATEWAY_API, &spec.gateway_api.manifest, &manifests.gateway_api),
            manifest(ENVIRONMENT, "meshproof", &environment(spec)),
        ],
    })
}

/// The spec without what is about the machine that the bundle was made on.
fn environment(spec: &Spec) -> String {
    let mut spec = spec.clone();
    for tool in [&mut spec.tools.kind, &mut spec.tools.kubectl, &mut spec.tools.istioctl] {
        tool.path = None;
    }
    spec.downloads.proxy = None;
    spec.bundle = None;
    // JSON is YAML, and its keys have an order.
    let mut text = serde_json::to_string_pretty(&to_document(&spec)).expect("a spec can be written");
    text.push('\n');
    text
}

/// The platform of the nodes: the engine's, which is this machine's.
#[must_use]
pub fn node_platform() -> Target {
    Target { os: "linux".to_owned(), arch: here().1, variant: None }
}

/// System and processor in Go's words.
fn here() -> (String, String) {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let os = if std::env::consts::OS == "macos" { "darwin" } else { std::env::consts::OS };
    (os.to_owned(), arch.to_owned())
}

/// The spec file of a bundle, over which others may be laid.
#[must_use]
pub fn spec_file(dir: &Path) -> PathBuf {
    dir.join("manifests").join(format!("{ENVIRONMENT}.yaml"))
}

/// Lets a spec take everything from a bundle: the tools, the manifests, the node image, and through the recording mirror every other image.
/// `links` is a directory for the tools under their own names: there are programs that go by what they are called.
///
/// # Errors
/// When the bundle cannot be read or lacks something.
pub fn bind(spec: &mut Spec, dir: &Path, links: &Path) -> Result<(), EnvironmentError> {
    let path = dir.join("bundle.json");
    let bytes = std::fs::read(&path).map_err(|source| EnvironmentError::Read { path: path.clone(), source })?;
    let record = Record::parse(&bytes).map_err(|source| EnvironmentError::Record { path, source })?;
    let lacks = |what: String| EnvironmentError::Lacks { dir: dir.to_owned(), what };
    let text = |relative: &str| dir.join(relative).display().to_string();

    let (os, arch) = here();
    for (name, tool) in [("kind", &mut spec.tools.kind), ("kubectl", &mut spec.tools.kubectl), ("istioctl", &mut spec.tools.istioctl)] {
        let found = record.tools.iter().find(|t| t.name == name && t.version == tool.version && t.os == os && t.arch == arch);
        let found = found.ok_or_else(|| lacks(format!("{name} {} for {os}/{arch}", tool.version)))?;
        let link = links.join(&found.sha256.hex()[..16]).join(name);
        linked(&dir.join(found.path()), &link).map_err(|source| EnvironmentError::Link { path: link.clone(), source })?;
        tool.path = Some(link.display().to_string());
    }
    for (name, manifest) in [(DASHBOARD, &mut spec.dashboard.manifest), (GATEWAY_API, &mut spec.gateway_api.manifest)] {
        let found = record.manifests.iter().find(|m| m.name == name).ok_or_else(|| lacks(format!("manifest {name}")))?;
        *manifest = text(&found.path());
    }
    let node = NodeImage::find(&spec.cluster.node_image, dir)?;
    spec.cluster.node_image = if spec.cluster.preloaded { node.preloaded_name(&record) } else { node.name };
    spec.recording.mirror = true;
    spec.bundle = Some(dir.display().to_string());
    Ok(())
}

/// Lets a link lead to a file. One that leads to another bundle's is as good while that is there: its directory says what it is.
fn linked(file: &Path, link: &Path) -> std::io::Result<()> {
    if link.exists() {
        return Ok(());
    }
    let parent = link.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    // Renamed into place, since another process may do the same.
    let new = tempfile::Builder::new().prefix(".link-").tempdir_in(parent)?;
    let new = new.path().join("link");
    std::os::unix::fs::symlink(file, &new)?;
    std::fs::rename(new, link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Request, load};

    const DASHBOARD_MANIFEST: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {spec: {containers: [{name: c, image: kubernetesui/dashboard:v2.7.0}]}}}\n";

    fn manifests() -> Manifests {
        Manifests { dashboard: DASHBOARD_MANIFEST.to_owned(), gateway_api: "kind: X\n".to_owned() }
    }

    #[test]
    fn a_bundle_has_what_the_guide_pulls_runs_and_applies() {
        let spec = load(&Request::default()).unwrap();
        let contents = contents(&spec, &manifests(), ["k", "c", "i"].map(PathBuf::from), &["quay.io/a/b:1".to_owned()]).unwrap();
        let images: Vec<String> = contents.images.iter().map(|i| i.name.to_string()).collect();
        for wanted in [
            "docker.io/kindest/node:v1.33.4@sha256:25a6018e48dfcaee478f4a59af81157a437f15e6e140bf103f85a2e7cd0cbbf2",
            "docker.io/kubernetesui/dashboard:v2.7.0",
            "docker.io/istio/pilot:1.27.1-distroless",
            "docker.io/istio/install-cni:1.27.1-distroless",
            "docker.io/istio/ztunnel:1.27.1-distroless",
            "docker.io/istio/proxyv2:1.27.1-distroless",
            "docker.io/library/busybox:latest",
            "quay.io/a/b:1",
        ] {
            assert!(images.iter().any(|i| i == wanted), "{wanted} is not in {images:?}");
        }
        assert_eq!(
            contents.tools.iter().map(|t| (t.name.as_str(), t.version.as_str())).collect::<Vec<_>>(),
            [("kind", "0.30.0"), ("kubectl", "1.33.4"), ("istioctl", "1.27.1"),]
        );
    }

    #[test]
    fn the_spec_in_a_bundle_is_a_spec_file_and_tells_nothing_of_its_machine() {
        let mut spec = load(&Request::default()).unwrap();
        spec.tools.kind.path = Some("/home/me/kind".to_owned());
        spec.downloads.proxy = Some("http://me:secret@proxy".to_owned());
        let text = environment(&spec);
        assert!(!text.contains("/home/me") && !text.contains("secret"), "{text}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("environment.yaml");
        std::fs::write(&file, &text).unwrap();
        let again = load(&Request { files: vec![file], ..Request::default() }).unwrap();
        assert_eq!(again, load(&Request::default()).unwrap());
    }

    #[test]
    fn what_a_bundle_lacks_is_named() {
        let mut spec = load(&Request::default()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let error = bind(&mut spec, dir.path(), dir.path()).unwrap_err();
        assert!(error.to_string().contains("bundle.json"), "{error}");
    }
}
