//! Two units, and what systemd makes of their environment. A change of files counts after `daemon-reload`; a process sees it after its restart.

use std::collections::BTreeMap;

use super::tree::Tree;

/// A process's environment.
pub type Environment = BTreeMap<String, String>;

/// The units that exist.
pub const UNITS: [&str; 2] = ["containerd", "kubelet"];

/// What systemd gives every service.
const BASE: [(&str, &str); 2] = [("LANG", "C.UTF-8"), ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")];

/// A unit as systemd has it loaded, and its process.
#[derive(Debug, Clone, Default)]
pub struct Unit {
    /// `Environment=` of the drop-ins as of the last `daemon-reload`.
    pub loaded: Vec<(String, String)>,
    /// The environment of the running process.
    pub running: Environment,
    /// 0 when it does not run.
    pub main_pid: u32,
}

/// The manager.
#[derive(Debug, Clone)]
pub struct Systemd {
    units: BTreeMap<&'static str, Unit>,
    /// `DefaultEnvironment=` as of the last `daemon-reload`.
    default_environment: Vec<(String, String)>,
    next_pid: u32,
}

impl Default for Systemd {
    fn default() -> Self {
        Self { units: UNITS.map(|name| (name, Unit::default())).into(), default_environment: Vec::new(), next_pid: 100 }
    }
}

impl Systemd {
    /// A unit, with or without `.service`.
    #[must_use]
    pub fn unit(&self, name: &str) -> Option<&Unit> {
        self.units.get(name.strip_suffix(".service").unwrap_or(name))
    }

    /// `daemon-reload` (`daemon-reexec` does as much): reads the files, and changes no process.
    pub fn reload(&mut self, tree: &Tree, hostname: &str) {
        self.default_environment = default_environment(tree, hostname);
        for (name, unit) in &mut self.units {
            unit.loaded = unit_environment(tree, name, hostname);
        }
    }

    /// Whether the files of a unit are not what is loaded.
    #[must_use]
    pub fn needs_reload(&self, tree: &Tree, name: &str, hostname: &str) -> bool {
        self.unit(name).is_some_and(|unit| unit.loaded != unit_environment(tree, name, hostname))
    }

    /// Starts a unit's process anew with what is loaded.
    pub fn restart(&mut self, name: &str) {
        self.next_pid += 37;
        let (pid, defaults) = (self.next_pid, self.default_environment.clone());
        let Some(unit) = self.units.get_mut(name) else { return };
        let base = BASE.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        // What the unit sets itself overrides the manager's defaults.
        unit.running = base.chain(defaults).chain(unit.loaded.iter().cloned()).collect();
        unit.main_pid = pid;
    }

    /// Ends a unit's process.
    pub fn stop(&mut self, name: &str) {
        if let Some(unit) = self.units.get_mut(name) {
            unit.main_pid = 0;
            unit.running.clear();
        }
    }

    /// `/proc/PID/environ`: the running environment with its NULs.
    #[must_use]
    pub fn environ(&self, pid: u32) -> Option<Vec<u8>> {
        let unit = self.units.values().find(|u| u.main_pid == pid && pid != 0)?;
        Some(unit.running.iter().flat_map(|(k, v)| format!("{k}={v}\0").into_bytes()).collect())
    }

    /// `systemctl show UNIT`: a property's value.
    #[must_use]
    pub fn property(&self, tree: &Tree, name: &str, property: &str, hostname: &str) -> Option<String> {
        let unit = self.unit(name);
        let running = unit.is_some_and(|u| u.main_pid != 0);
        Some(match property {
            "MainPID" => unit.map_or(0, |u| u.main_pid).to_string(),
            "Environment" => {
                let quoted =
                    |(k, v): &(String, String)| if v.contains(char::is_whitespace) { format!("\"{k}={v}\"") } else { format!("{k}={v}") };
                unit.map(|u| u.loaded.iter().map(quoted).collect::<Vec<_>>().join(" ")).unwrap_or_default()
            }
            "LoadState" => if unit.is_some() { "loaded" } else { "not-found" }.to_owned(),
            "ActiveState" => if running { "active" } else { "inactive" }.to_owned(),
            "SubState" => if running { "running" } else { "dead" }.to_owned(),
            "DropInPaths" => drop_ins(tree, &service_directory(name)).join(" "),
            "NeedDaemonReload" => if self.needs_reload(tree, name, hostname) { "yes" } else { "no" }.to_owned(),
            _ => return None,
        })
    }
}

fn service_directory(unit: &str) -> String {
    format!("/etc/systemd/system/{}.service.d", unit.strip_suffix(".service").unwrap_or(unit))
}

/// The `*.conf` files of a directory; later names win, so they come in order.
fn drop_ins(tree: &Tree, directory: &str) -> Vec<String> {
    let names = tree.list(directory).unwrap_or_default();
    names.iter().filter(|n| n.strip_suffix(".conf").is_some()).map(|n| format!("{directory}/{n}")).collect()
}

fn unit_environment(tree: &Tree, unit: &str, hostname: &str) -> Vec<(String, String)> {
    assignments(tree, &drop_ins(tree, &service_directory(unit)), "Service", "Environment", unit, hostname)
}

fn default_environment(tree: &Tree, hostname: &str) -> Vec<(String, String)> {
    let mut files = vec!["/etc/systemd/system.conf".to_owned()];
    files.extend(drop_ins(tree, "/etc/systemd/system.conf.d"));
    assignments(tree, &files, "Manager", "DefaultEnvironment", "systemd", hostname)
}

/// All assignments of one key in one section; an empty one forgets those before it (systemd `config_parse_environ`).
fn assignments(tree: &Tree, files: &[String], section: &str, key: &str, unit: &str, hostname: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for text in files.iter().filter_map(|path| tree.text(path)) {
        let mut inside = false;
        for line in joined(&text) {
            let line = line.trim();
            if line.starts_with('#') || line.starts_with(';') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                inside = name == section;
                continue;
            }
            let Some(value) = line.split_once('=').filter(|(name, _)| inside && name.trim() == key).map(|(_, v)| v.trim()) else {
                continue;
            };
            if value.is_empty() {
                found.clear();
                continue;
            }
            for word in words(value) {
                let word = specifiers(&word, unit, hostname);
                // What is no assignment is ignored with a warning in the journal.
                let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else { continue };
                found.retain(|(present, _)| present != name);
                found.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    found
}

/// Lines, with those joined that end in a backslash.
fn joined(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let (line, continues) = line.strip_suffix('\\').map_or((line, false), |l| (l, true));
        match lines.last_mut().filter(|_| open) {
            Some(last) => last.push_str(&format!(" {line}")),
            None => lines.push(line.to_owned()),
        }
        open = continues;
    }
    lines
}

/// systemd's `extract_first_word` with quotes and backslashes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut open, mut quote) = (String::new(), false, None);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, quote) {
            ('\\', Some('"') | None) => {
                open = true;
                word.extend(rest.next());
            }
            (c, Some(q)) if c == q => quote = None,
            (c, Some(_)) => word.push(c),
            ('"' | '\'', None) => {
                open = true;
                quote = Some(c);
            }
            (c, None) if c.is_whitespace() => {
                if std::mem::take(&mut open) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (c, None) => {
                open = true;
                word.push(c);
            }
        }
    }
    // A quote that is not closed spoils its word.
    if open && quote.is_none() {
        words.push(word);
    }
    words
}

