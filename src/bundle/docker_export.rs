//! An image as `docker load` takes it, of every engine since 20.10.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::json;
use tar::Builder;

use super::archive::{BLOCK, header, padding};
use super::blobs::drain;
use super::contents::Target;
use super::manifest::{MAX_BYTES, ManifestError, Shelf, Tree, walk};
use super::pipe::{self, PipeWriter};
use crate::engine::EngineError;
use crate::mirror::layout::{Descriptor, Layout};
use crate::mirror::name::{Digest, ImageName};

/// Errors of exporting.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The layout has no such image.
    #[error("{name} is not in the image layout")]
    NoImage {
        /// Its name.
        name: ImageName,
    },
    /// The image is not complete.
    #[error("the image {name} is not complete")]
    Image {
        /// Its name.
        name: ImageName,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// A blob cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A blob was changed. What was written up to here must not be used.
    #[error("{digest} was changed: its content has the digest {found}")]
    Changed {
        /// The blob.
        digest: Digest,
        /// What it is.
        found: Digest,
    },
    /// The archive cannot be written.
    #[error("the archive for the engine cannot be written")]
    Write(#[source] io::Error),
}

/// The bytes of an archive.
pub(super) type ArchiveStream = BoxStream<'static, io::Result<Bytes>>;

pub(super) struct Blobs<'a>(pub(super) &'a Layout);

impl Shelf for Blobs<'_> {
    fn size(&self, digest: &Digest) -> Option<u64> {
        std::fs::symlink_metadata(self.0.blob(digest)).ok().filter(std::fs::Metadata::is_file).map(|m| m.len())
    }

    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.0.blob(digest)).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// What a name of a layout stands for, and all that belongs to it for a platform.
pub(super) fn image_tree(layout: &Layout, name: &ImageName, target: &Target) -> Result<(Descriptor, Tree), ExportError> {
    let top = layout.images().get(name).cloned().or_else(|| layout.resolve(&name.repository, &name.reference()));
    let top = top.ok_or_else(|| ExportError::NoImage { name: name.clone() })?;
    let tree = walk(&Blobs(layout), &top.digest, &top.media_type, std::slice::from_ref(target));
    Ok((top, tree.map_err(|source| ExportError::Image { name: name.clone(), source })?))
}

/// Writes an archive into the engine, of which `send` is the other end. It is the engine that says why it broke off.
pub(super) async fn into_engine<T, E, Sent>(
    write: impl FnOnce(&mut PipeWriter) -> Result<(), ExportError> + Send + 'static,
    send: impl FnOnce(ArchiveStream) -> Sent,
) -> Result<T, E>
where
    E: From<ExportError> + From<EngineError>,
    Sent: Future<Output = Result<T, EngineError>>,
{
    let (mut writer, archive) = pipe::writer();
    let written = tokio::task::spawn_blocking(move || {
        write(&mut writer)?;
        writer.finish().map_err(ExportError::Write)
    });
    let sent = send(archive.boxed()).await;
    match written.await {
        Ok(Err(ExportError::Write(_))) if sent.is_err() => {}
        Ok(written) => written?,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
    Ok(sent?)
}

/// Writes an image of a layout as an archive for `docker load`, and tells the identifier that the engine knows it by. Only a name with a tag can
/// be given to the engine; without one the image has no name there. It blocks; see [`super::pipe::writer`] for the way to the engine.
///
/// # Errors
/// When the image is not there or not whole, or the archive cannot be written.
pub fn export_docker_archive(layout: &Layout, name: &ImageName, target: &Target, out: impl Write) -> Result<Digest, ExportError> {
    let (top, mut tree) = image_tree(layout, name, target)?;
    let missing = || ManifestError::NoPlatform { digest: top.digest.clone(), target: target.clone() };
    let found = tree.images.remove(target).ok_or_else(missing);
    let (_, image) = found.map_err(|source| ExportError::Image { name: name.clone(), source })?;

    let mut archive = Builder::new(out);
    let config = format!("{}.json", image.config.digest.hex());
    plain(&mut archive, layout, &image.config, &config)?;
    let mut written = BTreeSet::new();
    let mut layers = Vec::new();
    for layer in &image.layers {
        let path = format!("{}/layer.tar", layer.digest.hex());
        if written.insert(&layer.digest) {
            // Engines of today unpack gzip as they load; zstd came later.
            if layer.media_type.ends_with("zstd") {
                unpacked(&mut archive, layout, layer, &path)?;
            } else {
                plain(&mut archive, layout, layer, &path)?;
            }
        }
        layers.push(path);
    }
    let tags: Vec<String> = name.tag.iter().map(|tag| format!("{}:{tag}", name.repository)).collect();
    let manifest = json!([{ "Config": config, "RepoTags": tags, "Layers": layers }]).to_string();
    let header = header("manifest.json", manifest.len() as u64, false).map_err(ExportError::Write)?;
    archive.append(&header, manifest.as_bytes()).map_err(ExportError::Write)?;
    archive.into_inner().and_then(|mut out| out.flush()).map_err(ExportError::Write)?;
    Ok(image.config.digest)
}

pub(super) fn plain(archive: &mut Builder<impl Write>, layout: &Layout, part: &Descriptor, path: &str) -> Result<(), ExportError> {
    let from = layout.blob(&part.digest);
    let file = File::open(&from).map_err(|source| ExportError::Read { path: from, source })?;
    let (digest, _) = append(archive, layout, part, path, part.size, file.take(part.size))?;
    if digest == part.digest { Ok(()) } else { Err(ExportError::Changed { digest: part.digest.clone(), found: digest }) }
}

/// The size must be known before the content, so it is unpacked twice.
fn unpacked(archive: &mut Builder<impl Write>, layout: &Layout, part: &Descriptor, path: &str) -> Result<(), ExportError> {
    let from = layout.blob(&part.digest);
    let open = || File::open(&from).and_then(|f| zstd::Decoder::with_buffer(BufReader::new(f)));
    let read = |source| ExportError::Read { path: from.clone(), source };
    let (packed, _) = File::open(&from).and_then(|f| drain(f, |_| Ok(()))).map_err(read)?;
    if packed != part.digest {
        return Err(ExportError::Changed { digest: part.digest.clone(), found: packed });
    }
    let (before, size) = open().and_then(|d| drain(d, |_| Ok(()))).map_err(read)?;
    let (digest, _) = append(archive, layout, part, path, size, open().map_err(read)?.take(size))?;
    if digest == before { Ok(()) } else { Err(ExportError::Changed { digest: before, found: digest }) }
}

fn append(
    archive: &mut Builder<impl Write>,
    layout: &Layout,
    part: &Descriptor,
    path: &str,
    size: u64,
    content: impl Read,
) -> Result<(Digest, u64), ExportError> {
    let out = archive.get_mut();
    out.write_all(header(path, size, false).map_err(ExportError::Write)?.as_bytes()).map_err(ExportError::Write)?;
    let mut failed = None;
    let copied = drain(content, |chunk| {
        out.write_all(chunk).map_err(|e| {
            failed = Some(e);
            io::ErrorKind::BrokenPipe.into()
        })
    });
    if let Some(e) = failed {
        return Err(ExportError::Write(e));
    }
    let read = |source| ExportError::Read { path: layout.blob(&part.digest), source };
    let (digest, found) = copied.map_err(read)?;
    if found != size {
        return Err(read(io::ErrorKind::UnexpectedEof.into()));
    }
    out.write_all(&[0; BLOCK][..padding(size)]).map_err(ExportError::Write)?;
    Ok((digest, size))
}
