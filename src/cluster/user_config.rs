//! The user's own kubeconfig, read as kubectl reads it and never written: all files of `KUBECONFIG` together, or `~/.kube/config`. Of it one
//! context is taken, with all that it needs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::text;

/// Errors of the user's kubeconfig.
#[derive(Debug, thiserror::Error)]
pub enum UserConfigError {
    /// A file is there and cannot be read.
    #[error("cannot read the kubeconfig {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no kubeconfig.
    #[error("{path} is no kubeconfig: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why, with the line where known; never what the line holds.
        reason: String,
    },
    /// There is no such context.
    #[error("there is no context `{context}` in {files}")]
    NoContext {
        /// The context that was asked for.
        context: String,
        /// The files that were read, or a word for none.
        files: String,
        /// The contexts that there are.
        known: Vec<String>,
    },
    /// The context names a cluster or a user that is not there.
    #[error("the context `{context}` names the {what} `{name}`, which is not in the kubeconfig")]
    Dangling {
        /// The context.
        context: String,
        /// `cluster` or `user`.
        what: &'static str,
        /// The name that leads nowhere.
        name: String,
    },
    /// The cluster is only reached through a proxy, which the client here does not speak to.
    #[error("the cluster of the context `{context}` is reached through a proxy (proxy-url)")]
    Proxy {
        /// The context.
        context: String,
    },
}

impl UserConfigError {
    /// What to do about it, where known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoContext { context, known, .. } => {
                let listed = contexts_there_are(known);
                let likeness = |name: &&String| strsim::jaro_winkler(context, name);
                let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
                // Names that have nothing in common would only mislead.
                Some(match nearest.filter(|name| likeness(name) > 0.6) {
                    Some(name) => format!("{} {listed}", text::current().with("hint-nearest", &[("name", name)])),
                    None => listed,
                })
            }
            Self::Proxy { .. } => Some(text::current().get("hint-context-proxy")),
            _ => None,
        }
    }
}

/// The contexts to choose from, in a sentence.
#[must_use]
pub fn contexts_there_are(known: &[String]) -> String {
    if known.is_empty() {
        return text::current().get("contexts-none");
    }
    text::current().with("contexts-there-are", &[("contexts", &known.join(", "))])
}

/// The files that kubectl would read; `var` looks up an environment variable.
#[must_use]
pub fn files(var: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let set = |name: &str| var(name).filter(|v| !v.is_empty());
    // They are remembered for commands that are run from elsewhere. Without a current directory they stay as they are.
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    if let Some(list) = set("KUBECONFIG") {
        return std::env::split_paths(&list).filter(|p| !p.as_os_str().is_empty()).map(absolute).collect();
    }
    set("HOME").map(|home| absolute(PathBuf::from(home).join(".kube/config"))).into_iter().collect()
}

/// A named thing of a kubeconfig, and the directory that its paths start from.
#[derive(Debug)]
struct Entry {
    name: String,
    value: Value,
    dir: PathBuf,
}

/// What the files say together.
#[derive(Debug, Default)]
pub struct UserConfig {
    files: Vec<PathBuf>,
    contexts: Vec<Entry>,
    clusters: Vec<Entry>,
    users: Vec<Entry>,
}

impl UserConfig {
    /// Reads the files. One that does not exist says nothing, and of two things of one name the first counts.
    ///
    /// # Errors
    /// When a file is there and is no kubeconfig.
    pub fn read(files: &[PathBuf]) -> Result<Self, UserConfigError> {
        let mut all = Self { files: files.to_vec(), ..Self::default() };
        for path in files {
            let text = match std::fs::read_to_string(path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                text => text.map_err(|source| UserConfigError::Read { path: path.clone(), source })?,
            };
            let bad = |reason: String| UserConfigError::Parse { path: path.clone(), reason };
            // A parser's message may quote the line, which may be a key.
            let place = |e: serde_saphyr::Error| e.location().map_or_else(String::new, |l| format!(" (line {})", l.line()));
            let value: Value = serde_saphyr::from_str(&text).map_err(|e| bad(format!("it is not YAML{}", place(e))))?;
            if !value.is_object() && !value.is_null() {
                return Err(bad("it is no map".to_owned()));
            }
            let dir = path.parent().unwrap_or(Path::new("/"));
            for (list, field, into) in
                [("contexts", "context", &mut all.contexts), ("clusters", "cluster", &mut all.clusters), ("users", "user", &mut all.users)]
            {
                for entry in value[list].as_array().into_iter().flatten() {
                    let name = words(&entry["name"]);
                    if !into.iter().any(|known| known.name == name) {
                        into.push(Entry { name, value: entry[field].clone(), dir: dir.to_owned() });
                    }
                }
            }
        }
        Ok(all)
    }

