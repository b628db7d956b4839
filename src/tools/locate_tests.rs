use super::*;
use crate::tools::DownloadError;
use crate::tools::testing::{Server, ok, script, tar_gz};

struct Lab {
    dir: tempfile::TempDir,
    spec: ToolsSpec,
    journal: Journal,
}

impl Lab {
    fn new() -> Self {
        // Nothing listens on port 1.
        let tool = |version: &str| ToolSpec { version: version.into(), path: None, url: "http://127.0.0.1:1/tool".into() };
        let spec = ToolsSpec { kind: tool("0.30.0"), kubectl: tool("1.33.4"), istioctl: tool("1.27.1") };
        Self { dir: tempfile::tempdir().unwrap(), spec, journal: Journal::in_memory() }
    }

    fn script(&self, path: &str, body: &str) -> PathBuf {
        let path = self.dir.path().join(path);
        script(path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap(), body)
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn tools(&self) -> Tools {
        let tools = Tools::new(&self.spec, &DownloadsSpec { proxy: None }, self.cache(), self.journal.clone());
        let dirs = ["none", "a", "b"].map(|d| self.dir.path().join(d));
        tools.search_in(dirs).with_test_settings(false, Duration::from_secs(10))
    }
}

fn kind(version: &str) -> String {
    format!("echo kind v{version} go1.26.8 linux/amd64")
}

fn kubectl(version: &str) -> String {
    format!("echo '{{\"clientVersion\":{{\"gitVersion\":\"v{version}\"}}}}'")
}

#[tokio::test]
async fn the_exact_kind_is_taken_from_the_path_and_asked_once() {
    let lab = Lab::new();
    lab.script("a/kind", &kind("0.33.0"));
    let right = lab.script("b/kind-0.30.0", &kind("0.30.0"));
    let tools = lab.tools();
    let tool = tools.kind().await.unwrap();
    assert_eq!((&tool.path, tool.version.as_str(), tool.origin), (&right, "0.30.0", Origin::Path));
    let records = lab.journal.records().len();
    assert_eq!(tools.kind().await.unwrap().command().arg("version").ok(&lab.journal).await.unwrap().record.argv, ["kind", "version"]);
    assert_eq!(lab.journal.records().len(), records + 2, "only the command itself was journalled");
    let fact = Event::Fact { name: "kind".into(), value: "0.30.0".into() };
    assert!(lab.journal.records().iter().any(|r| r.event == fact));
}

#[tokio::test]
async fn kubectl_of_the_same_minor_is_preferred_to_a_nearer_one_on_the_path() {
    let lab = Lab::new();
    let near = lab.script("a/kubectl", &kubectl("1.32.4-dispatcher"));
    assert_eq!(lab.tools().kubectl().await.unwrap().path, near);
    let same = lab.script("b/kubectl", &kubectl("1.33.9"));
    assert_eq!(lab.tools().kubectl().await.unwrap().path, same);
}

#[tokio::test]
async fn an_explicit_path_is_used_alone_and_still_checked() {
    let mut lab = Lab::new();
    lab.script("a/istioctl", "echo client version: 1.27.1");
    let other = lab.script("mine/istioctl", "echo client version: 1.26.0");
    lab.spec.istioctl.path = Some(other.display().to_string());
    let error = lab.tools().istioctl().await.unwrap_err();
    assert_eq!(error.to_string(), format!("istioctl 1.27.1 is needed: {} is 1.26.0", other.display()));
    assert!(error.hint().unwrap().contains("tools.istioctl.path"));
    lab.script("mine/istioctl", "echo client version: 1.27.1");
    assert_eq!(lab.tools().istioctl().await.unwrap().origin, Origin::Explicit);
}

#[tokio::test]
async fn every_rejected_candidate_is_named_with_its_reason() {
    let lab = Lab::new();
    lab.script("a/kind", &kind("0.33.0"));
    lab.script("a/kind-0.30.0", "echo broken library >&2; exit 127");
    lab.script("b/kind", "exec sleep 60");
    script(&lab.dir.path().join("b"), "kind-v0.30.0", "echo hello");
    let tools = lab.tools().with_test_settings(true, Duration::from_millis(500));
    let error = tools.kind().await.unwrap_err();
    let text = error.to_string().replace(&lab.dir.path().display().to_string(), "");
    assert_eq!(
        text,
        "kind 0.30.0 is needed: /a/kind-0.30.0 does not say its version: it exited with code 127 (broken library); /a/kind is 0.33.0; \
         /b/kind-v0.30.0 does not say its version in the expected form; /b/kind did not say its version within 500ms; the download failed"
    );
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "cannot download http://127.0.0.1:1/tool.sha256sum");
    assert!(error.hint().unwrap().contains("--set downloads.proxy="), "{:?}", error.hint());
    assert!(lab.tools().with_test_settings(false, PROBE_TIMEOUT).istioctl().await.unwrap_err().hint().unwrap().contains("PATH"));
}