/// `%%` is a percent sign, some letters have a meaning, and what has none stays as it is: a password with `%2F` survives, one with `%E0` does not.
fn specifiers(text: &str, unit: &str, hostname: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match rest.next() {
            None | Some('%') => out.push('%'),
            Some('H' | 'l' | 'q') => out.push_str(hostname),
            Some('n') => out.push_str(&format!("{unit}.service")),
            Some('N' | 'p') => out.push_str(unit),
            Some('C') => out.push_str("/var/cache"),
            Some('E') => out.push_str("/etc"),
            Some('L') => out.push_str("/var/log"),
            Some('S') => out.push_str("/var/lib"),
            Some('T') => out.push_str("/tmp"),
            Some('V') => out.push_str("/var/tmp"),
            Some('h') => out.push_str("/root"),
            Some('t') => out.push_str("/run"),
            Some('u' | 'g') => out.push_str("root"),
            Some('U' | 'G') => out.push('0'),
            Some(other) => out.extend(['%', other]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Environment=\"A=1\"", &[("A", "1")])]
    #[case("Environment=A=1 \"B=x y\" 'C=\"q\"'", &[("A", "1"), ("B", "x y"), ("C", "\"q\"")])]
    #[case("Environment=A=1\nEnvironment=A=2", &[("A", "2")])]
    #[case("Environment=A=1\nEnvironment=\nEnvironment=B=2", &[("B", "2")])]
    #[case("Environment=\"P=http://u:a%%2Fb@p\"", &[("P", "http://u:a%2Fb@p")])]
    #[case("Environment=P=a%40b%Eb", &[("P", "a%40b/etcb")])]
    #[case("Environment=A=1 \\\n  B=2", &[("A", "1"), ("B", "2")])]
    #[case("# Environment=A=1\n[Unit]\nEnvironment=A=1", &[])]
    fn environment_lines_are_read_as_systemd_reads_them(#[case] lines: &str, #[case] wanted: &[(&str, &str)]) {
        let mut tree = Tree::default();
        tree.write("/etc/systemd/system/containerd.service.d/p.conf", format!("[Service]\n{lines}\n").as_bytes()).unwrap();
        let wanted: Vec<(String, String)> = wanted.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(unit_environment(&tree, "containerd", "n1"), wanted);
    }

    #[test]
    fn later_files_win_and_the_units_own_beat_the_defaults() {
        let mut tree = Tree::default();
        let mut write = |path: &str, text: &str| tree.write(&format!("/etc/systemd/{path}"), text.as_bytes()).unwrap();
        write("system.conf.d/d.conf", "[Manager]\nDefaultEnvironment=\"A=default\" \"D=default\"\n");
        write("system/containerd.service.d/10.conf", "[Service]\nEnvironment=A=ten B=ten\n");
        write("system/containerd.service.d/20.conf", "[Service]\nEnvironment=B=twenty\n");
        write("system/containerd.service.d/30.bak", "[Service]\nEnvironment=B=no\n");
        let mut systemd = Systemd::default();
        systemd.reload(&tree, "n1");
        systemd.restart("containerd");
        let unit = systemd.unit("containerd.service").unwrap();
        assert_eq!(["A", "B", "D"].map(|k| unit.running[k].as_str()), ["ten", "twenty", "default"]);
        assert_eq!(systemd.property(&tree, "containerd", "Environment", "n1").unwrap(), "A=ten B=twenty");
        assert!(!systemd.unit("kubelet").unwrap().running.contains_key("A"));
    }
}
