//! `lint`: what is wrong with hosts.toml and drop-in files.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Failure, Format, Global, print, print_json, select};
use crate::lint::hosts_toml::{self, Place};
use crate::lint::no_proxy::Surroundings;
use crate::lint::{Finding, Severity, drop_in};
use crate::spec::{Spec, Version, catalog};
use crate::text;

/// Judges each file by its name: `.toml` is a hosts.toml, `.conf` a drop-in. An error among the findings is exit code 1.
pub(super) fn lint(global: &Global, files: &[PathBuf]) -> Result<u8, Failure> {
    select::no_junit(global)?;
    let spec = select::spec(global)?;
    let mut found: Vec<(&PathBuf, Finding)> = Vec::new();
    for file in files {
        let content = std::fs::read_to_string(file).map_err(|e| Failure {
            code: 2,
            chain: vec![format!("cannot read {}", file.display()), e.to_string()],
            hint: None,
        })?;
        let findings = match file.extension().and_then(|e| e.to_str()) {
            Some("toml") => hosts_toml::lint(&content, &Place { registry: registry(file), containerd: containerd(&spec) }),
            Some("conf") => drop_in::lint(&content, &Surroundings { mirrors: mirrors(&spec) }),
            _ => {
                let message = text::current().with("cli-lint-unknown-file", &[("file", &file.display().to_string())]);
                return Err(Failure::usage(message, None));
            }
        };
        found.extend(findings.into_iter().map(|f| (file, f)));
    }
    let code = u8::from(found.iter().any(|(_, f)| f.rule.severity() == Severity::Error));
    if global.format == Format::Human {
        print(&human(&found))?;
    } else {
        let one = |(file, f): &(&PathBuf, Finding)| json!({"file": file, "line": f.line, "rule": f.rule.id(), "severity": f.rule.severity().to_string(), "text": f.sentence(), "remedy": f.remedy()});
        print_json(&json!({"findings": found.iter().map(one).collect::<Vec<_>>()}))?;
    }
    Ok(code)
}

fn human(found: &[(&PathBuf, Finding)]) -> String {
    if found.is_empty() {
        return text::current().get("cli-lint-nothing");
    }
    let one = |(file, f): &(&PathBuf, Finding)| {
        let line = f.line.map(|l| format!(":{l}")).unwrap_or_default();
        let hint = text::current().with("cli-hint", &[("hint", &f.remedy())]);
        format!("{}{line}: {} [{}]: {}\n    {hint}", file.display(), f.rule.severity(), f.rule.id(), f.sentence())
    };
    found.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// The registry that a file is for: its directory, as below `certs.d`.
fn registry(file: &Path) -> Option<String> {
    let parent = std::path::absolute(file).ok()?.parent()?.file_name()?.to_str()?.to_owned();
    let looks_like_one = parent == "_default" || parent.contains(['.', ':']) || parent.ends_with('_');
    looks_like_one.then_some(parent)
}

/// Major and minor version of the containerd that the spec's nodes have.
fn containerd(spec: &Spec) -> Option<(u64, u64)> {
    let kind: Version = spec.tools.kind.version.parse().ok()?;
    let mut parts = catalog::kind_release(&kind)?.containerd.split('.').map(|p| p.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// Hosts and ports of the spec's mirrors, without the public registries, which a proxy is for.
fn mirrors(spec: &Spec) -> Vec<(String, u16)> {
    let urls = spec.mirrors.values().flat_map(|m| m.hosts.iter().map(|h| h.url.as_str()).chain(m.server.as_deref()));
    let plain = urls.filter_map(|url| url.parse::<http::Uri>().ok()).filter(|uri| uri.scheme_str() == Some("http"));
    plain.filter_map(|uri| Some((uri.host()?.to_owned(), uri.port_u16().unwrap_or(80)))).collect()
}