#[tokio::test]
async fn a_tool_is_downloaded_once_and_then_comes_from_the_cache() {
    let (mut lab, server) = (Lab::new(), Server::start().await);
    let archive = tar_gz(&[("istioctl", b"#!/bin/sh\necho client version: 1.27.1\n")]);
    lab.spec.istioctl.url = server.file("/istioctl.tar.gz", &archive, ".sha256");
    lab.spec.kind.url = server.file("/kind", format!("#!/bin/sh\n{}\n", kind("0.30.0")).as_bytes(), ".sha256sum");
    // Two processes at once: only one of them downloads.
    let (one, two) = (lab.tools(), lab.tools());
    let (first, second) = tokio::join!(one.istioctl(), two.istioctl());
    let origins = [first.unwrap().origin, second.unwrap().origin];
    assert!(origins == [Origin::Download, Origin::Cache] || origins == [Origin::Cache, Origin::Download], "{origins:?}");
    assert_eq!(one.kind().await.unwrap().path, lab.cache().join("kind/0.30.0/kind"));
    let mut asked = server.asked.lock().unwrap().clone();
    asked.sort_unstable();
    assert_eq!(asked, ["/istioctl.tar.gz", "/istioctl.tar.gz.sha256", "/kind", "/kind.sha256sum"]);
    assert_eq!(lab.tools().kind().await.unwrap().origin, Origin::Cache);
}

#[tokio::test]
async fn a_broken_cache_entry_is_replaced() {
    let (mut lab, server) = (Lab::new(), Server::start().await);
    lab.script("cache/kind/0.30.0/kind", "exit 1");
    lab.spec.kind.url = server.file("/kind", format!("#!/bin/sh\n{}\n", kind("0.30.0")).as_bytes(), ".sha256sum");
    assert_eq!(lab.tools().kind().await.unwrap().origin, Origin::Download);
}

#[tokio::test]
async fn a_download_of_the_wrong_thing_is_an_error() {
    let (mut lab, server) = (Lab::new(), Server::start().await);
    lab.spec.kind.url = server.file("/kind", format!("#!/bin/sh\n{}\n", kind("0.31.0")).as_bytes(), ".sha256sum");
    let error = lab.tools().kind().await.unwrap_err();
    assert!(matches!(error, ToolError::WrongDownload { .. }) && error.to_string().contains("is 0.31.0"), "{error}");
    server.raw("/kind", ok(b"changed"));
    let error = lab.tools().with_test_settings(true, PROBE_TIMEOUT).kind().await.unwrap_err();
    let ToolError::NotFound { source, .. } = &error else { panic!("{error}") };
    assert!(matches!(**source, DownloadError::Checksum { .. }));
    assert!(!error.hint().unwrap().contains("proxy"));
}

#[tokio::test]
async fn a_version_cannot_lead_out_of_the_cache() {
    let mut lab = Lab::new();
    for version in ["../../x", "", "..", "1/2"] {
        lab.spec.kind.version = version.into();
        assert!(matches!(lab.tools().kind().await, Err(ToolError::BadVersion { .. })), "{version}");
    }
}
