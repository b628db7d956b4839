//! Between streams, which the engine and servers speak, and the readers and writers of archives, which run on threads of their own.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes, BytesMut};
use futures::stream::{self, Stream, StreamExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Chunks that may wait for the other side.
const WAITING: usize = 16;
const CHUNK: usize = 64 * 1024;

/// Reads a stream. The reading blocks, so it belongs into [`tokio::task::spawn_blocking`].
#[derive(Debug)]
pub struct PipeReader {
    /// None is the end; without it, the task went away early.
    chunks: Receiver<io::Result<Option<Bytes>>>,
    chunk: Bytes,
    ended: bool,
}

/// A reader of a stream, which a task of this runtime drives. Dropping the reader ends the task.
pub fn reader<S>(mut stream: S) -> PipeReader
where
    S: Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
{
    let (sender, chunks) = channel(WAITING);
    tokio::spawn(async move {
        while let Some(chunk) = stream.next().await {
            let failed = chunk.is_err();
            if sender.send(chunk.map(Some)).await.is_err() || failed {
                return;
            }
        }
        let _ = sender.send(Ok(None)).await;
    });
    PipeReader { chunks, chunk: Bytes::new(), ended: false }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() && !self.ended {
            match self.chunks.blocking_recv() {
                Some(chunk) => match chunk? {
                    Some(chunk) => self.chunk = chunk,
                    None => self.ended = true,
                },
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let n = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}

/// Writes into a stream. The writing blocks, so it belongs into [`tokio::task::spawn_blocking`]. One that is dropped before
/// [`PipeWriter::finish`] ends its stream with an error, so that nobody takes a part for the whole.
#[derive(Debug)]
pub struct PipeWriter {
    chunks: Option<Sender<io::Result<Bytes>>>,
    chunk: BytesMut,
}

/// A writer and the stream of what it writes.
pub fn writer() -> (PipeWriter, impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static) {
    let (sender, receiver) = channel(WAITING);
    let stream = stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|chunk| (chunk, receiver)) });
    (PipeWriter { chunks: Some(sender), chunk: BytesMut::new() }, stream.boxed())
}

impl PipeWriter {
    /// The end of it.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.chunks = None;
        Ok(())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = self.chunk.split().freeze();
        match &self.chunks {
            _ if chunk.is_empty() => Ok(()),
            Some(chunks) => chunks.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        if let Some(chunks) = self.chunks.take() {
            let broken = io::Error::new(io::ErrorKind::UnexpectedEof, "the archive was not finished");
            // A full pipe has a reader who is behind; it must not be waited for here, and learns it in a moment.
            if let Err(e) = chunks.try_send(Err(broken))
                && let Ok(runtime) = tokio::runtime::Handle::try_current()
            {
                runtime.spawn(async move { chunks.send(e.into_inner()).await });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read() {
        let (mut writer, stream) = writer();
        let writing = tokio::task::spawn_blocking(move || {
            for i in 0..50_000_u32 {
                writer.write_all(&i.to_le_bytes())?;
            }
            writer.finish()
        });
        let mut reader = reader(stream);
        let read = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        let read = read.await.unwrap().unwrap();
        writing.await.unwrap().unwrap();
        assert!(read.chunks(4).zip(0_u32..).all(|(chunk, i)| chunk == i.to_le_bytes()));
        assert_eq!(read.len(), 200_000);
    }

    #[tokio::test]
    async fn a_writer_that_gives_up_is_not_taken_for_finished() {
        for size in [10, 10_000_000] {
            let (mut writer, stream) = writer();
            let writing = tokio::task::spawn_blocking(move || writer.write_all(&vec![0; size]).map(|()| drop(writer)));
            let mut reader = reader(stream);
            let read = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()));
            assert_eq!(read.await.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            writing.await.unwrap().unwrap();
        }
    }

    #[test]
    fn a_runtime_that_ends_is_not_the_end_of_the_stream() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"x"))).take(3).chain(stream::pending());
        let mut reader = runtime.block_on(async { reader(endless.boxed()) });
        runtime.block_on(tokio::task::yield_now());
        drop(runtime);
        assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_stops_the_writer() {
        let (mut writer, stream) = writer();
        drop(stream);
        let writing = tokio::task::spawn_blocking(move || writer.write_all(&vec![0; CHUNK]));
        assert_eq!(writing.await.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
