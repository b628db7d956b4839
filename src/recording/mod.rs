//! The recorders of a session: a mirror and a proxy of our own between the nodes and what they pull from, which write down who asked for what.
//!
//! They are hosted by the session's agent, or in a container where this machine cannot listen on the nodes' network. What they saw is a file
//! in the state directory, one line a request; outcomes judge from it, and each run copies what is new into its journal.

mod baked;
mod hosting;
mod seen;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use baked::{NodeImage, baked_images, node_images};
pub use hosting::{Hosting, RecordingError, Running, client, start};
pub use seen::Seen;

use crate::cluster::kind_config;
use crate::session::Session;
use crate::spec::{MirrorSpec, ProxyRecording, Spec};

/// Registries that images come from without anybody having named them. Each gets a `hosts.toml` of its own beside `_default`, so that nodes
/// show what goes where.
pub const WELL_KNOWN: [&str; 6] = ["docker.io", "gcr.io", "ghcr.io", "quay.io", "registry.istio.io", "registry.k8s.io"];

/// The listener that the drop-in names.
pub const DROP_IN: &str = "drop-in";
/// The listener that only a `proxy` table of a `hosts.toml` names, as the guide has one: who asks here has read that table (defect D1).
pub const HOSTS_TOML: &str = "hosts-toml";

/// A registry that exists nowhere and that no mirror stands for: containerd can only look for it through the proxy of the drop-in.
pub const PROXIED_REGISTRY: &str = "proxied.meshproof.invalid";
/// One whose `hosts.toml` has a `proxy` table like the guide's.
pub const INERT_REGISTRY: &str = "proxy-table.meshproof.invalid";
/// One whose `hosts.toml` names the proxy of that table as if it were a registry, so that the node asks it in any case.
pub const CONTROL_REGISTRY: &str = "control.meshproof.invalid";

/// Where the nodes of a session find its recorders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorders {
    /// The host as nodes write it: the address of this machine on their network, or the name of a container there.
    pub host: String,
    /// TCP port of the mirror.
    pub mirror: u16,
    /// TCP port of the proxy that the drop-in names.
    pub drop_in: u16,
    /// TCP port of the proxy that only a `hosts.toml` names.
    pub hosts_toml: u16,
    /// The container that hosts them, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

impl Recorders {
    /// The mirror as a base URL.
    #[must_use]
    pub fn mirror_url(&self) -> String {
        format!("http://{}:{}", self.host, self.mirror)
    }

    /// The proxy of the drop-in as a URL.
    #[must_use]
    pub fn proxy_url(&self) -> String {
        format!("http://{}:{}", self.host, self.drop_in)
    }

    /// The proxy of the `hosts.toml` as a URL.
    #[must_use]
    pub fn hosts_toml_url(&self) -> String {
        format!("http://{}:{}", self.host, self.hosts_toml)
    }

    /// Where they will be found, for a plan: nobody knows yet.
    #[must_use]
    pub fn to_be() -> Self {
        Self { host: "recorders.invalid".to_owned(), mirror: 1, drop_in: 2, hosts_toml: 3, container: None }
    }
}

/// The variable that names the directory of the mirror's cache.
pub const CACHE_VARIABLE: &str = "MESHPROOF_MIRROR_CACHE";

/// Where the mirrors of all sessions keep what they fetched: the variable's directory, else `meshproof/mirror` below the XDG cache directory.
pub fn mirror_cache(var: impl Fn(&str) -> Option<String>) -> PathBuf {
    let named = var(CACHE_VARIABLE).map(PathBuf::from).filter(|dir| dir.is_absolute());
    named.unwrap_or_else(|| crate::harness::tool_cache(var).with_file_name("mirror"))
}

/// The file of everything that the recorders of a session were asked for.
#[must_use]
pub fn file(session: &Session) -> PathBuf {
    session.dir().join("recording").join("access.jsonl")
}

