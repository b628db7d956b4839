//! What `docker exec` can run on a node.

use std::sync::LazyLock;

use regex::Regex;

use super::{Node, Output, RunState, State, TreeError, config, crictl, ctr};

/// A command whose output is put in its place.
static SUBSTITUTION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\(([^()$]*)\)").expect("a valid pattern"));

impl Node {
    /// Why nothing can be run, in docker's words; `None` if it can.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let name = self.name();
        match self.run_state() {
            RunState::Running => None,
            RunState::Exited => Some(format!("container {name} is not running")),
            RunState::Paused => Some(format!("Container {name} is paused, unpause the container before exec")),
        }
    }

    /// Runs a command as root.
    pub async fn exec(&self, argv: &[&str]) -> Output {
        if let Some(refusal) = self.refusal() {
            return Output::failed(1, format!("Error response from daemon: {refusal}\n"));
        }
        let Some((program, arguments)) = argv.split_first() else {
            return Output::failed(1, "\"docker exec\" requires at least 2 arguments.\n");
        };
        let name = program.rsplit('/').next().unwrap_or(program);
        match (name, arguments) {
            ("sh" | "bash", ["-c", script, ..]) => self.shell(script).await,
            ("crictl", arguments) => crictl::run(self, arguments).await,
            ("ctr", arguments) => ctr::run(self, arguments).await,
            _ => self.simple(program, name, arguments),
        }
    }

    /// Plain words, with `&&` or `;` between commands and the output of others in `$(…)`. A shell is not what is simulated here.
    async fn shell(&self, script: &str) -> Output {
        let mut all = Output::default();
        let plain = SUBSTITUTION.replace_all(script, "");
        if plain.contains(['|', '<', '>', '$', '`', '*', '(', '{']) {
            return Output::failed(127, format!("sh: 1: the simulated node has no shell for: {script}\n"));
        }
        for (at, part) in script.split("&&").flat_map(|p| p.split([';', '\n'])).map(str::trim).filter(|p| !p.is_empty()).enumerate() {
            if at > 0 && all.code != 0 && script.contains("&&") {
                break;
            }
            let part = self.substituted(part).await;
            let words: Vec<String> = part.split_whitespace().map(|w| w.trim_matches(['"', '\'']).to_owned()).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            if matches!(words.first(), Some(&("sh" | "bash"))) {
                return Output::failed(127, "sh: 1: the simulated node has no shell in a shell\n");
            }
            let output = Box::pin(self.exec(&words)).await;
            all.code = output.code;
            all.stdout.push_str(&output.stdout);
            all.stderr.push_str(&output.stderr);
        }
        all
    }

    /// A command line with what the commands in it say, without the ends of their lines.
    async fn substituted(&self, line: &str) -> String {
        let mut done = String::new();
        let mut rest = line;
        while let Some(found) = SUBSTITUTION.captures(rest) {
            let (whole, inner) = (found.get(0).map_or(0..0, |m| m.range()), found.get(1).map_or("", |m| m.as_str()));
            let words: Vec<&str> = inner.split_whitespace().collect();
            done.push_str(&rest[..whole.start]);
            done.push_str(Box::pin(self.exec(&words)).await.stdout.trim_end_matches('\n'));
            rest = &rest[whole.end..];
        }
        done + rest
    }

    fn simple(&self, program: &str, name: &str, arguments: &[&str]) -> Output {
        let settings = self.settings();
        let paths: Vec<&str> = arguments.iter().copied().filter(|a| !a.starts_with('-')).collect();
        let flags: String = arguments.iter().filter_map(|a| a.strip_prefix('-')).collect();
        match (name, arguments) {
            ("true", _) => Output::default(),
            ("false", _) => Output::failed(1, ""),
            ("echo", words) => Output::ok(format!("{}\n", words.join(" "))),
            ("hostname", []) => Output::ok(format!("{}\n", settings.name)),
            ("uname", ["-r"]) => Output::ok(format!("{}\n", settings.kernel)),
            ("uname", ["-m"]) => Output::ok(format!("{}\n", std::env::consts::ARCH)),
            ("cat", _) => self.cat(&paths),
            ("ls", _) => self.list(&paths),
            ("mkdir", _) => {
                let mut state = self.state();
                each(&paths, "mkdir: cannot create directory '", "'", |path| state.tree.make_directory(path))
            }
            ("rm", _) => {
                let (force, recursive) = (flags.contains('f'), flags.contains(['r', 'R']));
                let mut state = self.state();
                each(&paths, "rm: cannot remove '", "'", |path| match state.tree.remove(path, recursive) {
                    Err(TreeError::NotFound) if force => Ok(()),
                    other => other,
                })
            }
            ("test" | "[", [kind, path, ..]) => {
                let tree = &self.state().tree;
                let (file, directory) = (tree.is_file(path) || generated(path), tree.is_directory(path));
                let holds = match *kind {
                    "-f" => file,
                    "-d" => directory,
                    "-e" => file || directory,
                    _ => return Output::failed(2, format!("test: {kind}: unary operator expected\n")),
                };
                Output { code: i64::from(!holds), ..Output::default() }
            }
            ("env" | "printenv", []) => Output::ok(settings.environment.iter().map(|(k, v)| format!("{k}={v}\n")).collect::<String>()),
            ("systemctl", arguments) => self.systemctl(arguments),
            ("journalctl", arguments) => self.journalctl(arguments),
            ("containerd", ["config", "dump"]) => {
                let text = self.state().tree.text(super::CONFIG).unwrap_or_default();
                // The command reads the file itself; it does not ask the running containerd.
                match config::load(settings.containerd, &text) {
                    Ok(loaded) => Output::ok(loaded.dump()),
                    Err(why) => Output::failed(1, format!("containerd: failed to load TOML: {}: {why}\n", super::CONFIG)),
                }
            }
            ("containerd", ["--version" | "-v"]) => {
                Output::ok(format!("containerd github.com/containerd/containerd/v2 v{} sim\n", settings.containerd))
            }
            _ => Output::failed(
                127,
                format!(
                    "OCI runtime exec failed: exec failed: unable to start container process: exec: \"{program}\": executable file not found in $PATH\n"
                ),
            ),
        }
    }

    fn cat(&self, paths: &[&str]) -> Output {
        let state = self.state();
        let mut stdout = String::new();
        let mut output = each(paths, "cat: ", "", |path| {
            stdout.push_str(&String::from_utf8_lossy(&self.read(&state, path)?));
            Ok(())
        });
        output.stdout = stdout;
        output
    }

    fn list(&self, paths: &[&str]) -> Output {
        let state = self.state();
        let mut stdout = String::new();
        let mut output = each(if paths.is_empty() { &["/"] } else { paths }, "ls: cannot access '", "'", |path| {
            if state.tree.is_file(path) {
                stdout.push_str(&format!("{path}\n"));
                return Ok(());
            }
            stdout.extend(state.tree.list(path)?.iter().map(|name| format!("{name}\n")));
            Ok(())
        });
        output.stdout = stdout;
        if output.code != 0 {
            output.code = 2;
        }
        output
    }

    fn systemctl(&self, arguments: &[&str]) -> Output {
        let mut state = self.state();
        let words: Vec<&str> = arguments.iter().copied().filter(|a| !matches!(*a, "--now" | "--quiet" | "-q" | "--no-pager")).collect();
        let known = |state: &State, unit: &str| state.systemd.unit(unit).is_some();
        match words.as_slice() {
            ["daemon-reload" | "daemon-reexec"] => {
                self.reload(&mut state);
                Output::default()
            }
            [verb @ ("restart" | "start" | "stop" | "is-active" | "try-restart"), unit] => {
                let name = unit.strip_suffix(".service").unwrap_or(unit);
                let active = state.systemd.unit(name).is_some_and(|u| u.main_pid != 0);
                match *verb {
                    "is-active" if active => Output::ok("active\n"),
                    "is-active" => Output { code: 3, stdout: "inactive\n".to_owned(), ..Output::default() },
                    _ if !known(&state, name) => {
                        Output::failed(5, format!("Failed to {verb} {name}.service: Unit {name}.service not found.\n"))
                    }
                    "stop" => {
                        state.systemd.stop(name);
                        Output::default()
                    }
                    "start" if active => Output::default(),
                    "try-restart" if !active => Output::default(),
                    _ => {
                        let stale = state.systemd.needs_reload(&state.tree, name, self.name());
                        let up = self.restart(&mut state, name);
                        let mut output = Output::default();
                        if stale {
                            output.stderr = format!(
                                "Warning: The unit file, source configuration file or drop-ins of {name}.service changed on disk. Run 'systemctl daemon-reload' to reload units.\n"
                            );
                        }
                        if !up {
                            output.code = 1;
                            output.stderr.push_str(&format!("Job for {name}.service failed because the control process exited with error code.\nSee \"systemctl status {name}.service\" and \"journalctl -xeu {name}.service\" for details.\n"));
                        }
                        output
                    }
                }
            }
            ["show", rest @ ..] => self.show(&state, rest),
            _ => Output::failed(1, format!("Unknown command verb '{}'.\n", words.first().unwrap_or(&""))),
        }
    }

    fn show(&self, state: &State, arguments: &[&str]) -> Output {
        let (mut unit, mut wanted, mut bare) = ("", Vec::new(), false);
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match *argument {
                "--value" => bare = true,
                "-p" | "--property" => wanted.extend(rest.next().into_iter().flat_map(|p| p.split(','))),
                other => match other.strip_prefix("--property=").or_else(|| other.strip_prefix("-p")) {
                    Some(properties) => wanted.extend(properties.split(',')),
                    None => unit = other,
                },
            }
        }
        if wanted.is_empty() {
            wanted = vec!["MainPID", "LoadState", "ActiveState", "SubState", "Environment", "DropInPaths", "NeedDaemonReload"];
        }
        let unit = unit.strip_suffix(".service").unwrap_or(unit);
        let lines = wanted.iter().filter_map(|property| {
            let value = state.systemd.property(&state.tree, unit, property, self.name())?;
            Some(if bare { format!("{value}\n") } else { format!("{property}={value}\n") })
        });
        Output::ok(lines.collect::<String>())
    }

    fn journalctl(&self, arguments: &[&str]) -> Output {
        let (mut unit, mut last) = (String::new(), usize::MAX);
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = |short: &str, long: &str| match *argument {
                option if option == short || option == long => rest.next().map(|v| (*v).to_owned()),
                other => other.strip_prefix(&format!("{long}=")).map(str::to_owned),
            };
            if let Some(name) = value("-u", "--unit") {
                name.trim_end_matches(".service").clone_into(&mut unit);
            } else if let Some(number) = value("-n", "--lines").or_else(|| argument.strip_prefix("-n").map(str::to_owned)) {
                last = number.parse().unwrap_or(10);
            }
        }
        let state = self.state();
        let lines: Vec<&String> = state.journal.iter().filter(|(name, _)| unit.is_empty() || **name == unit).flat_map(|(_, l)| l).collect();
        if lines.is_empty() {
            return Output::ok("-- No entries --\n");
        }
        let from = lines.len().saturating_sub(last);
        Output::ok(lines[from..].iter().map(|l| format!("{l}\n")).collect::<String>())
    }
}

/// Whether a file of `/proc` is there; the tree has none of them.
fn generated(path: &str) -> bool {
    matches!(path, "/proc/version" | "/proc/meminfo" | "/proc/sys/kernel/hostname" | "/proc/sys/kernel/osrelease")
}

/// Does something with every path, and complains about each that fails.
fn each(paths: &[&str], before: &str, after: &str, mut act: impl FnMut(&str) -> Result<(), TreeError>) -> Output {
    let mut output = Output::default();
    for path in paths {
        if let Err(e) = act(path) {
            output.code = 1;
            output.stderr.push_str(&format!("{before}{path}{after}: {e}\n"));
        }
    }
    output
}
