//! What tags pointed at when upstream was last asked.

use std::io::Write;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tempfile::Builder;

use super::{Cache, CacheError, read, sync_dir, write};
use crate::mirror::name::{Digest, Repository};

/// Where a tag pointed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tag {
    /// Of which repository.
    pub repository: Repository,
    /// The tag.
    pub tag: String,
    /// The manifest.
    pub digest: Digest,
    /// What kind of manifest.
    pub media_type: String,
    /// When upstream said so.
    pub at: Timestamp,
}

impl Cache {
    /// Notes where a tag points.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_tag(&self, tag: &Tag) -> Result<(), CacheError> {
        let (dir, path) = (self.0.dir.join("tags"), self.tag_path(&tag.repository, &tag.tag));
        let mut file = Builder::new().suffix(".tmp").tempfile_in(&dir).map_err(write(&dir))?;
        // Tells other processes that its owner lives.
        file.as_file().lock().map_err(write(&dir))?;
        serde_json::to_vec(tag).map_err(Into::into).and_then(|json| file.write_all(&json)).map_err(write(&path))?;
        file.as_file().sync_all().map_err(write(&path))?;
        file.persist(&path).map_err(|e| write(&path)(e.error))?;
        sync_dir(&dir)
    }

    /// Where a tag pointed last. A note that cannot be understood is none.
    #[must_use]
    pub fn tag(&self, repository: &Repository, tag: &str) -> Option<Tag> {
        let note: Tag = serde_json::from_slice(&std::fs::read(self.tag_path(repository, tag)).ok()?).ok()?;
        (note.repository == *repository && note.tag == tag).then_some(note)
    }

    /// The tags of a repository that are known, in order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn tags(&self, repository: &Repository) -> Result<Vec<String>, CacheError> {
        let dir = self.0.dir.join("tags");
        let mut tags = Vec::new();
        for entry in std::fs::read_dir(&dir).map_err(read(&dir))? {
            let path = entry.map_err(read(&dir))?.path();
            let note = std::fs::read(&path).ok().and_then(|json| serde_json::from_slice::<Tag>(&json).ok());
            tags.extend(note.filter(|n| n.repository == *repository && path.extension().is_none()).map(|n| n.tag));
        }
        tags.sort();
        Ok(tags)
    }

    /// Tags differ in case and file systems may not, so that the name is a hash.
    fn tag_path(&self, repository: &Repository, tag: &str) -> PathBuf {
        self.0.dir.join("tags").join(Digest::of(format!("{repository}:{tag}").as_bytes()).hex())
    }
}
