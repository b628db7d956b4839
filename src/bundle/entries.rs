//! The entries of an archive that nobody vouches for, one after the other.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use super::archive::{ArchiveError, BLOCK, Limits, header, padding};

/// What level 3 needs, and a little more; a larger window is somebody's who wants our memory.
const MAX_WINDOW_LOG: u32 = 24;

/// An entry whose content comes next.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) size: u64,
    header: Header,
}

impl Entry {
    fn of(header: Header) -> Result<Self, ArchiveError> {
        let shown = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        if let Some(kind) = odd_kind(header.entry_type()) {
            return Err(ArchiveError::Kind { entry: shown, kind });
        }
        let Ok(path) = String::from_utf8(header.path_bytes().into_owned()) else { return Err(ArchiveError::NotText { entry: shown }) };
        if path.split('/').any(|c| matches!(c, "" | "." | "..")) {
            return Err(ArchiveError::Traversal { entry: path });
        }
        let Ok(size) = header.entry_size() else { return Err(ArchiveError::Header { entry: path }) };
        Ok(Self { path, size, header })
    }

    /// Whether all its header is as meshproof writes it.
    pub(super) fn is_plain(&self, executable: bool) -> Result<(), ArchiveError> {
        match header(&self.path, self.size, executable) {
            Ok(own) if own.as_bytes() == self.header.as_bytes() => Ok(()),
            _ => Err(ArchiveError::Header { entry: self.path.clone() }),
        }
    }
}

fn odd_kind(kind: EntryType) -> Option<&'static str> {
    Some(match kind {
        EntryType::Regular => return None,
        EntryType::Link => "hard link",
        EntryType::Symlink => "symbolic link",
        EntryType::Char | EntryType::Block => "device",
        EntryType::Fifo => "pipe",
        EntryType::Directory => "directory",
        EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink => "header extension",
        _ => "thing of an unknown kind",
    })
}

/// Reads the entries.
pub(super) struct Reader {
    path: PathBuf,
    input: Metered,
    entry: String,
}

impl Reader {
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<Self, ArchiveError> {
        let read = |source| ArchiveError::Read { path: path.to_owned(), source };
        let file = BufReader::with_capacity(128 * 1024, Counted { file: File::open(path).map_err(read)?, count: 0 });
        let mut decoder = zstd::Decoder::with_buffer(file).map_err(read)?.single_frame();
        decoder.window_log_max(MAX_WINDOW_LOG).map_err(read)?;
        Ok(Self { path: path.to_owned(), input: Metered { decoder, limits: *limits, out: 0 }, entry: String::new() })
    }

    fn failed(&self, source: io::Error) -> ArchiveError {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::Truncated,
            io::ErrorKind::FileTooLarge => ArchiveError::Bomb { entry: self.entry.clone(), ratio: self.input.limits.ratio },
            _ => ArchiveError::Read { path: self.path.clone(), source },
        }
    }

    fn block(&mut self) -> Result<[u8; BLOCK], ArchiveError> {
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block).map_err(|e| self.failed(e))?;
        Ok(block)
    }

    /// The next entry, or the first half of the end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let block = self.block()?;
        if block == [0; BLOCK] {
            return Ok(None);
        }
        let entry = Entry::of(Header::from_byte_slice(&block).clone())?;
        self.entry.clone_from(&entry.path);
        Ok(Some(entry))
    }

    /// The content of the entry that came last, which `read` has to read to its end.
    pub(super) fn content(&mut self, entry: &Entry, read: impl FnOnce(&mut dyn Read) -> io::Result<()>) -> Result<(), ArchiveError> {
        let mut content = (&mut self.input).take(entry.size);
        let done = read(&mut content);
        let left = content.limit();
        done.map_err(|e| self.failed(e))?;
        if left > 0 {
            return Err(ArchiveError::Truncated);
        }
        let mut rest = [0; BLOCK];
        let rest = &mut rest[..padding(entry.size)];
        self.input.read_exact(rest).map_err(|e| self.failed(e))?;
        if rest.iter().any(|b| *b != 0) { Err(ArchiveError::Header { entry: entry.path.clone() }) } else { Ok(()) }
    }

    /// The other half of the end, and nothing behind it.
    pub(super) fn end(mut self) -> Result<(), ArchiveError> {
        if self.block()? != [0; BLOCK] {
            return Err(ArchiveError::Trailing);
        }
        let more = self.input.read(&mut [0]).map_err(|e| self.failed(e))?;
        let path = self.path;
        let mut file = self.input.decoder.finish();
        let behind = file.fill_buf().map_err(|source| ArchiveError::Read { path, source })?;
        if more > 0 || !behind.is_empty() { Err(ArchiveError::Trailing) } else { Ok(()) }
    }
}

struct Counted {
    file: File,
    count: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.count += n as u64;
        Ok(n)
    }
}

/// Fails where too much comes out for what goes in.
struct Metered {
    decoder: zstd::Decoder<'static, BufReader<Counted>>,
    limits: Limits,
    out: u64,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.decoder.read(buffer)?;
        self.out += n as u64;
        let read = self.decoder.get_ref().get_ref().count;
        if self.out > self.limits.slack && self.out > read.saturating_mul(self.limits.ratio) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(n)
    }
}
