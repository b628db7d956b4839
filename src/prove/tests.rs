use std::sync::Mutex;

use futures::FutureExt;
use serde_json::Value;

use super::*;
use crate::cluster::Capability;
use crate::faults::{Inject, Injected};
use crate::outcomes::{Check, Checked, Look};
use crate::testing::environment::World;

/// What is broken now.
type Broken = Arc<Mutex<BTreeSet<&'static str>>>;

/// Breaks and mends names in a set, or fails to.
struct Names {
    broken: Broken,
    breaks: &'static [&'static str],
    mends: bool,
    injects: bool,
}

impl Inject for Names {
    fn inject<'a>(&'a self, _: &'a Environment, _: &'a Value) -> Injected<'a> {
        self.broken.lock().unwrap().extend(self.breaks);
        let result = if self.injects { Ok(()) } else { Err(Stop::Failed("it is too hard".to_owned())) };
        std::future::ready(result).boxed()
    }

    fn revert<'a>(&'a self, _: &'a Environment, _: &'a Value) -> Injected<'a> {
        if self.mends {
            self.broken.lock().unwrap().clear();
        }
        std::future::ready(Ok(())).boxed()
    }
}

struct Holds {
    id: &'static str,
    broken: Broken,
}

impl Check for Holds {
    fn check<'a>(&'a self, _: &'a Environment, look: &'a mut Look) -> Checked<'a> {
        let broken = self.broken.lock().unwrap().contains(self.id);
        look.require(!broken, || format!("{} is broken", self.id));
        std::future::ready(Ok(())).boxed()
    }
}

struct Stage {
    broken: Broken,
    context: Arc<Context>,
    _world: World,
}

impl Stage {
    async fn new() -> Self {
        let world = World::healthy();
        let context = Arc::clone(&world.open().await.context);
        Self { broken: Broken::default(), context, _world: world }
    }

    fn outcome(&self, id: &'static str) -> Outcome {
        Outcome::hardening(id, Holds { id, broken: Arc::clone(&self.broken) })
    }

    fn fault(&self, breaks: &'static [&'static str]) -> Names {
        Names { broken: Arc::clone(&self.broken), breaks, mends: true, injects: true }
    }

    async fn prove(&self, faults: &[Fault]) -> Result<Vec<Proven>, ProveError> {
        self.prove_until(faults, std::future::pending()).await.map(|proved| proved.proofs)
    }

    async fn prove_until(&self, faults: &[Fault], stop: impl Future<Output = ()> + Send) -> Result<Proved, ProveError> {
        let outcomes = ["a.one.holds", "a.two.holds", "b.three.holds"].map(|id| self.outcome(id));
        prove(&self.context, &outcomes, faults, &|_| {}, stop).await
    }

    /// What came of one fault that names the first outcome.
    async fn proof(&self, names: Names) -> Proof {
        let fault = Fault::new("a.fault", names).breaks(&["a.one.holds"]).may_break(&["b.three"]);
        let mut all = self.prove(&[fault]).await.unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0).proof
    }
}

fn reasons(ids: &[&str]) -> BTreeMap<String, String> {
    ids.iter().map(|id| ((*id).to_owned(), format!("{id} is broken"))).collect()
}

#[tokio::test]
async fn a_fault_is_proved_when_exactly_what_it_names_fails() {
    let stage = Stage::new().await;
    assert_eq!(stage.proof(stage.fault(&["a.one.holds"])).await, Proof::Proved);
    // What may fail may, and need not.
    assert_eq!(stage.proof(stage.fault(&["a.one.holds", "b.three.holds"])).await, Proof::Proved);
}

#[tokio::test]
async fn what_does_not_fail_or_fails_besides_is_told() {
    let stage = Stage::new().await;
    let held = Proof::NotProved { held: vec!["a.one.holds".to_owned()], strayed: BTreeMap::new(), lasting: BTreeMap::new(), unnamed: None };
    assert_eq!(stage.proof(stage.fault(&[])).await, held);
    let strayed = Proof::NotProved { held: Vec::new(), strayed: reasons(&["a.two.holds"]), lasting: BTreeMap::new(), unnamed: None };
    assert_eq!(stage.proof(stage.fault(&["a.one.holds", "a.two.holds"])).await, strayed);
}

