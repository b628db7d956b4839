//! What every wait promises: limits, graces, and errors that tell what was seen.

use std::cell::{Cell, RefCell};
use std::sync::Mutex;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::json;

use super::*;
use crate::testing::api::ScriptedApi;
use crate::testing::drive;

fn seconds(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

fn waiting() -> (ManualClock, Waiting) {
    let clock = ManualClock::default();
    (clock.clone(), Waiting::new(Arc::new(clock), Limits::default()))
}

fn not_yet<T>(status: &str) -> Progress<T> {
    Progress::NotYet(status.to_owned())
}

fn terminal<T>(status: &str, grace: f64) -> Progress<T> {
    Progress::Terminal(Terminal { status: status.to_owned(), grace: seconds(grace) })
}

/// Waits on an object whose annotation is the state, while it takes these states at these times; when the wait ended, and how.
async fn through(states: &[(f64, Progress)]) -> (Duration, Result<(), WaitError>) {
    let (clock, waiting) = waiting();
    let api = ScriptedApi::new(&clock);
    let set = |index: usize| {
        api.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "annotations": {"state": index.to_string()}}}));
    };
    set(0);
    let mut waiter = waiting.waiter();
    let nodes: Watched<Node> = waiter.watch(Api::all(api.client()), &ListParams::default());
    let condition = || states[nodes.items()[0].annotations()["state"].parse::<usize>().unwrap()].1.clone();
    let wait = async {
        let end = waiter.until("it", Limit::Controller, condition).await;
        (clock.now(), end)
    };
    let happen = async {
        for (index, (at, _)) in states.iter().enumerate() {
            clock.sleep_until(seconds(*at)).await;
            set(index);
        }
    };
    drive(&clock, async { tokio::join!(wait, happen).0 }).await
}

#[tokio::test]
async fn a_certain_end_is_not_waited_out() {
    let (at, end) = through(&[(0.0, not_yet("pulling")), (5.0, terminal("not found", 0.0))]).await;
    let error = end.unwrap_err();
    assert_eq!((at, error.elapsed, error.terminal), (seconds(5.0), seconds(5.0), true));
    assert_eq!(error.to_string(), "it: will not happen, gave up after 5.0 s: not found");
}

#[tokio::test]
async fn a_grace_passes_without_any_event() {
    let (at, end) = through(&[(0.0, not_yet("pulling")), (5.0, terminal("no such host", 20.0))]).await;
    assert_eq!((at, end.unwrap_err().terminal), (seconds(25.0), true));
}

#[tokio::test]
async fn a_grace_begins_anew_after_the_trouble_was_gone() {
    let trouble = || terminal("no such host", 20.0);
    let (at, end) = through(&[(0.0, trouble()), (15.0, not_yet("pulling")), (18.0, trouble())]).await;
    assert_eq!((at, end.unwrap_err().terminal), (seconds(38.0), true));
}

#[tokio::test]
async fn another_text_about_the_trouble_does_not_prolong_its_grace() {
    let (at, end) = through(&[(0.0, terminal("ErrImagePull", 20.0)), (15.0, terminal("ImagePullBackOff", 20.0))]).await;
    let error = end.unwrap_err();
    assert_eq!((at, error.last.as_str()), (seconds(20.0), "ImagePullBackOff"));
}

#[tokio::test]
async fn a_trouble_that_heals_within_its_grace_is_forgotten() {
    let (at, end) = through(&[(0.0, terminal("no such host", 20.0)), (19.0, Progress::Ready(()))]).await;
    assert_eq!((at, end), (seconds(19.0), Ok(())));
}

#[tokio::test]
async fn the_limit_comes_before_a_longer_grace() {
    let (at, end) = through(&[(0.0, not_yet("pulling")), (50.0, terminal("no such host", 20.0))]).await;
    let error = end.unwrap_err();
    assert_eq!((at, error.terminal), (seconds(60.0), false));
    assert_eq!(error.to_string(), "it: not within 60 s; last seen: no such host");
}

