//! `/etc/containerd/config.toml` as containerd of a given version understands it.

use toml::{Table, Value};

/// Table of the CRI plugin up to containerd 1.7, which later versions migrate.
const OLD: &str = "io.containerd.grpc.v1.cri";
/// Table of the images part of the CRI plugin since containerd 2.0.
const IMAGES: &str = "io.containerd.cri.v1.images";
/// Table of the rest of it.
const RUNTIME: &str = "io.containerd.cri.v1.runtime";

/// The default of `config_path` since containerd 2.2.
const DEFAULT_PATH: &str = "/etc/containerd/certs.d:/etc/docker/certs.d";

/// A containerd release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerdVersion(pub u32, pub u32, pub u32);

impl std::fmt::Display for ContainerdVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl ContainerdVersion {
    /// Whether it is at least a minor release.
    #[must_use]
    pub fn at_least(self, major: u32, minor: u32) -> bool {
        (self.0, self.1) >= (major, minor)
    }

    /// The configuration version that `containerd config dump` shows.
    #[must_use]
    pub fn config_version(self) -> i64 {
        match (self.0, self.1) {
            (..2, _) => 2,
            (2, ..3) => 3,
            _ => 4,
        }
    }

    fn images_table(self) -> &'static str {
        if self.0 < 2 { OLD } else { IMAGES }
    }
}

/// The configuration that a containerd process runs with.
#[derive(Debug, Clone)]
pub struct Loaded {
    version: ContainerdVersion,
    /// With the plugins' tables under the names that this version has for them.
    table: Table,
    /// Why the CRI plugin did not load, if it did not.
    pub cri_failure: Option<String>,
}

/// Reads a configuration.
///
/// # Errors
/// When containerd would not start with it.
pub fn load(version: ContainerdVersion, text: &str) -> Result<Loaded, String> {
    let mut table: Table = text.parse().map_err(|e: toml::de::Error| format!("failed to unmarshal TOML: {}", e.message()))?;
    let declared = table.get("version").and_then(Value::as_integer).unwrap_or(1);
    if declared > version.config_version() {
        return Err(format!("expected containerd config version equal to or less than `{}`, got `{declared}`", version.config_version()));
    }
    let mut plugins = match table.remove("plugins") {
        Some(Value::Table(plugins)) => plugins,
        _ => Table::new(),
    };
    // Version 1 has no prefixes.
    if declared < 2
        && let Some(cri) = plugins.remove("cri")
    {
        plugins.insert(OLD.to_owned(), cri);
    }
    // From version 3 on the old table means nothing: containerd warns and drops it.
    if version.0 >= 2
        && let Some(Value::Table(old)) = plugins.remove(OLD)
        && declared < 3
    {
        migrate(old, &mut plugins);
    }
    let images = subtable(&mut plugins, version.images_table());
    let default = if version.at_least(2, 2) { DEFAULT_PATH } else { "" };
    subtable(images, "registry").entry("config_path").or_insert_with(|| Value::String(default.to_owned()));
    images.entry("discard_unpacked_layers").or_insert(Value::Boolean(false));
    if version.at_least(2, 1) {
        images.entry("use_local_image_pull").or_insert(Value::Boolean(false));
    }
    if version.0 >= 2 {
        subtable(&mut plugins, RUNTIME);
    }
    let mut whole = Table::new();
    whole.insert("version".to_owned(), Value::Integer(version.config_version()));
    for (name, default) in [("root", "/var/lib/containerd"), ("state", "/run/containerd")] {
        whole.insert(name.to_owned(), table.remove(name).unwrap_or_else(|| Value::String(default.to_owned())));
    }
    table.remove("version");
    whole.insert("plugins".to_owned(), Value::Table(plugins));
    whole.extend(table);
    let mut loaded = Loaded { version, table: whole, cri_failure: None };
    loaded.cri_failure = loaded.validate();
    Ok(loaded)
}

/// containerd 2's migration of the version 2 table, as far as nodes use it.
fn migrate(old: Table, plugins: &mut Table) {
    for (key, value) in old {
        match (key.as_str(), value) {
            ("registry" | "image_decryption" | "max_concurrent_downloads" | "image_pull_progress_timeout", value) => {
                merge_into(subtable(plugins, IMAGES), &key, value);
            }
            ("sandbox_image", value) => {
                subtable(subtable(plugins, IMAGES), "pinned_images").insert("sandbox".to_owned(), value);
            }
            ("containerd", Value::Table(containerd)) => {
                for (key, value) in containerd {
                    if matches!(key.as_str(), "snapshotter" | "discard_unpacked_layers" | "disable_snapshot_annotations") {
                        subtable(plugins, IMAGES).insert(key, value);
                    } else {
                        subtable(subtable(plugins, RUNTIME), "containerd").insert(key, value);
                    }
                }
            }
            (_, value) => merge_into(subtable(plugins, RUNTIME), &key, value),
        }
    }
}

