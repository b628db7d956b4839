use std::collections::BTreeSet;

use super::*;
use crate::journal::OutcomeKind;
use crate::outcomes;

#[test]
fn every_fault_is_narrow_and_names_outcomes_that_there_are() {
    let all = outcomes::builtin();
    for fault in builtin() {
        assert!((1..=3).contains(&fault.breaks.len()), "{} names {} outcomes that it breaks", fault.id, fault.breaks.len());
        for id in fault.breaks {
            assert!(all.iter().any(|o| o.id == *id), "{} breaks {id}, which does not exist", fault.id);
        }
        for named in fault.may_break {
            let excused = all.iter().filter(|o| Fault::new("a.b", Nothing).may_break(fault.may_break).excuses(o.id)).count();
            assert!(excused > 0 && !fault.breaks.contains(named), "{}: {named}", fault.id);
        }
        let chapter = fault.id.split('.').next().unwrap();
        assert!(fault.breaks.iter().any(|id| id.starts_with(chapter)), "{} breaks nothing of its chapter", fault.id);
    }
    let ids: BTreeSet<&str> = builtin().iter().map(|f| f.id).collect();
    assert_eq!(ids.len(), builtin().len());
}

#[test]
fn a_subject_excuses_its_outcomes_and_no_others() {
    let fault = Fault::new("a.b", Nothing).may_break(&["dashboard.login", "istio.istiod.ready"]);
    for (id, excused) in
        [("dashboard.login.accepted", true), ("istio.istiod.ready", true), ("dashboard.login-page.shown", false), ("istio.istiod", false)]
    {
        assert_eq!(fault.excuses(id), excused, "{id}");
    }
}

struct Nothing;

impl Inject for Nothing {
    fn inject<'a>(&'a self, _: &'a Environment, _: &'a Value) -> Injected<'a> {
        std::future::ready(Ok(())).boxed()
    }

    fn revert<'a>(&'a self, _: &'a Environment, _: &'a Value) -> Injected<'a> {
        std::future::ready(Ok(())).boxed()
    }
}

/// What nothing in an environment can break, since nothing of it is looked at, or since what would have to change is somebody else's program.
const UNBREAKABLE: [(&str, &str); 8] = [
    ("cluster.kind.second-create-fails", "kind itself would have to forget a cluster"),
    ("cluster.proxy.table-of-wrong-type", "the guide's text alone"),
    ("cluster.proxy.other-network", "the addresses of nodes cannot be changed"),
    ("cluster.mirror.one-registry", "the guide's text alone"),
    ("dashboard.project.archived", "the guide's text alone"),
    ("dashboard.login.page-closed", "the page is a part of the Dashboard's image"),
    ("istioctl.download.newest", "the guide's text alone"),
    ("cluster.images.ctr-says-otherwise", "ctr itself would have to print something else"),
];

#[test]
fn every_outcome_has_a_fault_or_a_reason_why_not() {
    let faults = builtin();
    for outcome in outcomes::builtin() {
        let broken = faults.iter().any(|f| f.breaks.contains(&outcome.id));
        let reason = UNBREAKABLE.iter().any(|(id, _)| *id == outcome.id);
        assert!(
            broken != reason,
            "{} has {}",
            outcome.id,
            if broken { "a fault, and a reason why not" } else { "neither a fault nor a reason" }
        );
        // What gates must have been seen to fail.
        assert!(!reason || outcome.kind == OutcomeKind::Defect, "{} gates, and was never seen to fail", outcome.id);
    }
}

#[test]
fn every_defect_of_the_guide_is_shown_by_an_outcome() {
    let all = outcomes::builtin();
    for (defect, sections) in crate::guide::defects() {
        let shown: Vec<_> = all.iter().filter(|o| o.shows == Some(defect.as_str())).collect();
        assert_eq!(shown.len(), 1, "{defect} is shown by {} outcomes", shown.len());
        let (outcome, anchor) = (shown[0], shown[0].anchor.unwrap());
        assert_eq!(outcome.kind, OutcomeKind::Defect, "{}", outcome.id);
        assert!(sections.contains(&anchor.section), "{}: {defect} is in {sections:?}", outcome.id);
    }
}

#[test]
fn a_fault_names_a_rule_that_there_is_unless_only_a_defect_fails() {
    let (all, rules) = (outcomes::builtin(), crate::diagnose::rules().map(|r| r.id).collect::<BTreeSet<_>>());
    for fault in builtin() {
        let gates = fault.breaks.iter().any(|id| all.iter().any(|o| o.id == *id && o.kind != OutcomeKind::Defect));
        match fault.diagnosed {
            Some(rule) => assert!(rules.contains(rule), "{}: there is no rule {rule}", fault.id),
            None => assert!(!gates, "{} names no rule", fault.id),
        }
    }
}

#[test]
fn every_fault_says_what_it_breaks_in_every_language() {
    for lang in crate::text::Lang::ALL {
        let texts = crate::text::Texts::new(lang);
        for fault in builtin() {
            let key = format!("fault-{}", fault.id.replace('.', "-"));
            assert_ne!(texts.get(&key), key, "{lang:?}");
        }
        for outcome in outcomes::builtin() {
            let key = format!("check-{}", outcome.id.replace('.', "-"));
            assert_ne!(texts.get(&key), key, "{lang:?}");
            assert!(texts.attribute(&key, "example", &[]).is_some(), "{lang:?}: {key} has no example");
        }
    }
}
