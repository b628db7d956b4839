//! Fakes for the tests of this module.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Writes an executable shell script.
pub(crate) fn script(dir: &Path, name: &str, body: &str) -> PathBuf {
    std::fs::create_dir_all(dir).unwrap();
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// An archive with these files, whatever their paths are.
pub(crate) fn tar_gz(files: &[(&str, &[u8])]) -> Vec<u8> {
    build(files.iter().map(|(path, content)| (*path, *content, tar::EntryType::Regular, "")))
}

/// An archive with one symbolic link.
pub(crate) fn tar_gz_link(path: &str, target: &str) -> Vec<u8> {
    build([(path, &b""[..], tar::EntryType::Symlink, target)])
}

fn build<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8], tar::EntryType, &'a str)>) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content, kind, link) in entries {
        let mut header = tar::Header::new_gnu();
        // `set_path` would refuse what the tests want to have refused.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_entry_type(kind);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A whole answer.
pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// An HTTP server that answers each path with prepared bytes, and then closes the connection.
pub(crate) struct Server {
    pub(crate) url: String,
    answers: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, answers: Arc::default(), asked: Arc::default() };
        let (answers, asked) = (Arc::clone(&server.answers), Arc::clone(&server.asked));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") && socket.read_buf(&mut request).await.unwrap_or(0) > 0 {}
                    let path = String::from_utf8_lossy(&request).split_whitespace().nth(1).unwrap_or_default().to_owned();
                    asked.lock().unwrap().push(path.clone());
                    let none = || b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec();
                    let answer = answers.lock().unwrap().get(&path).cloned().unwrap_or_else(none);
                    let _ = socket.write_all(&answer).await;
                    let _ = socket.shutdown().await;
                });
            }
        });
        server
    }

    /// Prepares a raw answer, status line and all.
    pub(crate) fn raw(&self, path: &str, answer: Vec<u8>) -> String {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
        format!("{}{path}", self.url)
    }

    /// Prepares a file and the checksum file beside it.
    pub(crate) fn file(&self, path: &str, body: &[u8], suffix: &str) -> String {
        self.raw(&format!("{path}{suffix}"), ok(format!("{}  {}\n", sha256(body), path.trim_start_matches('/')).as_bytes()));
        self.raw(path, ok(body))
    }
}