/// Polls attempts that are counted from 0; the times of the attempts, and the end.
async fn poll(interval: f64, answer: impl Fn(usize) -> Progress<usize>) -> (Vec<Duration>, Result<usize, WaitError>) {
    let (clock, waiting) = waiting();
    let times = RefCell::new(Vec::new());
    let attempt = || {
        times.borrow_mut().push(clock.now());
        std::future::ready(answer(times.borrow().len() - 1))
    };
    let end = drive(&clock, waiting.poll("it", Limit::ServiceAnswer, seconds(interval), attempt)).await;
    (times.into_inner(), end)
}

#[tokio::test]
async fn a_poll_keeps_its_interval_and_ends_with_the_first_answer() {
    let (times, end) = poll(0.5, |n| if n < 3 { not_yet("503") } else { Progress::Ready(n) }).await;
    assert_eq!(times, [0.0, 0.5, 1.0, 1.5].map(seconds));
    assert_eq!(end, Ok(3));
}

#[tokio::test]
async fn a_poll_ends_at_its_limit_with_what_it_saw_last() {
    let (times, end) = poll(7.0, |n| not_yet(&format!("attempt {n}"))).await;
    assert_eq!(times, [0.0, 7.0, 14.0, 21.0, 28.0].map(seconds));
    let error = end.unwrap_err();
    assert_eq!(error.to_string(), "it: not within 30 s; last seen: attempt 4");
    assert_eq!((error.elapsed, error.transitions.len()), (seconds(30.0), 5));
}

#[tokio::test]
async fn a_poll_ends_with_a_terminal_state_after_its_grace() {
    let (times, end) = poll(8.0, |n| if n == 0 { not_yet("") } else { terminal("gone", 10.0) }).await;
    assert_eq!(times.last(), Some(&seconds(24.0)));
    assert!(end.unwrap_err().terminal);
}

#[tokio::test]
async fn an_attempt_that_hangs_is_cut_at_the_limit() {
    let (clock, waiting) = waiting();
    let attempts = Cell::new(0);
    let attempt = || {
        attempts.set(attempts.get() + 1);
        let first = attempts.get() == 1;
        async move { if first { not_yet::<()>("503") } else { std::future::pending().await } }
    };
    let error = drive(&clock, waiting.poll("it", Limit::ServiceAnswer, seconds(1.0), attempt)).await.unwrap_err();
    assert_eq!((clock.now(), attempts.get()), (seconds(30.0), 2));
    let states: Vec<&str> = error.transitions.iter().map(|t| t.status.as_str()).collect();
    assert_eq!((states, error.terminal), (vec!["503", "no answer"], false));
}

#[tokio::test]
async fn the_interval_of_a_poll_begins_when_an_attempt_ends() {
    let (clock, waiting) = waiting();
    let starts = RefCell::new(Vec::new());
    let attempt = || {
        starts.borrow_mut().push(clock.now());
        let answer = if starts.borrow().len() == 3 { Progress::Ready(()) } else { not_yet("slow") };
        let clock = clock.clone();
        async move {
            clock.sleep_until(clock.now() + seconds(4.0)).await;
            answer
        }
    };
    drive(&clock, waiting.poll("it", Limit::ServiceAnswer, seconds(1.0), attempt)).await.unwrap();
    assert_eq!(starts.into_inner(), [0.0, 5.0, 10.0].map(seconds));
}

#[tokio::test]
async fn within_gives_the_value_or_the_limit() {
    let (clock, waiting) = waiting();
    let after = |n: f64| {
        let clock = clock.clone();
        async move {
            clock.sleep_until(clock.now() + seconds(n)).await;
            "value"
        }
    };
    assert_eq!(drive(&clock, waiting.within("it", Limit::EngineAnswer, after(9.0))).await, Ok("value"));
    assert_eq!(drive(&clock, waiting.within("it", Limit::EngineAnswer, after(10.0))).await, Ok("value"), "just in time");
    let error = drive(&clock, waiting.within("it", Limit::EngineAnswer, after(11.0))).await.unwrap_err();
    assert_eq!(error.to_string(), "it: not within 10 s; last seen: no answer");
    assert_eq!(clock.now(), seconds(29.0));
}

