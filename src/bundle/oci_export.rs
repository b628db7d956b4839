//! Images of a layout as `ctr images import` takes them: a layout that holds nothing else, as a tar archive.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::json;
use tar::{Builder, EntryType};

use super::archive::header;
use super::contents::Target;
use super::docker_export::{ExportError, image_tree, plain};
use super::manifest::{OCI_INDEX, descriptor};
use super::record::{INDEX_JSON, OCI_LAYOUT, OCI_LAYOUT_TEXT, blob_path};
use crate::mirror::layout::{IMAGE_NAME, Layout};
use crate::mirror::name::{Digest, ImageName};

/// Writes images of a layout below a directory of an archive, each under its tag and its digest as containerd names what it pulled. Images of
/// other platforms are left out, although an index may name them. It blocks; see [`super::pipe::writer`] for the way to the engine.
///
/// # Errors
/// When an image is not there or not whole, or the archive cannot be written.
pub fn export_oci_archive(layout: &Layout, images: &[ImageName], target: &Target, below: &str, out: impl Write) -> Result<(), ExportError> {
    let mut blobs: BTreeMap<Digest, u64> = BTreeMap::new();
    let mut entries = Vec::new();
    for name in images {
        let (top, tree) = image_tree(layout, name, target)?;
        blobs.extend(tree.blobs.into_iter().map(|(digest, (size, _))| (digest, size)));
        let by_tag = name.tag.iter().map(|tag| format!("{}:{tag}", name.repository));
        for full in by_tag.chain([format!("{}@{}", name.repository, top.digest)]) {
            let mut entry = descriptor(&top.media_type, top.digest.clone(), top.size);
            entry.annotations.insert(IMAGE_NAME.to_owned(), full);
            entries.push(entry);
        }
    }
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries }).to_string();

    let mut archive = Builder::new(out);
    for dir in ["", "/blobs", "/blobs/sha256"] {
        let mut header = header(&format!("{below}{dir}/"), 0, true).map_err(ExportError::Write)?;
        header.set_entry_type(EntryType::Directory);
        header.set_cksum();
        archive.append(&header, std::io::empty()).map_err(ExportError::Write)?;
    }
    for (path, text) in [(OCI_LAYOUT, OCI_LAYOUT_TEXT), (INDEX_JSON, &index)] {
        let header = header(&format!("{below}/{path}"), text.len() as u64, false).map_err(ExportError::Write)?;
        archive.append(&header, text.as_bytes()).map_err(ExportError::Write)?;
    }
    for (digest, size) in blobs {
        let path = format!("{below}/{}", blob_path(&digest));
        plain(&mut archive, layout, &descriptor("", digest, size), &path)?;
    }
    archive.into_inner().and_then(|mut out| out.flush()).map_err(ExportError::Write)
}

#[cfg(test)]
#[path = "oci_export_tests.rs"]
mod tests;
