//! Reading what a child writes.

use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

/// How much of each stream is kept; of more, the end.
pub(crate) const MAX_CAPTURE: usize = 4 * 1024 * 1024;
/// How much of each stream a journal record holds.
const MAX_RECORD: usize = 16 * 1024;
/// A line longer than this is handed on in pieces.
const MAX_LINE: usize = 64 * 1024;

/// One of the two streams of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The end of a stream, shared so that it can still be journalled when whoever reads it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Capture(Mutex<Vec<u8>>);

impl Capture {
    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        // Cut at twice the limit, so that a long stream is not moved with every read.
        if kept.len() > 2 * MAX_CAPTURE {
            let surplus = kept.len() - MAX_CAPTURE;
            kept.drain(..surplus);
        }
    }

    /// What is kept, as text.
    pub(crate) fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = kept.len().saturating_sub(MAX_CAPTURE);
        String::from_utf8_lossy(&kept[from..]).into_owned()
    }
}

/// The end of a redacted text that goes into a record. Cut after redaction: half a secret no longer has the shape of one.
pub(crate) fn record_tail(text: &str) -> String {
    if text.len() <= MAX_RECORD {
        return text.to_owned();
    }
    let mut from = text.len() - MAX_RECORD;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    format!("[{from} bytes before this are left out]\n{}", &text[from..])
}

/// Reads a stream to its end, keeps it, and calls `on_line` with each line as it comes.
pub(crate) async fn pump(stream: Option<impl AsyncRead + Unpin>, capture: &Capture, mut on_line: impl FnMut(&str)) {
    let Some(mut stream) = stream else { return };
    let mut chunk = vec![0; 16 * 1024];
    let mut line = Vec::new();
    // A read error on a pipe means that nothing more can come.
    while let Ok(n) = stream.read(&mut chunk).await
        && n > 0
    {
        capture.push(&chunk[..n]);
        for piece in chunk[..n].split_inclusive(|b| *b == b'\n') {
            line.extend_from_slice(piece);
            if line.ends_with(b"\n") || line.len() > MAX_LINE {
                on_line(trim(&String::from_utf8_lossy(&line)));
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        on_line(trim(&String::from_utf8_lossy(&line)));
    }
}

fn trim(line: &str) -> &str {
    line.trim_end_matches(['\n', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_stream_keeps_its_end_and_lines_are_whole() {
        let capture = Capture::default();
        let mut bytes = vec![b'a'; 2 * MAX_CAPTURE + 10];
        bytes.extend_from_slice(b"\nend\r\nno newline");
        let mut lines = Vec::new();
        pump(Some(&bytes[..]), &capture, |l| lines.push(l.to_owned())).await;
        let text = capture.text();
        assert_eq!(text.len(), MAX_CAPTURE);
        assert!(text.ends_with("\nend\r\nno newline"));
        assert_eq!(&lines[lines.len() - 2..], ["end", "no newline"]);
    }

    #[test]
    fn a_record_says_that_it_was_cut() {
        let text = record_tail(&"é".repeat(MAX_RECORD));
        assert!(text.starts_with("[16384 bytes before this are left out]\né"), "{}", &text[..60]);
    }
}
