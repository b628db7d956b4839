//! A node's files: in memory, except under bind mounts, which are real directories of the host as with kind's `extraMounts`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A file in memory.
#[derive(Debug, Clone)]
struct File {
    content: Vec<u8>,
    mode: u32,
}

/// Files, directories and mounts. Paths are absolute.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    files: BTreeMap<String, File>,
    directories: BTreeSet<String>,
    /// Path on the node to directory on the host.
    mounts: BTreeMap<String, PathBuf>,
}

/// Why a file operation failed; the text is that of the C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// ENOENT.
    #[error("No such file or directory")]
    NotFound,
    /// EISDIR.
    #[error("Is a directory")]
    IsDirectory,
    /// ENOTDIR.
    #[error("Not a directory")]
    NotDirectory,
    /// EEXIST.
    #[error("File exists")]
    Exists,
    /// EBUSY.
    #[error("Device or resource busy")]
    Busy,
    /// EACCES and whatever else the host's file system says.
    #[error("Permission denied")]
    Refused,
}

impl From<std::io::Error> for TreeError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::NotFound,
            std::io::ErrorKind::IsADirectory => Self::IsDirectory,
            std::io::ErrorKind::NotADirectory => Self::NotDirectory,
            std::io::ErrorKind::AlreadyExists => Self::Exists,
            _ => Self::Refused,
        }
    }
}

/// `/a//b/./c/../d` to `/a/b/d`.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn below(directory: &str) -> String {
    if directory == "/" { directory.to_owned() } else { format!("{directory}/") }
}

impl Tree {
    /// Binds a directory of the host. What the tree has there is hidden.
    pub fn mount(&mut self, host: impl Into<PathBuf>, path: &str) {
        self.mounts.insert(clean(path), host.into());
    }

    /// Where on the host a path really is, if it is under a mount.
    ///
    /// # Errors
    /// For a path that would leave the mounted directory through a symbolic link. In a container such a link leads to the container's own
    /// files, which are not there; the host's are nobody's business here.
    fn on_host(&self, path: &str) -> Result<Option<PathBuf>, TreeError> {
        // The longest mount that contains the path wins.
        let mount = self.mounts.iter().rev().find(|(at, _)| path == at.as_str() || path.starts_with(&below(at)));
        let Some((at, host)) = mount else { return Ok(None) };
        let mut real = host.clone();
        for part in path[at.len()..].split('/').filter(|p| !p.is_empty()) {
            real.push(part);
            // One step after the other: what is not there yet cannot lead anywhere.
            if real.symlink_metadata().is_ok_and(|m| m.file_type().is_symlink()) {
                let (led, root) = (real.canonicalize()?, host.canonicalize()?);
                if !led.starts_with(&root) {
                    return Err(TreeError::NotFound);
                }
                real = led;
            }
        }
        Ok(Some(real))
    }