fn merge_into(table: &mut Table, key: &str, value: Value) {
    match (table.get_mut(key), value) {
        (Some(Value::Table(present)), Value::Table(more)) => merge(present, more),
        (_, value) => drop(table.insert(key.to_owned(), value)),
    }
}

/// The table under a key, made if it is not there.
fn subtable<'a>(table: &'a mut Table, key: &str) -> &'a mut Table {
    let entry = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
    if !entry.is_table() {
        *entry = Value::Table(Table::new());
    }
    entry.as_table_mut().expect("it has just been made one")
}

impl Loaded {
    fn images(&self) -> Option<&Table> {
        self.table.get("plugins")?.get(self.version.images_table())?.as_table()
    }

    fn registry(&self) -> Option<&Table> {
        self.images()?.get("registry")?.as_table()
    }

    /// `config_path` in force.
    #[must_use]
    pub fn config_path(&self) -> &str {
        self.registry().and_then(|r| r.get("config_path")).and_then(Value::as_str).unwrap_or_default()
    }

    /// The directories that pulls through the CRI look for host directories in.
    #[must_use]
    pub fn roots(&self) -> Vec<String> {
        let path = self.config_path();
        let set = |key: &str| self.images().and_then(|i| i.get(key)).and_then(Value::as_bool).unwrap_or(false);
        if path.is_empty() {
            return Vec::new();
        }
        // The transfer service takes the whole list for one directory (containerd #12636); kind's setting avoids it.
        let transfer = self.version.at_least(2, 1) && !set("discard_unpacked_layers") && !set("use_local_image_pull");
        if transfer { vec![path.to_owned()] } else { path.split(':').map(str::to_owned).collect() }
    }

    /// Endpoints of the legacy `registry.mirrors` for a registry.
    #[must_use]
    pub fn mirrors(&self, host: &str) -> Vec<String> {
        let mirrors = self.registry().and_then(|r| r.get("mirrors"));
        let of = |name: &str| mirrors?.get(name)?.get("endpoint")?.as_array();
        let endpoints = of(host).or_else(|| of("*"));
        endpoints.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// `ValidateImageConfig`: what may not stand beside `config_path`.
    fn validate(&self) -> Option<String> {
        if self.config_path().is_empty() {
            return None;
        }
        let has = |key: &str| self.registry()?.get(key)?.as_table().filter(|t| !t.is_empty());
        if has("mirrors").is_some() {
            return Some("invalid plugin config: `mirrors` cannot be set when `config_path` is provided".to_owned());
        }
        let tls = has("configs").is_some_and(|c| c.values().any(|v| v.get("tls").is_some()));
        tls.then(|| "invalid plugin config: `configs.tls` cannot be set when `config_path` is provided".to_owned())
    }

    /// The line that containerd logs when the CRI plugin did not load.
    #[must_use]
    pub fn failure_log(&self) -> Option<String> {
        let why = self.cri_failure.as_ref()?;
        let id = self.version.images_table();
        let kind = if self.version.0 < 2 { "io.containerd.grpc.v1" } else { "io.containerd.cri.v1" };
        Some(format!("level=warning msg=\"failed to load plugin\" error={why:?} id={id} type={kind}"))
    }

    /// `containerd config dump`.
    ///
    /// # Panics
    /// Never: what was read from TOML can be written as TOML.
    #[must_use]
    pub fn dump(&self) -> String {
        toml::to_string(&self.table).expect("a table that was read from TOML can be written as TOML")
    }
}

/// The `config.toml` of kind's node images: version 2, and no `config_path`.
#[must_use]
pub fn default_config() -> String {
    r#"# explicitly use v2 config format
version = 2

[proxy_plugins]
[proxy_plugins."fuse-overlayfs"]
  type = "snapshot"
  address = "/run/containerd-fuse-overlayfs.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10"
  tolerate_missing_hugetlb_controller = true
  restrict_oom_score_adj = false

[plugins."io.containerd.grpc.v1.cri".containerd]
  discard_unpacked_layers = true
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  base_runtime_spec = "/etc/containerd/cri-base.json"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    SystemdCgroup = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.test-handler]
  runtime_type = "io.containerd.runc.v2"
  base_runtime_spec = "/etc/containerd/cri-base.json"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.test-handler.options]
    SystemdCgroup = true
