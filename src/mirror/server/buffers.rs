//! Memory that what is read from files is sent from. It is used again and again: new memory for every piece of a layer would cost more than
//! reading it does.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// The size of a buffer in bytes.
pub(super) const BUFFER: usize = 256 * 1024;
/// How many are kept for the next ones who read: 8 MiB.
const KEPT: usize = 32;

static FREE: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A buffer with something in it, which goes back when it was sent.
struct Lent {
    buffer: Box<[u8]>,
    length: usize,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.buffer));
        }
    }
}

/// Reads at most so many bytes of a file, and never more than a buffer holds; fewer only at its end.
pub(super) fn read_buffer(file: &File, offset: u64, limit: usize) -> io::Result<Bytes> {
    let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut lent = Lent { buffer: free.unwrap_or_else(|| vec![0; BUFFER].into()), length: 0 };
    let limit = limit.min(BUFFER);
    while lent.length < limit {
        match rustix::io::pread(file, &mut lent.buffer[lent.length..limit], offset + lent.length as u64) {
            Ok(0) => break,
            Ok(read) => lent.length += read,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(Bytes::from_owner(lent))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::mirror::testing::noise;

    #[test]
    fn what_is_read_is_what_the_file_has_there() {
        let content = noise(BUFFER + 1000);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        // More often than buffers are kept, and some of them at the same time.
        let mut held = Vec::new();
        for round in 0..3 * KEPT {
            let (offset, limit) = (round * 100, if round % 2 == 0 { BUFFER } else { 10 });
            let bytes = read_buffer(&file, offset as u64, limit).unwrap();
            assert_eq!(bytes, content[offset..content.len().min(offset + limit)]);
            if round % 3 == 0 {
                held.push((offset, bytes));
            }
        }
        for (offset, bytes) in held {
            assert_eq!(bytes, content[offset..offset + bytes.len()]);
        }
        assert_eq!(read_buffer(&file, content.len() as u64, 10).unwrap(), Bytes::new());
        assert_eq!(read_buffer(&file, 0, 2 * BUFFER).unwrap().len(), BUFFER);
    }
}