#[tokio::test]
async fn many_states_keep_the_first_and_the_last() {
    let (_, end) = poll(0.25, |n| not_yet(&format!("state {n}"))).await;
    let transitions = end.unwrap_err().transitions;
    let states: Vec<&str> = transitions.iter().map(|t| t.status.as_str()).collect();
    assert_eq!(states.len(), 40);
    assert_eq!(states[..20], (0..20).map(|n| format!("state {n}")).collect::<Vec<_>>());
    assert_eq!(states[20..], (100..120).map(|n| format!("state {n}")).collect::<Vec<_>>());
    assert!(transitions.is_sorted_by_key(|t| t.at));
}

#[tokio::test]
async fn a_listener_hears_every_change_once() {
    let (clock, waiting) = waiting();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let listening = waiting.listen(move |s| hears.lock().unwrap().push(s.to_owned()));
    let attempts = Cell::new(0);
    let attempt = || {
        attempts.set(attempts.get() + 1);
        std::future::ready(match attempts.get() {
            1 | 2 | 4 => not_yet("a"),
            3 => terminal("b", 20.0),
            _ => Progress::Ready(()),
        })
    };
    drive(&clock, listening.poll("it", Limit::ServiceAnswer, seconds(1.0), attempt)).await.unwrap();
    assert_eq!(*heard.lock().unwrap(), ["a", "b", "a"]);
}

#[tokio::test]
async fn scaled_limits_are_in_force_and_stay_reasonable() {
    let base = Limit::ServiceAnswer.base();
    for (scale, expected) in [
        (2.0, base * 2),
        (0.5, base / 2),
        (0.0, base / 100),
        (-1.0, base / 100),
        (1e9, base * 100),
        (f64::NAN, base),
        (f64::INFINITY, base),
    ] {
        assert_eq!(Limits::scaled(scale).of(Limit::ServiceAnswer), expected, "{scale}");
    }
    let clock = ManualClock::default();
    let waiting = Waiting::new(Arc::new(clock.clone()), Limits::scaled(3.0));
    let never = || std::future::ready(not_yet::<()>("no"));
    let error = drive(&clock, waiting.poll("it", Limit::ServiceAnswer, seconds(60.0), never)).await.unwrap_err();
    assert_eq!((error.elapsed, waiting.limit(Limit::ServiceAnswer)), (base * 3, base * 3));
}

#[tokio::test]
async fn what_was_seen_on_the_way_is_diagnosed_as_well() {
    let lookup = "failed to do request: dial tcp: lookup registry-1.docker.io on 172.18.0.1:53: no such host";
    let (_, end) = poll(10.0, |n| not_yet(if n == 0 { lookup } else { "Back-off pulling image" })).await;
    let found = end.unwrap_err().diagnoses();
    assert_eq!(found.iter().map(|d| d.rule.as_str()).collect::<Vec<_>>(), ["P5"]);
    assert!(found[0].cause.contains("registry-1.docker.io"), "{}", found[0].cause);
}

#[tokio::test]
async fn a_manual_clock_moves_to_the_next_sleeper_that_still_waits() {
    let clock = ManualClock::default();
    drop(clock.sleep_until(seconds(1.0)));
    let order = RefCell::new(Vec::new());
    let sleep = |n: f64| {
        let sleeping = clock.sleep_until(seconds(n));
        let (order, clock) = (&order, &clock);
        async move {
            sleeping.await;
            order.borrow_mut().push((n, clock.now()));
        }
    };
    let (late, early, past) = (sleep(5.0), sleep(3.0), sleep(0.0));
    drive(&clock, async { tokio::join!(late, early, past) }).await;
    assert_eq!(order.into_inner(), [(0.0, seconds(0.0)), (3.0, seconds(3.0)), (5.0, seconds(5.0))]);
}