"#
    .to_owned()
}

/// What kind does with one of its `containerdConfigPatches`: a merge patch (RFC 7386) over the file.
///
/// # Errors
/// When either is no TOML.
pub fn merge_patch(config: &mut String, patch: &str) -> Result<(), String> {
    let mut table: Table = config.parse().map_err(|e: toml::de::Error| e.to_string())?;
    merge(&mut table, patch.parse().map_err(|e: toml::de::Error| e.to_string())?);
    *config = toml::to_string(&table).map_err(|e| e.to_string())?;
    Ok(())
}

/// Whether a patch declares a configuration version that is not the file's: kind skips such patches from 0.32 on.
#[must_use]
pub fn declares_other_version(config: &str, patch: &str) -> bool {
    let version = |text: &str| text.parse::<Table>().ok()?.get("version")?.as_integer();
    version(patch).is_some_and(|declared| Some(declared) != version(config))
}

fn merge(table: &mut Table, patch: Table) {
    for (key, value) in patch {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(present)), Value::Table(more)) => merge(present, more),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const PATCH: &str = "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n";
    const MIRRORS: &str = "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"http://m:5000\"]\n";

    fn with(patches: &[&str]) -> String {
        let mut config = default_config();
        for patch in patches {
            merge_patch(&mut config, patch).unwrap();
        }
        config
    }

    #[rstest]
    #[case(ContainerdVersion(1, 7, 24), "", 2, OLD)]
    #[case(ContainerdVersion(2, 0, 2), "", 3, IMAGES)]
    #[case(ContainerdVersion(2, 1, 4), "", 3, IMAGES)]
    #[case(ContainerdVersion(2, 2, 0), DEFAULT_PATH, 3, IMAGES)]
    #[case(ContainerdVersion(2, 3, 1), DEFAULT_PATH, 4, IMAGES)]
    fn config_path_is_empty_up_to_2_1_and_kinds_patch_sets_it(
        #[case] version: ContainerdVersion,
        #[case] default: &str,
        #[case] config_version: i64,
        #[case] table: &str,
    ) {
        let plain = load(version, &default_config()).unwrap();
        assert_eq!(plain.config_path(), default);
        let roots: Vec<&str> = default.split(':').filter(|r| !r.is_empty()).collect();
        assert_eq!(plain.roots(), roots);
        let patched = load(version, &with(&[PATCH])).unwrap();
        let dump: Table = patched.dump().parse().unwrap();
        assert_eq!(dump["version"].as_integer(), Some(config_version));
        assert_eq!(dump["plugins"][table]["registry"]["config_path"].as_str(), Some("/etc/containerd/certs.d"));
        assert_eq!(dump["plugins"][table].get("snapshotter").is_some(), version.0 >= 2);
    }

    /// P8.
    #[test]
    fn mirrors_beside_config_path_keep_the_cri_plugin_from_loading() {
        let old = ContainerdVersion(2, 1, 4);
        let alone = load(old, &with(&[MIRRORS])).unwrap();
        assert_eq!((alone.cri_failure.as_deref(), alone.mirrors("docker.io")), (None, vec!["http://m:5000".to_owned()]));
        for (version, patches) in [(old, &[PATCH, MIRRORS][..]), (ContainerdVersion(2, 2, 0), &[MIRRORS][..])] {
            let loaded = load(version, &with(patches)).unwrap();
            let log = loaded.failure_log().unwrap();
            assert!(log.contains("`mirrors` cannot be set when `config_path` is provided"), "{log}");
        }
    }

    #[test]
    fn the_old_table_means_nothing_in_a_version_3_file() {
        let loaded = load(ContainerdVersion(2, 1, 4), &format!("version = 3\n{PATCH}")).unwrap();
        assert_eq!(loaded.config_path(), "");
        assert!(!loaded.dump().contains(OLD));
        assert!(load(ContainerdVersion(1, 7, 24), "version = 3").is_err());
        assert!(load(ContainerdVersion(2, 1, 4), "version = ").is_err());
    }

    #[test]
    fn without_kinds_setting_the_transfer_service_takes_the_list_for_one_directory() {
        let loaded = load(ContainerdVersion(2, 2, 0), "version = 3").unwrap();
        assert_eq!(loaded.roots(), [DEFAULT_PATH]);
    }

    #[test]
    fn a_patch_may_declare_another_version() {
        assert!(declares_other_version(&default_config(), "version = 3"));
        assert!(!declares_other_version(&default_config(), "version = 2"));
        assert!(!declares_other_version(&default_config(), PATCH));
    }
}
