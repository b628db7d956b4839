//! Processes by id: who they are, whether they live, and how they are ended.

use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal};

/// How long a process group may take to end after SIGTERM before it gets SIGKILL.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
/// How often to look meanwhile whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Start time of a process in clock ticks since boot: field 22 of `/proc/PID/stat`. With the pid it names one process for good,
/// because pids are used again. `None` where there is no such process, or no `/proc`.
#[must_use]
pub fn start_ticks(pid: u32) -> Option<u64> {
    stat(pid).map(|s| s.start)
}

/// Whether this very process, not a later one with the same pid, still runs. A zombie does not.
#[must_use]
pub fn is_alive(pid: u32, start_ticks: u64) -> bool {
    stat(pid).is_some_and(|s| s.start == start_ticks && !matches!(s.state, 'Z' | 'X'))
}

struct Stat {
    state: char,
    group: u32,
    start: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // `state` is field 3, so the process group, field 5, is the second after it, and field 22 the seventeenth after that.
    let group = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(16)?.parse().ok()?;
    Some(Stat { state, group, start })
}

/// A process group that we made, led by a child of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) pid: u32,
    pub(crate) start: Option<u64>,
}

impl Group {
    /// Signals every process of the group. Does nothing when the leader's pid has meanwhile gone to another process.
    pub(crate) fn signal(&self, signal: Signal) {
        let now = start_ticks(self.pid);
        if now.is_some() && now != self.start {
            return;
        }
        // A pid of 0 or 1 would mean "my own group" or "everyone".
        if let Some(pid) = i32::try_from(self.pid).ok().filter(|p| *p > 1).and_then(Pid::from_raw) {
            // The group may be empty already; there is nothing to do about any other error either.
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }

    /// SIGTERM now and SIGKILL after [`GRACE`], without waiting: for `Drop`, where nothing can be awaited and there may be no runtime.
    pub(crate) fn end_detached(self) {
        self.signal(Signal::TERM);
        let ended = std::thread::Builder::new().name("end-child".into()).spawn(move || {
            // Nobody ever sends: each receive is a bounded wait.
            let (_keep, never) = mpsc::channel::<()>();
            for _ in 0..GRACE.as_millis() / LOOK_EVERY.as_millis() {
                if self.gone() {
                    return;
                }
                let _ = never.recv_timeout(LOOK_EVERY);
            }
            self.signal(Signal::KILL);
        });
        match ended {
            Ok(thread) => ENDING.lock().unwrap_or_else(PoisonError::into_inner).push(thread),
            Err(_) => self.signal(Signal::KILL),
        }
    }

    /// Whether nothing is left of the group but zombies, which nobody may reap any more. `false` where there is no `/proc` to tell.
    fn gone(self) -> bool {
        let Ok(processes) = std::fs::read_dir("/proc") else { return false };
        let pids = processes.filter_map(|p| p.ok()?.file_name().to_str()?.parse::<u32>().ok());
        !pids.filter_map(stat).any(|s| s.group == self.pid && !matches!(s.state, 'Z' | 'X'))
    }
}

/// The threads that end children of dropped commands.
static ENDING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Waits, for 5 seconds at most, until every child whose command was dropped has ended: for a process that is about to exit, since nobody
/// would end a child that ignores SIGTERM after it.
pub fn settle() {
    let threads = std::mem::take(&mut *ENDING.lock().unwrap_or_else(PoisonError::into_inner));
    for thread in threads {
        // A thread that panicked has nothing more to do.
        let _ = thread.join();
    }
}

/// What [`end_if_same`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The process was already gone, or its pid belongs to another one now; nothing was touched.
    Gone,
    /// It ended after SIGTERM.
    Terminated,
    /// It needed SIGKILL.
    Killed,
}

/// Ends the process group of a child that an owner, now dead, has left behind: SIGTERM, then SIGKILL after 5 seconds. Only when
/// pid and start time are those that were recorded, so that a stranger is never hit.
pub async fn end_if_same(pid: u32, start_ticks: u64) -> Ended {
    // Opened before the identity is checked, so that the descriptor cannot belong to a later process than the check.
    let exit = watch_exit(pid);
    if !is_alive(pid, start_ticks) {
        return Ended::Gone;
    }
    let group = Group { pid, start: Some(start_ticks) };
    group.signal(Signal::TERM);
    let _ = tokio::time::timeout(GRACE, exit).await;
    let ended = if is_alive(pid, start_ticks) { Ended::Killed } else { Ended::Terminated };
    // Also when the leader is gone: what it started may still be there.
    group.signal(Signal::KILL);
    ended
}

/// Resolves when the process ends, whoever its parent is. Where the system cannot tell, never.
#[cfg(target_os = "linux")]
#[expect(deprecated, reason = "its successor is unsafe, because a type may close its descriptor early; an `OwnedFd` does not")]
fn watch_exit(pid: u32) -> impl Future<Output = ()> {
    use rustix::process::{PidfdFlags, pidfd_open};
    use tokio::io::{Interest, unix::AsyncFd};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let fd = pid.and_then(|p| pidfd_open(p, PidfdFlags::NONBLOCK).ok());
    let handle = fd.and_then(|fd| AsyncFd::with_interest(fd, Interest::READABLE).ok());
    async move {
        match &handle {
            Some(fd) => drop(fd.readable().await),
            None => std::future::pending().await,
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn watch_exit(_: u32) -> impl Future<Output = ()> {
    std::future::pending()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_program_name() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 5 18446744073709551615";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.state, stat.start), ('S', 987_654));
        assert!(parse_stat("42 (x").is_none());
    }

    #[test]
    fn a_process_is_itself_and_no_other() {
        let me = std::process::id();
        let ticks = start_ticks(me).unwrap();
        assert!(is_alive(me, ticks));
        assert!(!is_alive(me, ticks + 1));
        assert_eq!(start_ticks(u32::MAX), None);
    }

    #[tokio::test]
    async fn a_stranger_with_the_same_pid_is_left_alone() {
        use std::os::unix::process::CommandExt;
        #[expect(clippy::disallowed_methods, reason = "a process that meshproof did not start")]
        let mut child = std::process::Command::new("/bin/sh").args(["-c", "exec sleep 60"]).process_group(0).spawn().unwrap();
        let (pid, ticks) = (child.id(), start_ticks(child.id()).unwrap());
        assert_eq!(end_if_same(pid, ticks + 1).await, Ended::Gone);
        assert!(is_alive(pid, ticks));
        assert_eq!(end_if_same(pid, ticks).await, Ended::Terminated);
        assert!(!is_alive(pid, ticks), "a zombie does not count as alive");
        child.wait().unwrap();
    }
}