#[tokio::test]
async fn nothing_is_tried_on_what_is_still_broken() {
    let stage = Stage::new().await;
    let lasting = Fault::new("a.lasting", Names { mends: false, ..stage.fault(&["a.one.holds"]) }).breaks(&["a.one.holds"]);
    let next = Fault::new("a.next", stage.fault(&["a.two.holds"])).breaks(&["a.two.holds"]);
    let all = stage.prove(&[lasting.clone(), next]).await.unwrap();
    let proof = Proof::NotProved { held: Vec::new(), strayed: BTreeMap::new(), lasting: reasons(&["a.one.holds"]), unnamed: None };
    assert_eq!(all.iter().map(|p| &p.proof).collect::<Vec<_>>(), [&proof]);
    // It still is, and so nothing more can be proved at all.
    let error = stage.prove(&[lasting]).await.unwrap_err();
    assert!(error.to_string().contains("a.one.holds (a.one.holds is broken)"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_injected_is_an_error_and_mended() {
    let stage = Stage::new().await;
    let proof = stage.proof(Names { injects: false, ..stage.fault(&["a.one.holds"]) }).await;
    assert_eq!(proof, Proof::Error { reason: "it is too hard".to_owned() });
    assert!(stage.broken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_cannot_be_judged_or_done_here_is_unsupported_and_touches_nothing() {
    let stage = Stage::new().await;
    let unknown = Fault::new("a.unknown", stage.fault(&["a.one.holds"])).breaks(&["c.other.holds"]);
    let without = Fault::new("a.without", stage.fault(&["a.one.holds"])).breaks(&["a.one.holds"]).with(&[Capability::OWN_CLUSTER]);
    for proven in stage.prove(&[unknown, without]).await.unwrap() {
        assert!(matches!(proven.proof, Proof::Unsupported { .. }), "{proven:?}");
    }
    let injected =
        stage.context.journal.records().iter().filter(|r| matches!(r.event, crate::journal::Event::FaultInjected { .. })).count();
    assert_eq!(injected, 0);
}

#[tokio::test]
async fn only_what_can_be_judged_here_must_fail() {
    let stage = Stage::new().await;
    let fault = |names| Fault::new("a.fault", names).breaks(&["c.other.holds", "a.one.holds"]);
    let all = stage.prove(&[fault(stage.fault(&["a.one.holds"])), fault(stage.fault(&[]))]).await.unwrap();
    assert_eq!(all[0].proof, Proof::Proved);
    assert_eq!(all[0].unjudged, ["c.other.holds"]);
    let Proof::NotProved { held, .. } = &all[1].proof else { panic!("{:?}", all[1]) };
    assert_eq!(held, &["a.one.holds"]);
}

#[tokio::test]
async fn whoever_interrupts_leaves_nothing_broken() {
    let stage = Stage::new().await;
    let fault = Fault::new("a.fault", stage.fault(&["a.one.holds"])).breaks(&["a.one.holds"]);
    let all = stage.prove_until(&[fault.clone(), fault], std::future::ready(())).await.unwrap().proofs;
    assert_eq!(all.iter().map(|p| &p.proof).collect::<Vec<_>>(), [&Proof::Interrupted]);
    assert!(stage.broken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_cause_that_nobody_names_is_not_proved() {
    let stage = Stage::new().await;
    let fault = |rule| Fault::new("a.fault", stage.fault(&["a.one.holds"])).breaks(&["a.one.holds"]).diagnosed(rule);
    let all = stage.prove(&[fault("P1"), fault("node-missing")]).await.unwrap();
    for (proven, rule) in all.iter().zip(["P1", "node-missing"]) {
        let Proof::NotProved { unnamed, held, strayed, .. } = &proven.proof else { panic!("{proven:?}") };
        assert_eq!((unnamed.as_deref(), held.len(), strayed.len()), (Some(rule), 0, 0));
    }
}

#[tokio::test]
async fn what_was_left_behind_is_mended_by_the_next_one_who_knows_it() {
    let stage = Stage::new().await;
    let environment = Environment::open(Arc::clone(&stage.context)).await.unwrap();
    let fault = Fault::new("a.fault", stage.fault(&["a.one.holds"])).breaks(&["a.one.holds"]);
    // As if the process were killed: the future that mends is never asked again.
    {
        let mut during = Box::pin(fault.during(&environment, async || std::future::pending::<()>().await));
        while !stage.broken.lock().unwrap().contains("a.one.holds") {
            assert!(futures::poll!(&mut during).is_pending());
            tokio::task::yield_now().await;
        }
    }
    let session = &stage.context.session;
    assert_eq!(crate::faults::left_behind(session).as_deref(), Some("a.fault"));
    let unknown = crate::faults::mend_left_behind(&environment, &[]).await.unwrap_err();
    assert!(unknown.to_string().contains("a.fault was left behind"), "{unknown}");
    assert_eq!(crate::faults::mend_left_behind(&environment, &[fault]).await.unwrap().as_deref(), Some("a.fault"));
    assert!(stage.broken.lock().unwrap().is_empty());
    assert_eq!(crate::faults::left_behind(session), None);
    assert_eq!(crate::faults::mend_left_behind(&environment, &[]).await.unwrap(), None);
}

#[tokio::test]
async fn what_breaks_later_is_found_in_the_end() {
    /// Breaks one thing while it is mended that nobody looks at then.
    struct Careless(Names);

    impl Inject for Careless {
        fn inject<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
            self.0.inject(environment, kept)
        }

        fn revert<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
            async move {
                self.0.revert(environment, kept).await?;
                self.0.broken.lock().unwrap().insert("b.three.holds");
                Ok(())
            }
            .boxed()
        }
    }

    let stage = Stage::new().await;
    let fault = Fault::new("a.careless", Careless(stage.fault(&["a.one.holds"]))).breaks(&["a.one.holds"]);
    let proved = stage.prove_until(&[fault], std::future::pending()).await.unwrap();
    assert_eq!((&proved.proofs[0].proof, proved.after), (&Proof::Proved, reasons(&["b.three.holds"])));
}