    /// The names of the contexts, in their order.
    #[must_use]
    pub fn contexts(&self) -> Vec<String> {
        self.contexts.iter().map(|c| c.name.clone()).collect()
    }

    /// A kubeconfig with this context alone, which is the current one. It can be read from any directory. `home` is the user's, which a program
    /// that makes credentials may keep them in although whoever starts it has another.
    ///
    /// # Errors
    /// When there is no such context, or what it names is not there.
    pub fn only(&self, context: &str, home: Option<&str>) -> Result<Value, UserConfigError> {
        let found = self.contexts.iter().find(|c| c.name == context).ok_or_else(|| {
            let files = self.files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>();
            let files = if files.is_empty() { text::current().get("contexts-no-file") } else { files.join(", ") };
            UserConfigError::NoContext { context: context.to_owned(), files, known: self.contexts() }
        })?;
        let entry = |what: &'static str, among: &[Entry]| {
            let name = words(&found.value[what]);
            let entry = among.iter().find(|e| e.name == name).map(|e| (e.value.clone(), e.dir.clone()));
            let entry = entry.or_else(|| (what == "user" && name.is_empty()).then(|| (json!({}), PathBuf::new())));
            let (value, dir) = entry.ok_or_else(|| UserConfigError::Dangling { context: context.to_owned(), what, name: name.clone() })?;
            let value = if value.is_null() { json!({}) } else { value };
            Ok((name, value, dir))
        };
        let (cluster_name, mut cluster, dir) = entry("cluster", &self.clusters)?;
        if !words(&cluster["proxy-url"]).is_empty() {
            return Err(UserConfigError::Proxy { context: context.to_owned() });
        }
        absolute(&mut cluster, &["certificate-authority"], &dir);
        let (user_name, mut user, dir) = entry("user", &self.users)?;
        absolute(&mut user, &["client-certificate", "client-key", "tokenFile"], &dir);
        if let Some(exec) = user.get_mut("exec").filter(|e| e.is_object()) {
            // A bare name is looked for on the PATH.
            if words(&exec["command"]).contains('/') {
                absolute(exec, &["command"], &dir);
            }
            keep_home(exec, home);
        }
        Ok(json!({
            "apiVersion": "v1", "kind": "Config", "current-context": context,
            "contexts": [{"name": context, "context": found.value}],
            "clusters": [{"name": cluster_name, "cluster": cluster}],
            "users": [{"name": user_name, "user": user}],
        }))
    }
}

/// A scalar as text: a name may look like a number.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Makes paths of files independent of the directory of the kubeconfig that names them.
fn absolute(of: &mut Value, fields: &[&str], dir: &Path) {
    for field in fields {
        if let Some(Value::String(path)) = of.get_mut(*field).filter(|v| v.as_str().is_some_and(|p| !p.is_empty())) {
            *path = dir.join(&*path).display().to_string();
        }
    }
}

