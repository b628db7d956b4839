//! Small images, layouts and bundles for tests.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::blobs::Blobs;
use super::contents::{Contents, Role, ToolSource, WantedImage, WantedManifest, WantedTool};
use super::create::{Bundle, CreateError, Event, Sources, create};
use super::fetch::Images;
use super::manifest::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, descriptor};
use crate::mirror::layout::{Descriptor, IMAGE_NAME, Layout};
use crate::mirror::name::Digest;

/// An image layout that grows.
pub(super) struct Shop {
    pub(super) dir: TempDir,
    blobs: Blobs,
}

impl Shop {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        Self { dir, blobs }
    }

    pub(super) fn put(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        descriptor(media_type, self.blobs.put(bytes).unwrap(), bytes.len() as u64)
    }

    pub(super) fn image(&self, arch: &str, layers: &[&[u8]]) -> Descriptor {
        let ids: Vec<Digest> = layers.iter().map(|l| Digest::of(l)).collect();
        let config = json!({ "os": "linux", "architecture": arch, "rootfs": { "type": "layers", "diff_ids": ids } });
        let config = self.put(OCI_CONFIG, config.to_string().as_bytes());
        let layers: Vec<Descriptor> = layers.iter().map(|l| self.put(OCI_LAYER, l)).collect();
        self.manifest(&config, &layers)
    }

    pub(super) fn manifest(&self, config: &Descriptor, layers: &[Descriptor]) -> Descriptor {
        let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers });
        self.put(OCI_MANIFEST, manifest.to_string().as_bytes())
    }

    /// An index of images for these processors; a platform of no word stays away.
    pub(super) fn index(&self, images: &[(&str, &Descriptor)]) -> Descriptor {
        let entry = |(arch, image): &(&str, &Descriptor)| {
            let mut image = json!(image);
            if !arch.is_empty() {
                image["platform"] = json!({ "os": "linux", "architecture": arch });
            }
            image
        };
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": images.iter().map(entry).collect::<Vec<_>>() });
        self.put(OCI_INDEX, index.to_string().as_bytes())
    }

    pub(super) fn layout(&self, names: &[(&str, &Descriptor)]) -> Layout {
        let entry = |(name, top): &(&str, &Descriptor)| {
            let mut top = (*top).clone();
            top.annotations.insert(IMAGE_NAME.to_owned(), (*name).to_owned());
            top
        };
        let index = json!({ "schemaVersion": 2, "manifests": names.iter().map(entry).collect::<Vec<_>>() });
        std::fs::write(self.dir.path().join("index.json"), index.to_string()).unwrap();
        std::fs::write(self.dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Layout::open(self.dir.path()).unwrap()
    }
}

pub(super) const PROXY: &str = "docker.io/istio/proxyv2:1.27.1";
pub(super) const PILOT: &str = "docker.io/istio/pilot:1.27.1";

/// Two images, one of them for two platforms, with a layer that both have.
pub(super) fn istio() -> (Shop, Layout) {
    let shop = Shop::new();
    let amd = shop.image("amd64", &[b"base", b"proxy for amd64"]);
    let arm = shop.image("arm64", &[b"other base", b"proxy for arm64"]);
    let index = shop.index(&[("arm64", &arm), ("amd64", &amd)]);
    let pilot = shop.image("amd64", &[b"base", b"pilot"]);
    let layout = shop.layout(&[(PROXY, &index), (PILOT, &pilot)]);
    (shop, layout)
}

pub(super) fn wanted(names: &[&str]) -> Contents {
    let image = |name: &&str| WantedImage { name: name.parse().unwrap(), role: Role::Istio };
    Contents {
        profile: "guide".to_owned(),
        platforms: vec!["linux/amd64".parse().unwrap()],
        images: names.iter().map(image).collect(),
        tools: Vec::new(),
        manifests: vec![WantedManifest {
            name: "dashboard".to_owned(),
            source: "https://example.test/recommended.yaml".to_owned(),
            text: "kind: Namespace\n".to_owned(),
        }],
    }
}

pub(super) fn tool(name: &str, file: &Path) -> WantedTool {
    WantedTool {
        name: name.to_owned(),
        version: "0.30.0".to_owned(),
        os: "linux".to_owned(),
        arch: "amd64".to_owned(),
        source: ToolSource::File(file.to_owned()),
    }
}

pub(super) fn from(layouts: &[&Layout]) -> Sources {
    let layouts = layouts.iter().map(|l| (*l).clone()).collect();
    Sources { images: Images { layouts, ..Images::default() }, tools: None }
}

pub(super) fn silent(_: Event<'_>) {}

pub(super) fn create_now(contents: &Contents, sources: &Sources, dir: &Path) -> Result<Bundle, CreateError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(create(contents, sources, dir, &silent))
}

/// A bundle of both images, a tool and a manifest.
pub(super) fn bundle() -> (TempDir, PathBuf) {
    let (_shop, layout) = istio();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kind");
    std::fs::write(&file, b"#!/bin/sh\n").unwrap();
    let mut contents = wanted(&[PROXY, PILOT]);
    contents.tools.push(tool("kind", &file));
    let made = dir.path().join("bundle");
    create_now(&contents, &from(&[&layout]), &made).unwrap();
    (dir, made)
}

/// All files below a directory with their content.
pub(super) fn tree(dir: &Path) -> Vec<(String, u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt;
    let mut all = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        let path = |p: &Path| p.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        all.push((path(&at), at.metadata().unwrap().permissions().mode(), Vec::new()));
        for entry in std::fs::read_dir(&at).unwrap() {
            let entry = entry.unwrap().path();
            if entry.is_dir() {
                dirs.push(entry);
            } else {
                all.push((path(&entry), entry.metadata().unwrap().permissions().mode(), std::fs::read(&entry).unwrap()));
            }
        }
    }
    all.sort();
    all
}

/// A tar archive of these headers and contents, whatever they say.
pub(super) fn tape(entries: &[(tar::Header, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (header, content) in entries {
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.write_all(&[0; 1024]).unwrap();
    out
}