    /// The directory on the host that holds a path, unless the path is a mount itself.
    fn parent_on_host(&self, path: &str) -> Result<Option<PathBuf>, TreeError> {
        if self.mounts.contains_key(path) {
            return Ok(None);
        }
        self.on_host(path.rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent }))
    }

    /// A file's content.
    ///
    /// # Errors
    /// When it is not there or not a file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, TreeError> {
        let path = clean(path);
        if let Some(real) = self.on_host(&path)? {
            return if real.is_dir() { Err(TreeError::IsDirectory) } else { Ok(std::fs::read(real)?) };
        }
        match self.files.get(&path) {
            Some(file) => Ok(file.content.clone()),
            None if self.is_directory(&path) => Err(TreeError::IsDirectory),
            None => Err(TreeError::NotFound),
        }
    }

    /// A file's content as text; `None` if it cannot be read.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        self.read(path).ok().map(|content| String::from_utf8_lossy(&content).into_owned())
    }

    /// Writes a file; the directories above it are made.
    ///
    /// # Errors
    /// When a file is in the way, or the host does not let us.
    pub fn write(&mut self, path: &str, content: &[u8]) -> Result<(), TreeError> {
        let path = clean(path);
        if let Some(real) = self.on_host(&path)? {
            if let Some(parent) = real.parent() {
                std::fs::create_dir_all(parent)?;
            }
            return Ok(std::fs::write(real, content)?);
        }
        if self.is_directory(&path) {
            return Err(TreeError::IsDirectory);
        }
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        // A file that is no parent of anything is "not a directory", not "there already".
        self.make_directory(parent).map_err(|e| if e == TreeError::Exists { TreeError::NotDirectory } else { e })?;
        self.files.insert(path, File { content: content.to_vec(), mode: 0o644 });
        Ok(())
    }

    /// `mkdir -p`.
    ///
    /// # Errors
    /// When a file is in the way, or the host does not let us.
    pub fn make_directory(&mut self, path: &str) -> Result<(), TreeError> {
        let path = clean(path);
        if let Some(real) = self.on_host(&path)? {
            return Ok(std::fs::create_dir_all(real)?);
        }
        for (at, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
            if self.files.contains_key(&path[..at]) {
                return Err(if at == path.len() { TreeError::Exists } else { TreeError::NotDirectory });
            }
            self.directories.insert(path[..at].to_owned());
        }
        Ok(())
    }

    /// `rm`, or `rm -r` if `recursive`.
    ///
    /// # Errors
    /// When it is not there, or a directory without `recursive`.
    pub fn remove(&mut self, path: &str, recursive: bool) -> Result<(), TreeError> {
        let path = clean(path);
        if self.mounts.keys().any(|mount| *mount == path || mount.starts_with(&below(&path))) && recursive {
            // `rm` would empty the host's directory on its way to this error; a test's mistake must not.
            return Err(TreeError::Busy);
        }
        if let Some(parent) = self.parent_on_host(&path)? {
            // The link itself goes, not what it leads to.
            let real = parent.join(path.rsplit('/').next().unwrap_or_default());
            let directory = real.symlink_metadata()?.is_dir();
            return match (directory, recursive) {
                (true, true) => Ok(std::fs::remove_dir_all(real)?),
                (true, false) => Err(TreeError::IsDirectory),
                (false, _) => Ok(std::fs::remove_file(real)?),
            };
        }
        if self.files.remove(&path).is_some() {
            return Ok(());
        }
        if !self.is_directory(&path) {
            return Err(TreeError::NotFound);
        }
        if !recursive {
            return Err(TreeError::IsDirectory);
        }
        let inside = below(&path);
        self.files.retain(|name, _| !name.starts_with(&inside));
        self.directories.retain(|name| *name != path && !name.starts_with(&inside));
        Ok(())
    }

    /// The names in a directory, in order.
    ///
    /// # Errors
    /// When it is not there or no directory.
    pub fn list(&self, path: &str) -> Result<Vec<String>, TreeError> {
        let path = clean(path);
        if let Some(real) = self.on_host(&path)? {
            let entries = std::fs::read_dir(real)?.filter_map(Result::ok);
            let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            return Ok(names);
        }
        if self.files.contains_key(&path) {
            return Err(TreeError::NotDirectory);
        }
        if !self.is_directory(&path) {
            return Err(TreeError::NotFound);
        }
        let inside = below(&path);
        let all = self.files.keys().chain(&self.directories).chain(self.mounts.keys());
        let names = all.filter_map(|name| name.strip_prefix(&inside)?.split('/').next());
        let names: BTreeSet<&str> = names.filter(|n| !n.is_empty()).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self, path: &str) -> bool {
        let path = clean(path);
        match self.on_host(&path) {
            Ok(Some(real)) => return real.is_dir(),
            Err(_) => return false,
            Ok(None) => {}
        }
        let inside = below(&path);
        path == "/" || self.directories.contains(&path) || self.mounts.keys().any(|m| m.starts_with(&inside))
    }

    /// Whether it is a file.
    #[must_use]
    pub fn is_file(&self, path: &str) -> bool {
        let path = clean(path);
        self.on_host(&path).is_ok_and(|real| real.map_or_else(|| self.files.contains_key(&path), |real| real.is_file()))
    }

    /// Permission bits of a file in memory.
    #[must_use]
    pub fn mode(&self, path: &str) -> Option<u32> {
        self.files.get(&clean(path)).map(|f| f.mode)
    }

    /// Changes the permission bits of a file in memory.
    pub fn set_mode(&mut self, path: &str, mode: u32) {
        if let Some(file) = self.files.get_mut(&clean(path)) {
            file.mode = mode;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_and_go_with_their_files() {
        let mut tree = Tree::default();
        tree.write("/etc/a/b.conf", b"1").unwrap();
        tree.write("/etc/a/c/d", b"2").unwrap();
        assert_eq!(tree.list("/etc/a").unwrap(), ["b.conf", "c"]);
        assert_eq!(tree.read("/etc/a"), Err(TreeError::IsDirectory));
        assert_eq!(tree.read("/etc//a/./c/../b.conf").unwrap(), b"1");
        assert_eq!(tree.write("/etc/a/b.conf/x", b""), Err(TreeError::NotDirectory));
        assert_eq!(tree.remove("/etc/a", false), Err(TreeError::IsDirectory));
        tree.remove("/etc/a", true).unwrap();
        assert_eq!(tree.list("/etc/a"), Err(TreeError::NotFound));
        assert!(tree.is_directory("/etc"));
    }

    #[test]
    fn a_mount_is_the_hosts_directory_on_every_node() {
        let host = std::env::temp_dir().join(format!("sim-tree-{}", std::process::id()));
        std::fs::create_dir_all(host.join("docker.io")).unwrap();
        let (mut one, mut two) = (Tree::default(), Tree::default());
        for tree in [&mut one, &mut two] {
            tree.mount(&host, "/etc/containerd/certs.d");
        }
        one.write("/etc/containerd/certs.d/docker.io/hosts.toml", b"x").unwrap();
        assert_eq!(two.text("/etc/containerd/certs.d/docker.io/hosts.toml").as_deref(), Some("x"));
        assert_eq!(two.list("/etc/containerd").unwrap(), ["certs.d"]);
        assert!(host.join("docker.io/hosts.toml").is_file());
        two.remove("/etc/containerd/certs.d/docker.io", true).unwrap();
        assert!(!one.is_directory("/etc/containerd/certs.d/docker.io"));
        std::fs::remove_dir_all(host).unwrap();
    }
    #[test]
    fn nothing_below_a_mount_leaves_it() {
        let base = std::env::temp_dir().join(format!("sim-tree-links-{}", std::process::id()));
        let (inside, outside) = (base.join("in"), base.join("out"));
        std::fs::create_dir_all(inside.join("real")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("secret"), "s").unwrap();
        for (target, link) in [("../out", "up"), ("../out/secret", "file"), ("../out/new", "dangling"), ("real", "fine")] {
            std::os::unix::fs::symlink(target, inside.join(link)).unwrap();
        }
        std::os::unix::fs::symlink(&outside, inside.join("real/absolute")).unwrap();
        let mut tree = Tree::default();
        tree.mount(&inside, "/m");
        for path in [
            "/m/up/secret",
            "/m/file",
            "/m/real/absolute/secret",
            "/m/../out/secret",
            "/m/fine/absolute/secret",
            "/m/fine/../../out/secret",
        ] {
            assert!(tree.read(path).is_err(), "{path}");
            assert!(!tree.is_file(path), "{path}");
            let _ = tree.remove(path, true);
        }
        for path in ["/m/up/x", "/m/dangling", "/m/real/absolute/x", "/m/up/a/b", "/m/fine/absolute/x"] {
            assert!(tree.write(path, b"x").is_err(), "{path}");
            assert!(tree.make_directory(path).is_err(), "{path}");
        }
        assert!(tree.list("/m/up").is_err());
        tree.write("/m/fine/a", b"1").unwrap();
        assert_eq!(std::fs::read(inside.join("real/a")).unwrap(), b"1");
        // A link goes alone, and a mount does not go at all.
        tree.remove("/m/up", true).unwrap();
        for (path, recursive) in [("/m", true), ("/m", false), ("/", true)] {
            assert!(tree.remove(path, recursive).is_err(), "{path}");
        }
        assert!(inside.join("real").is_dir() && !inside.join("up").exists());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
        std::fs::remove_dir_all(base).unwrap();
    }
}