/// kubectl is run with a home of the session, and gives it on to the program that makes credentials.
fn keep_home(exec: &mut Value, home: Option<&str>) {
    let Some(home) = home else { return };
    let Some(exec) = exec.as_object_mut() else { return };
    let variables = exec.entry("env").or_insert(Value::Null);
    if variables.is_null() {
        *variables = json!([]);
    }
    let named = |v: &Value| v["name"] == "HOME";
    if let Some(variables) = variables.as_array_mut().filter(|all| !all.iter().any(named)) {
        variables.push(Value::Object(Map::from_iter([("name".to_owned(), "HOME".into()), ("value".to_owned(), home.into())])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "apiVersion: v1\nkind: Config\ncurrent-context: prod\n\
        contexts:\n- {name: prod, context: {cluster: c1, user: u1}}\n- {name: kind-dev, context: {cluster: c2, user: u2, namespace: n}}\n\
        clusters:\n- {name: c1, cluster: {server: 'https://prod:6443', certificate-authority: pki/ca.crt}}\n\
        - {name: c2, cluster: {server: 'https://dev:6443', certificate-authority-data: QQ==}}\n\
        users:\n- {name: u1, user: {client-certificate: me.crt, client-key: /abs/me.key}}\n- {name: u2, user: {token: other-token}}\n";

    fn config(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<UserConfig, UserConfigError>) {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = files.iter().map(|(name, _)| dir.path().join(name)).collect();
        for (path, (_, text)) in paths.iter().zip(files).filter(|(_, (_, text))| *text != "-") {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let read = UserConfig::read(&paths);
        (dir, read)
    }

    #[test]
    fn one_context_is_taken_with_what_it_names_and_nothing_else() {
        let (dir, read) = config(&[("config", TWO)]);
        let only = read.unwrap().only("prod", None).unwrap();
        let in_dir = |name: &str| dir.path().join(name).display().to_string();
        let wanted = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "prod",
            "contexts": [{"name": "prod", "context": {"cluster": "c1", "user": "u1"}}],
            "clusters": [{"name": "c1", "cluster": {"server": "https://prod:6443", "certificate-authority": in_dir("pki/ca.crt")}}],
            "users": [{"name": "u1", "user": {"client-certificate": in_dir("me.crt"), "client-key": "/abs/me.key"}}],
        });
        assert_eq!(only, wanted);
    }

    #[test]
    fn files_count_together_the_first_wins_and_a_missing_one_says_nothing() {
        let other = "contexts:\n- {name: prod, context: {cluster: wrong, user: wrong}}\n- {name: 7, context: {cluster: c1}}\nusers: null\n";
        let (dir, read) = config(&[("none", "-"), ("empty", ""), ("a/config", TWO), ("b/config", other)]);
        let read = read.unwrap();
        assert_eq!(read.contexts(), ["prod", "kind-dev", "7"]);
        assert_eq!(read.only("prod", None).unwrap()["contexts"][0]["context"]["cluster"], "c1");
        let seven = read.only("7", None).unwrap();
        let authority = dir.path().join("a/pki/ca.crt").display().to_string();
        assert_eq!(seven["clusters"][0]["cluster"]["certificate-authority"], authority, "paths start where they are written");
        assert_eq!(seven["users"], json!([{"name": "", "user": {}}]));
    }

    #[test]
    fn a_program_for_credentials_keeps_its_place_and_the_home_of_the_user() {
        let exec = |command: &str, env: &str| {
            format!(
                "contexts:\n- {{name: x, context: {{cluster: c, user: u}}}}\nclusters:\n- {{name: c, cluster: {{server: s}}}}\n\
                 users:\n- {{name: u, user: {{exec: {{command: {command}, env: {env}, interactiveMode: Never}}}}}}\n"
            )
        };
        let (dir, read) = config(&[("config", &exec("./bin/login", "null"))]);
        let made = read.unwrap().only("x", Some("/home/me")).unwrap()["users"][0]["user"]["exec"].clone();
        assert_eq!(made["command"], dir.path().join("./bin/login").display().to_string());
        assert_eq!((&made["env"], &made["interactiveMode"]), (&json!([{"name": "HOME", "value": "/home/me"}]), &json!("Never")));
        let (_dir, read) = config(&[("config", &exec("login", "[{name: HOME, value: /other}]"))]);
        let made = read.unwrap().only("x", Some("/home/me")).unwrap()["users"][0]["user"]["exec"].clone();
        assert_eq!((&made["command"], &made["env"]), (&json!("login"), &json!([{"name": "HOME", "value": "/other"}])));
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let (_dir, read) = config(&[("config", TWO)]);
        let error = read.unwrap().only("kind-devv", None).unwrap_err();
        assert!(error.to_string().starts_with("there is no context `kind-devv` in /"), "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("did you mean `kind-dev`?") && hint.contains("prod, kind-dev"), "{hint}");
        let none = UserConfig::read(&[]).unwrap().only("x", None).unwrap_err();
        assert!(none.hint().unwrap().contains("no context"), "{none:?}");
        let (_dir, read) = config(&[("config", &TWO.replace("cluster: c1", "cluster: c9"))]);
        let error = read.unwrap().only("prod", None).unwrap_err().to_string();
        assert_eq!(error, "the context `prod` names the cluster `c9`, which is not in the kubeconfig");
        let (_dir, read) = config(&[("config", &TWO.replace("user: u1", "user: u9"))]);
        assert!(matches!(read.unwrap().only("prod", None).unwrap_err(), UserConfigError::Dangling { what: "user", .. }));
        let (_dir, read) = config(&[("config", &TWO.replace("server: 'https://prod:6443'", "server: x, proxy-url: 'http://p'"))]);
        let error = read.unwrap().only("prod", None).unwrap_err();
        assert!(matches!(error, UserConfigError::Proxy { .. }) && error.hint().is_some(), "{error}");
    }

    #[test]
    fn a_file_that_is_none_is_named_and_never_quoted() {
        for text in ["users: [{token: hunter2", "- hunter2\n", "hunter2\n"] {
            let (_dir, read) = config(&[("config", text)]);
            let error = read.unwrap_err().to_string();
            assert!(error.contains("/config is no kubeconfig: it is no") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_files_are_those_of_kubectl() {
        let var = |list: &'static str| move |name: &str| Some(OsString::from(if name == "HOME" { "/home/me" } else { list }));
        assert_eq!(files(var("")), [Path::new("/home/me/.kube/config")], "an empty variable says nothing");
        assert_eq!(files(var("/a::/b/c")), [Path::new("/a"), Path::new("/b/c")]);
        assert!(files(var("here"))[0].is_absolute());
        assert!(files(|_| None).is_empty());
    }
}
