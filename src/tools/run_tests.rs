use std::sync::Mutex;

use super::*;
use crate::tools::is_alive;

fn sh(script: &str) -> Command {
    Command::new("tool", "/bin/sh").args(["-c", script])
}

fn finished(journal: &Journal) -> Vec<CommandRecord> {
    let records = journal.records().into_iter();
    records.filter_map(|r| if let Event::CommandFinished(c) = r.event { Some(c) } else { None }).collect()
}

#[test]
fn the_futures_can_be_spawned() {
    fn sendable<T: Send>(_: &T) {}
    let journal = Journal::in_memory();
    sendable(&sh("true").ok(&journal));
    sendable(&sh("true").spawn(&journal));
}

/// Waits until a condition that something else brings about is true.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(8);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        let _ = timeout(Duration::from_millis(10), std::future::pending::<()>()).await;
    }
}

/// The pid that a script has written into a file, with the start time of that process.
async fn process_in(file: &Path) -> (u32, u64) {
    let mut found = None;
    until("the script has written its pid", || {
        let pid = std::fs::read_to_string(file).ok().filter(|t| t.ends_with('\n')).and_then(|t| t.trim().parse().ok());
        found = pid.and_then(|pid| Some((pid, start_ticks(pid)?)));
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test]
async fn both_streams_the_exit_code_and_the_journal_are_complete() {
    let journal = Journal::in_memory();
    let output = sh("cat; echo oops >&2; exit 3").stdin("given").output(&journal).await.unwrap();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str(), output.exit.code), ("given", "oops\n", Some(3)));
    assert!(!output.success());
    let records = journal.records();
    let Event::CommandStarted { argv, pid, start_ticks } = &records[0].event else { panic!("{records:?}") };
    assert_eq!(argv, &["tool", "-c", "cat; echo oops >&2; exit 3"], "the name is recorded, not the path");
    assert_eq!((*pid, start_ticks.is_some()), (output.pid, true));
    assert_eq!(records[1].event, Event::CommandFinished(output.record.clone()));
    assert_eq!((output.record.exit_code, output.record.stderr.as_str(), records.len()), (Some(3), "oops\n", 2));
}

#[tokio::test]
async fn a_megabyte_on_each_stream_does_not_block() {
    let script = "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2";
    let output = sh(script).stdin(vec![b'x'; 1_000_000]).ok(&Journal::in_memory()).await.unwrap();
    assert_eq!((output.stdout.len(), output.stderr.len()), (1_000_000, 1_000_000));
    assert!(output.record.stdout.len() < 200_000);
}

#[tokio::test]
async fn a_failure_shows_the_command_its_exit_code_and_the_end_of_its_errors() {
    let journal = Journal::in_memory();
    journal.redactor().learn("very-secret-value");
    let script = "i=1; while [ $i -le 30 ]; do echo line $i >&2; i=$((i+1)); done; echo very-secret-value >&2; exit 1";
    let error = sh(script).ok(&journal).await.unwrap_err().to_string();
    assert!(error.contains("exited with code 1") && error.contains("line 30") && !error.contains("line 16"), "{error}");
    assert!(!error.contains("very-secret-value") && !format!("{:?}", journal.records()).contains("very-secret-value"), "{error}");
    let error = sh("kill -9 $$").ok(&journal).await.unwrap_err().to_string();
    assert!(error.contains("was ended by signal 9"), "{error}");
    let missing = Command::new("tool", "/no/such/program").output(&journal).await.unwrap_err();
    assert!(matches!(missing, RunError::Start { .. }), "{missing}");
}

#[tokio::test]
async fn secrets_in_arguments_and_output_reach_no_record() {
    let journal = Journal::in_memory();
    let command = sh("read a b; echo $a; echo $b >&2").stdin("opaque-token-0123456789 opaque-error-0123456789\n").secret_arg("arg-secret");
    let command = command.args(["--token", "flag-secret", "--token=joined-secret", "--namespace", "shown"]);
    let output = command.secret_output().on_line(|_, line| panic!("a secret line was handed on: {line}")).ok(&journal).await.unwrap();
    assert_eq!(output.stdout, "opaque-token-0123456789\n");
    assert_eq!(output.record.argv[3..], ["<redacted>", "--token", "<redacted>", "--token=<redacted>", "--namespace", "shown"]);
    assert_eq!((output.record.stdout.as_str(), output.record.stderr.as_str()), ("<redacted>", "<redacted>"));
    let finished = journal.records().pop().unwrap();
    let everything = format!("{:?} {:?}", finished.event, output);
    assert!(!everything.contains("opaque-error") && !everything.contains("-secret"), "{everything}");
    journal.write(Event::Warning { message: "got opaque-token-0123456789".into() });
    assert!(format!("{:?}", journal.records().pop()).contains("got <redacted>"), "what a secret command prints is known from then on");
}