/// The spec as the nodes get it: what is recorded goes through the recorders.
///
/// The mirror is the server of each registry as well, and of `_default`: without that containerd would fall back to the registry itself, and
/// what came through the mirror would not be everything.
#[must_use]
pub fn through(spec: &Spec, recorders: Option<&Recorders>) -> Spec {
    let mut through = spec.clone();
    let Some(recorders) = recorders else { return through };
    if spec.recording.mirror {
        let mirror = MirrorSpec { server: Some(recorders.mirror_url()), hosts: Vec::new() };
        let named: Vec<String> = spec.mirrors.keys().cloned().collect();
        let all = named.into_iter().chain(WELL_KNOWN.map(str::to_owned)).chain(["_default".to_owned()]);
        through.mirrors = all.map(|registry| (registry, mirror.clone())).collect();
    }
    if spec.recording.proxy != ProxyRecording::None {
        through.proxy.http = recorders.proxy_url();
        through.proxy.https = recorders.proxy_url();
    }
    through
}

/// Every file of `certs.d` as the nodes get it: those of [`through`], and where a proxy records, three registries that exist nowhere by which
/// it is found out who asks which proxy.
#[must_use]
pub fn certs_files(spec: &Spec, recorders: Option<&Recorders>) -> Vec<(String, String)> {
    let mut files = kind_config::certs_files(&through(spec, recorders));
    let Some(recorders) = recorders.filter(|_| spec.recording.proxy != ProxyRecording::None) else { return files };
    let proxy = recorders.hosts_toml_url();
    let of = |registry: &str, server: &str| {
        let content = kind_config::hosts_toml(&MirrorSpec { server: Some(server.to_owned()), hosts: Vec::new() });
        (format!("{registry}/hosts.toml"), content)
    };
    files.push(of(PROXIED_REGISTRY, &format!("https://{PROXIED_REGISTRY}")));
    let (path, content) = of(INERT_REGISTRY, &format!("https://{INERT_REGISTRY}"));
    let table = format!("  [host.\"https://{INERT_REGISTRY}\".proxy]\n    http = \"{proxy}\"\n    https = \"{proxy}\"\n");
    files.push((path, content + &table));
    files.push(of(CONTROL_REGISTRY, &proxy));
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::kind_config::no_proxy;
    use crate::spec::{Request, load};

    fn spec(set: &[&str]) -> Spec {
        load(&Request { sets: set.iter().map(|s| (*s).to_owned()).collect(), ..Request::default() }).unwrap()
    }

    fn recorders() -> Recorders {
        Recorders { host: "172.18.0.1".to_owned(), mirror: 5100, drop_in: 3128, hosts_toml: 3129, container: None }
    }

    #[test]
    fn every_registry_goes_through_the_mirror_and_none_falls_back() {
        let spec = spec(&["recording.mirror=true", "mirrors.example.com.server=http://m"]);
        let (files, through) = (certs_files(&spec, Some(&recorders())), through(&spec, Some(&recorders())));
        for registry in WELL_KNOWN.into_iter().chain(["example.com", "_default"]) {
            let (_, content) = files.iter().find(|(path, _)| *path == format!("{registry}/hosts.toml")).unwrap();
            assert!(content.starts_with("server = \"http://172.18.0.1:5100\"\n\n[host.\"http://172.18.0.1:5100\"]\n"), "{content}");
        }
        // The proxy must not be asked for what the mirror has.
        assert!(no_proxy(&through).contains(&"172.18.0.1".to_owned()));
    }

    #[test]
    fn what_is_not_recorded_stays_as_it_is() {
        let plain = spec(&[]);
        assert_eq!(through(&plain, Some(&recorders())), plain);
        let on = spec(&["recording.mirror=true"]);
        assert_eq!(through(&on, None), on);
        let proxied = through(&spec(&["recording.proxy=direct"]), Some(&recorders()));
        assert_eq!((proxied.proxy.http.as_str(), &proxied.mirrors), ("http://172.18.0.1:3128", &plain.mirrors));
    }
}
