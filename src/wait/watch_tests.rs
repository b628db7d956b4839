//! The waiter against an API server that behaves as badly as real ones do.

use std::cell::Cell;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use super::*;
use crate::testing::api::{Reply, ScriptedApi};
use crate::testing::drive;
use crate::wait::{Limits, ManualClock};

const NODES: &str = "/api/v1/nodes";
const LIST: &str = "GET /api/v1/nodes";
const WATCH: &str = "WATCH /api/v1/nodes";

/// A time in seconds and what happens then.
type Step<'a> = (f64, &'a dyn Fn(&ScriptedApi));

fn seconds(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

fn node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
}

/// An API with node `a`, and a wait for node `b`.
struct Fixture {
    clock: ManualClock,
    api: ScriptedApi,
    waiting: Waiting,
}

impl Fixture {
    fn new() -> Self {
        let clock = ManualClock::default();
        let api = ScriptedApi::new(&clock);
        api.put(node("a"));
        Self { waiting: Waiting::new(Arc::new(clock.clone()), Limits::default()), clock, api }
    }

    /// Waits for node `b` while the steps happen, each at its time; when it ended, and how.
    async fn wait(&self, steps: &[Step<'_>]) -> (Duration, Result<(), WaitError>) {
        let mut waiter = self.waiting.waiter();
        let nodes: Watched<Node> = waiter.watch(Api::all(self.api.client()), &ListParams::default());
        let there = || {
            let names: Vec<String> = nodes.items().iter().map(|n| n.name_any()).collect();
            if names.contains(&"b".to_owned()) { Progress::Ready(()) } else { Progress::NotYet(format!("only {names:?}")) }
        };
        let wait = async {
            let end = waiter.until("node b is there", Limit::Controller, there).await;
            (self.clock.now(), end)
        };
        let happen = async {
            for (at, step) in steps {
                self.clock.sleep_until(seconds(*at)).await;
                step(&self.api);
            }
        };
        drive(&self.clock, async { tokio::join!(wait, happen).0 }).await
    }

    /// When a line was asked for.
    fn times(&self, line: &str) -> Vec<Duration> {
        self.api.asked(line).iter().map(|a| a.at).collect()
    }

    async fn ready_at(&self, at: f64, steps: &[Step<'_>]) {
        let (ended, end) = self.wait(steps).await;
        assert_eq!(end, Ok(()));
        assert_eq!(ended, seconds(at));
    }
}

fn put_b(api: &ScriptedApi) {
    api.put(node("b"));
}

#[tokio::test]
async fn what_is_there_already_takes_one_list_and_no_time() {
    let f = Fixture::new();
    f.api.put(node("b"));
    f.ready_at(0.0, &[]).await;
    assert_eq!(f.api.count(LIST), 1);
}

#[tokio::test]
async fn an_event_ends_the_wait_at_once() {
    let f = Fixture::new();
    f.ready_at(5.0, &[(5.0, &put_b)]).await;
    assert_eq!((f.api.count(LIST), f.api.count(WATCH)), (1, 1));
    let watch = &f.api.asked(WATCH)[0];
    assert_eq!(watch.query["resourceVersion"], "1", "it goes on from the list");
}

#[tokio::test]
async fn what_changes_between_list_and_watch_is_not_lost() {
    let f = Fixture::new();
    f.api.next(WATCH, [Reply::Late(seconds(2.0), Box::new(Reply::Objects))]);
    f.ready_at(2.0, &[(1.0, &put_b)]).await;
}

#[tokio::test]
async fn a_silent_watch_is_not_believed_for_longer_than_the_relist() {
    let f = Fixture::new();
    f.api.always(WATCH, Reply::Silent);
    f.ready_at(15.0, &[(0.5, &put_b)]).await;
    assert_eq!(f.times(LIST), [seconds(0.0), RELIST_EVERY]);
}

#[tokio::test]
async fn a_watch_request_that_hangs_is_given_up_at_the_relist() {
    let f = Fixture::new();
    f.api.next(WATCH, [Reply::Hang]);
    f.ready_at(15.0, &[(0.5, &put_b)]).await;
}

#[tokio::test]
async fn a_watch_that_ends_is_followed_by_a_list() {
    let f = Fixture::new();
    let end = |api: &ScriptedApi| {
        api.end_watches(NODES);
        put_b(api);
    };
    f.ready_at(3.25, &[(3.0, &end)]).await;
}

#[tokio::test]
async fn a_watch_that_breaks_is_followed_by_a_list() {
    let f = Fixture::new();
    let cut = |api: &ScriptedApi| {
        api.break_watches(NODES);
        put_b(api);
    };
    f.ready_at(3.25, &[(3.0, &cut)]).await;
}

#[tokio::test]
async fn a_version_that_is_gone_is_listed_anew() {
    let f = Fixture::new();
    f.api.next(WATCH, [Reply::gone(), Reply::Objects]);
    f.ready_at(1.0, &[(0.1, &|_| ()), (1.0, &put_b)]).await;
    assert_eq!(f.times(LIST), [seconds(0.0), seconds(0.25)]);
    assert_eq!(f.api.asked(WATCH)[1].query["resourceVersion"], "1");
}

#[tokio::test]
async fn a_watch_that_is_refused_leaves_lists_with_growing_pauses() {
    let f = Fixture::new();
    f.api.always(WATCH, Reply::status(500, "etcdserver: leader changed"));
    f.ready_at(9.75, &[(7.0, &put_b)]).await;
    assert_eq!(f.times(LIST), [0.0, 0.25, 0.75, 1.75, 3.75, 6.75, 9.75].map(seconds));
}

#[tokio::test]
async fn pauses_are_short_again_after_a_watch_that_lasted() {
    let f = Fixture::new();
    f.api.next(WATCH, [Reply::gone(), Reply::gone(), Reply::Objects, Reply::gone()]);
    f.ready_at(16.5, &[(16.5, &put_b)]).await;
    assert_eq!(f.times(LIST), [0.0, 0.25, 0.75, 15.75, 16.0].map(seconds));
}

#[tokio::test]
async fn a_list_that_fails_is_the_state_until_it_heals() {
    let f = Fixture::new();
    f.api.next(LIST, [Reply::status(503, "apiserver is starting"), Reply::Refused]);
    f.api.put(node("b"));
    f.ready_at(0.75, &[]).await;

    let f = Fixture::new();
    f.api.always(LIST, Reply::status(403, "nodes is forbidden"));
    let (ended, end) = f.wait(&[]).await;
    let error = end.unwrap_err();
    assert_eq!((ended, error.last.as_str()), (seconds(60.0), "cannot list nodes: nodes is forbidden (HTTP 403)"));
    assert_eq!(error.transitions.iter().map(|t| t.status.as_str()).collect::<Vec<_>>(), ["listing nodes", &error.last]);
}

#[tokio::test]
async fn a_list_that_hangs_is_given_up_and_made_again() {
    let f = Fixture::new();
    f.api.put(node("b"));
    f.api.next(LIST, [Reply::Hang]);
    f.ready_at(10.25, &[]).await;
}

#[tokio::test]
async fn a_state_that_cannot_be_listed_any_more_is_not_judged() {
    let f = Fixture::new();
    f.api.always(WATCH, Reply::Silent);
    let mut waiter = f.waiting.waiter();
    let nodes: Watched<Node> = waiter.watch(Api::all(f.api.client()), &ListParams::default());
    f.api.next(LIST, [Reply::Objects, Reply::Refused, Reply::Refused]);
    let asked = Cell::new(Vec::new());
    let condition = || {
        let mut times = asked.take();
        times.push(f.clock.now());
        asked.set(times);
        assert_eq!(nodes.items().len(), 1);
        Progress::<()>::NotYet("never".to_owned())
    };
    let error = drive(&f.clock, waiter.until("x", Limit::GatewayClasses, condition)).await.unwrap_err();
    assert!(error.transitions[2].status.starts_with("cannot list nodes"), "{error:?}");
    let between = asked.take().into_iter().filter(|t| *t >= seconds(15.0) && *t < seconds(15.75)).count();
    assert_eq!(between, 0, "the objects of before the failure are not the state");
}

#[tokio::test]
async fn changes_and_deletions_reach_the_condition() {
    let f = Fixture::new();
    let mut waiter = f.waiting.waiter();
    let nodes: Watched<Node> = waiter.watch(Api::all(f.api.client()), &ListParams::default());
    let seen = || {
        let items = nodes.items();
        let labels: Vec<String> = items.iter().flat_map(|n| n.labels().keys().cloned()).collect();
        if items.is_empty() { Progress::Ready(()) } else { Progress::NotYet(format!("{} {labels:?}", items.len())) }
    };
    let happen = async {
        f.clock.sleep_until(seconds(1.0)).await;
        f.api.edit("/api/v1/nodes/a", |n| n["metadata"]["labels"] = json!({"new": ""}));
        f.clock.sleep_until(seconds(2.0)).await;
        f.api.put(node("c"));
        f.clock.sleep_until(seconds(3.0)).await;
        f.api.remove("/api/v1/nodes/a");
        f.clock.sleep_until(seconds(4.0)).await;
        f.api.remove("/api/v1/nodes/c");
    };
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    waiter.waiting = f.waiting.listen(move |s| listener.lock().unwrap().push(s.to_owned()));
    let wait = waiter.until("no node is left", Limit::Controller, seen);
    drive(&f.clock, async { tokio::join!(wait, happen).0 }).await.unwrap();
    assert_eq!(f.clock.now(), seconds(4.0));
    assert_eq!(*told.lock().unwrap(), ["listing nodes", "1 []", "1 [\"new\"]", "2 [\"new\"]", "1 []"]);
    assert_eq!(f.api.count(LIST), 1, "the watch told it all");
}

#[tokio::test]
async fn the_condition_is_not_asked_before_every_kind_was_listed() {
    let f = Fixture::new();
    f.api.next("GET /api/v1/pods", [Reply::Late(seconds(5.0), Box::new(Reply::Objects))]);
    let mut waiter = f.waiting.waiter();
    let nodes: Watched<Node> = waiter.watch(Api::all(f.api.client()), &ListParams::default());
    let pods: Watched<Pod> = waiter.watch(Api::all(f.api.client()), &ListParams::default());
    let first = Cell::new(None);
    let condition = || {
        first.set(first.get().or(Some(f.clock.now())));
        // No pods is what a list of none says as well.
        if nodes.items().len() == 1 && pods.items().is_empty() { Progress::Ready(()) } else { Progress::NotYet(String::new()) }
    };
    drive(&f.clock, waiter.until("x", Limit::Controller, condition)).await.unwrap();
    assert_eq!(first.get(), Some(seconds(5.0)));
}

#[tokio::test]
async fn a_selector_holds_for_the_list_and_for_the_watch() {
    let f = Fixture::new();
    let mut waiter = f.waiting.waiter();
    let params = ListParams::default().labels("role=x").fields("metadata.name=b");
    let nodes: Watched<Node> = waiter.watch(Api::all(f.api.client()), &params);
    let happen = async {
        f.clock.sleep_until(seconds(1.0)).await;
        f.api.put(node("b"));
        f.clock.sleep_until(seconds(2.0)).await;
        f.api.edit("/api/v1/nodes/b", |n| n["metadata"]["labels"] = json!({"role": "x"}));
    };
    let any = || if nodes.items().is_empty() { Progress::NotYet("none".to_owned()) } else { Progress::Ready(()) };
    let wait = waiter.until("x", Limit::Controller, any);
    drive(&f.clock, async { tokio::join!(wait, happen).0 }).await.unwrap();
    assert_eq!(f.clock.now(), seconds(2.0), "before it had the label it was not seen");
    for line in [LIST, WATCH] {
        let query = &f.api.asked(line)[0].query;
        assert_eq!((query["labelSelector"].as_str(), query["fieldSelector"].as_str()), ("role=x", "metadata.name=b"), "{line}");
    }
}

#[tokio::test]
async fn the_limit_ends_the_wait_with_what_was_seen() {
    let f = Fixture::new();
    let (ended, end) = f.wait(&[(20.0, &|api| api.put(node("c")))]).await;
    let error = end.unwrap_err();
    assert_eq!((ended, error.elapsed, error.terminal), (seconds(60.0), seconds(60.0), false));
    assert_eq!(error.to_string(), "node b is there: not within 60 s; last seen: only [\"a\", \"c\"]");
    let states: Vec<(Duration, &str)> = error.transitions.iter().map(|t| (t.at, t.status.as_str())).collect();
    assert_eq!(
        states,
        [(seconds(0.0), "listing nodes"), (seconds(0.0), "only [\"a\"]"), (seconds(20.0), "only [\"a\", \"c\"]")],
        "each state once, with its time"
    );
}

#[tokio::test]
async fn the_watches_end_with_the_wait() {
    let f = Fixture::new();
    f.api.put(node("b"));
    f.ready_at(0.0, &[]).await;
    let before = f.api.count(LIST);
    drive(&f.clock, f.clock.sleep_until(seconds(100.0))).await;
    assert_eq!(f.api.count(LIST), before);
}

/// Requires that node `a` stays for half a minute while the steps happen.
async fn stays(fixture: &Fixture, waiting: &Waiting, steps: &[Step<'_>]) -> (Duration, Result<(), WaitError>) {
    let mut waiter = waiting.waiter();
    let nodes: Watched<Node> = waiter.watch(Api::all(fixture.api.client()), &ListParams::default());
    let there = || {
        let there = nodes.items().iter().any(|n| n.name_any() == "a");
        if there { Progress::Ready(()) } else { Progress::NotYet("node a is gone".to_owned()) }
    };
    let wait = async {
        let end = waiter.stays("node a stays", seconds(30.0), there).await;
        (fixture.clock.now(), end)
    };
    let happen = async {
        for (at, step) in steps {
            fixture.clock.sleep_until(seconds(*at)).await;
            step(&fixture.api);
        }
    };
    drive(&fixture.clock, async { futures::future::join(wait, happen).await.0 }).await
}

#[tokio::test]
async fn what_stays_true_takes_the_whole_window_and_what_breaks_ends_it_at_once() {
    let fixture = Fixture::new();
    let (at, end) = stays(&fixture, &fixture.waiting, &[]).await;
    assert_eq!((at, end), (seconds(30.0), Ok(())));

    let fixture = Fixture::new();
    let remove = |api: &ScriptedApi| api.remove(&format!("{NODES}/a"));
    let (at, end) = stays(&fixture, &fixture.waiting, &[(12.0, &remove)]).await;
    let error = end.unwrap_err();
    assert_eq!((at, error.lasted), (seconds(12.0), Some(seconds(10.0))), "told by the watch, counted in steps");
    assert_eq!(error.to_string(), "node a stays: true for 10 s and then no more: node a is gone");
}

/// Passes time by doing something, and takes none.
struct Skip<F: Fn(usize) + Send + Sync>(std::sync::atomic::AtomicUsize, F);

impl<F: Fn(usize) + Send + Sync> crate::wait::Passage for Skip<F> {
    fn pass(&self, _time: Duration) -> futures::future::BoxFuture<'_, Result<(), String>> {
        (self.1)(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1);
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn a_window_whose_time_is_skipped_costs_none_and_still_sees_what_happened_in_it() {
    let fixture = Fixture::new();
    let waiting = fixture.waiting.passing(Arc::new(Skip(Default::default(), |_| {})));
    let (at, end) = stays(&fixture, &waiting, &[]).await;
    assert_eq!((at, end), (Duration::ZERO, Ok(())));

    // The watch says nothing of it: only a fresh list can tell.
    let fixture = Fixture::new();
    let api = fixture.api.clone();
    fixture.api.always(WATCH, Reply::Silent);
    let waiting = fixture.waiting.passing(Arc::new(Skip(Default::default(), move |step| {
        if step == 4 {
            api.remove(&format!("{NODES}/a"));
        }
    })));
    let (at, end) = stays(&fixture, &waiting, &[]).await;
    assert_eq!((at, end.unwrap_err().lasted), (Duration::ZERO, Some(seconds(20.0))));
}