#[tokio::test]
async fn a_child_sees_no_proxy_and_no_kubeconfig_of_the_caller() {
    let given = ["HTTP_PROXY", "https_proxy", "All_Proxy", "no_proxy", "KUBECONFIG", "KIND_EXPERIMENTAL_PROVIDER", "HOME"];
    let vars = given.map(|n| (OsString::from(n), OsString::from("/x")));
    let command = Command::new("env", "/usr/bin/env").inherit_from(vars).env("EXTRA", "1").docker_config(Path::new("/d"));
    let output = command.ok(&Journal::in_memory()).await.unwrap();
    let mut seen: Vec<_> = output.stdout.lines().collect();
    seen.sort_unstable();
    assert_eq!(seen, ["DOCKER_CONFIG=/d", "EXTRA=1", "HOME=/x", "LANG=C.UTF-8"]);
}

#[tokio::test]
async fn lines_come_while_the_command_runs() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let dir = tempfile::tempdir().unwrap();
    let (go, handler) = (dir.path().join("go"), Arc::clone(&seen));
    let make = go.clone();
    // The command ends only because its first line was handed on.
    let command = sh("echo first >&2; while [ ! -e go ]; do sleep 0.02; done; echo last").current_dir(dir.path());
    let command = command.timeout(Duration::from_secs(8)).on_line(move |stream, line| {
        std::fs::write(&make, "").unwrap();
        handler.lock().unwrap().push((stream, line.to_owned()));
    });
    command.ok(&Journal::in_memory()).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [(Stream::Stderr, "first".to_owned()), (Stream::Stdout, "last".to_owned())]);
}

#[tokio::test]
async fn a_timeout_ends_grandchildren_even_stubborn_ones() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::in_memory();
    let script = "sh -c 'trap \"\" TERM; echo $$ > pid; i=0; while [ $i -lt 60 ]; do i=$((i+1)); sleep 1; done' >/dev/null 2>&1 & echo waiting >&2; wait";
    let run = sh(script).current_dir(dir.path()).timeout(Duration::from_secs(1)).output(&journal);
    let file = dir.path().join("pid");
    let (result, (pid, ticks)) = tokio::join!(run, process_in(&file));
    let error = result.unwrap_err();
    assert!(matches!(error, RunError::TimedOut { .. }) && error.to_string().contains("waiting"), "{error}");
    until("the grandchild has ended", || !is_alive(pid, ticks)).await;
    assert_eq!(finished(&journal)[0].exit_code, None);
}

#[tokio::test]
async fn dropping_the_future_ends_the_group_and_journals_it() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::in_memory();
    let script = "echo begun; sleep 60 & echo $! > pid; wait";
    let run = sh(script).current_dir(dir.path()).output(&journal);
    let file = dir.path().join("pid");
    let (pid, ticks) = tokio::select! {
        _ = run => panic!("it cannot have ended"),
        process = process_in(&file) => process,
    };
    until("the grandchild has ended", || !is_alive(pid, ticks)).await;
    let record = finished(&journal).pop().unwrap();
    assert_eq!(record.exit_code, None);
    assert!(record.stderr.contains("nobody waits for it any more"), "{record:?}");
}

#[tokio::test]
async fn something_left_in_the_background_does_not_keep_the_caller_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let run = sh("sleep 60 & echo $! > pid; echo done").current_dir(dir.path());
    let output = run.ok(&Journal::in_memory()).await.unwrap();
    assert_eq!(output.stdout, "done\n");
    assert!(started.elapsed() < Duration::from_secs(30));
    let pid: u32 = std::fs::read_to_string(dir.path().join("pid")).unwrap().trim().parse().unwrap();
    until("it was ended", || start_ticks(pid).is_none_or(|t| !is_alive(pid, t))).await;
}

#[tokio::test]
async fn a_running_command_gives_lines_and_stops() {
    let journal = Journal::in_memory();
    let mut running = sh("echo Starting to serve; exec sleep 60").spawn(&journal).await.unwrap();
    let line = running.next_line(Duration::from_secs(8)).await.unwrap();
    assert_eq!(line.as_deref(), Some("Starting to serve"));
    assert!(matches!(running.next_line(Duration::from_millis(20)).await, Err(RunError::Silent { .. })));
    assert_eq!(running.exited(), None);
    let output = running.stop().await.unwrap();
    assert_eq!((output.exit.code, output.exit.signal), (None, Some(15)));
    assert_eq!(finished(&journal), [output.record]);

    let mut ended = sh("echo port is busy >&2; exit 1").spawn(&journal).await.unwrap();
    assert_eq!(ended.next_line(Duration::from_secs(8)).await.unwrap(), None);
    let output = ended.stop().await.unwrap();
    assert_eq!((output.exit.code, output.stderr.as_str()), (Some(1), "port is busy\n"));
}

#[tokio::test]
async fn a_running_command_ends_when_it_is_dropped() {
    let journal = Journal::in_memory();
    let running = sh("exec sleep 60").spawn(&journal).await.unwrap();
    let (pid, ticks) = (running.pid(), start_ticks(running.pid()).unwrap());
    drop(running);
    until("it has ended", || !is_alive(pid, ticks)).await;
    assert_eq!(finished(&journal).len(), 1);
}
