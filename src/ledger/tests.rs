use std::path::Path;

use super::*;
use crate::outcomes::builtin;
use crate::spec::{Request, load};

const HEAD: &str = "apiVersion: meshproof.dev/v1alpha1\nkind: ExpectedFailures\nentries:\n";

fn parse(entries: &str) -> Result<Ledger, LedgerError> {
    Ledger::parse(&format!("{HEAD}{entries}"), Path::new("l.yaml"), &builtin())
}

fn entry(more: &str) -> String {
    format!("  - {{outcome: cluster.nodes.ready, reason: slow disks, owner: team-a, expires: 2026-12-31{more}}}\n")
}

fn spec() -> Spec {
    load(&Request::default()).unwrap()
}

fn says(e: &LedgerError) -> String {
    crate::error::chain(e).join(": ")
}

#[test]
fn a_whole_entry_is_read() {
    let ledger = parse(
        "  - outcome: cluster.nodes.ready\n    reason: slow disks\n    owner: team-a\n    expires: 2026-12-31\n    backend: kind\n    versions:\n      istio: '>=1.27, <1.28'\n      gatewayApi: ^1\n",
    )
    .unwrap();
    let entry = &ledger.entries[0];
    assert_eq!((entry.expected.reason.as_str(), entry.expected.owner.as_str()), ("slow disks", "team-a"));
    assert_eq!((entry.expected.expires, entry.backend.as_deref()), (jiff::civil::date(2026, 12, 31), Some("kind")));
    assert_eq!(entry.versions.iter().map(|(c, _)| *c).collect::<Vec<_>>(), [Component::Istio, Component::GatewayApi]);
    assert_eq!(parse("  []\n").unwrap(), Ledger::default());
}

#[test]
fn every_mistake_names_its_place() {
    for (entries, wanted) in [
        (
            "  - {outcome: cluster.node.ready, reason: r, owner: o, expires: 2026-12-31}\n",
            "l.yaml:4:15: no outcome is called `cluster.node.ready`",
        ),
        ("  - {outcome: cluster.nodes.ready, reason: ' ', owner: o, expires: 2026-12-31}\n", "l.yaml:4:44: `reason` must not be empty"),
        ("  - {outcome: cluster.nodes.ready, reason: r, owner: '', expires: 2026-12-31}\n", "l.yaml:4:54: `owner` must not be empty"),
        (
            "  - outcome: cluster.nodes.ready\n    reason: r\n    owner: o\n    expires: 2026-02-30\n",
            "l.yaml:7:14: `expires` must be a date",
        ),
        ("  - outcome: cluster.nodes.ready\n    reason: r\n    owner: o\n    expires: 20261231\n", "l.yaml:7:14: `expires` must be a date"),
        (&entry(", backend: knd"), "there is no backend `knd`; valid: kind, embedded, existing"),
        (&entry(", versions: {istio: newest}"), "`newest` is no requirement on a version"),
        (&entry(", versions: {itsio: '1'}"), "l.yaml:4:"),
        (&entry(", until: 2027-01-01"), "l.yaml:4:"),
        ("  - outcome: cluster.nodes.ready\n    owner: o\n    expires: 2026-12-31\n", "reason"),
        ("  - outcome: cluster.nodes.ready\n    reason: r\n    expires: 2026-12-31\n", "owner"),
        ("  - outcome: cluster.nodes.ready\n    reason: r\n    owner: o\n", "expires"),
        ("  - [", "l.yaml:"),
    ] {
        let said = says(&parse(entries).unwrap_err());
        assert!(said.contains(wanted) && said.starts_with("l.yaml:"), "{entries}{said}");
    }
    let other = |text: &str| says(&Ledger::parse(text, Path::new("l.yaml"), &[]).unwrap_err());
    assert_eq!(
        other("apiVersion: v2\nkind: ExpectedFailures\nentries: []\n"),
        "l.yaml:1:13: `apiVersion` must be meshproof.dev/v1alpha1, but is `v2`"
    );
    assert!(other("apiVersion: meshproof.dev/v1alpha1\nkind: Environment\nentries: []\n").starts_with("l.yaml:2:7: `kind` must be"));
    assert!(other("").starts_with("l.yaml:1:1: "), "an empty file is no ledger");
}

#[test]
fn a_misspelt_outcome_is_answered_with_the_nearest() {
    let e = parse("  - {outcome: cluster.node.ready, reason: r, owner: o, expires: 2026-12-31}\n").unwrap_err();
    assert!(e.hint().unwrap().contains("`cluster.nodes.ready`"), "{:?}", e.hint());
}

#[test]
fn an_entry_applies_where_every_condition_holds() {
    let spec = spec();
    assert_eq!((spec.istio.version.as_str(), spec.gateway_api.version.as_str()), ("1.27.1", "v1.3.0"), "what the cases below are about");
    for (more, applies) in [
        ("", true),
        (", backend: kind", true),
        (", backend: embedded", false),
        (", versions: {istio: '>=1.27, <1.28'}", true),
        (", versions: {istio: '>=1.28'}", false),
        (", versions: {gatewayApi: ~1.3}", true),
        (", versions: {istio: 1.27.1, gatewayApi: =1.2.0}", false),
        (", versions: {kubernetes: ^1.33, dashboard: '2'}", true),
        (", versions: {kind: '<0.30'}", false),
    ] {
        let ledger = parse(&entry(more)).unwrap();
        assert_eq!(ledger.applying(&spec, "kind").len(), usize::from(applies), "{more}");
    }
}

#[test]
fn of_several_entries_the_one_that_expires_last_counts() {
    let at = |day: &str| format!("  - {{outcome: cluster.nodes.ready, reason: until {day}, owner: o, expires: {day}}}\n");
    let ledger = parse(&[at("2026-05-01"), at("2026-12-31"), at("2026-07-01")].concat()).unwrap();
    let applying = ledger.applying(&spec(), "kind");
    assert_eq!(applying.iter().map(|e| e.reason.as_str()).collect::<Vec<_>>(), ["until 2026-12-31"]);
}

#[test]
fn the_file_here_is_taken_only_where_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(find(None, dir.path()), None);
    std::fs::write(dir.path().join(FILE), "").unwrap();
    assert_eq!(find(None, dir.path()), Some(PathBuf::from(FILE)));
    assert_eq!(find(Some(Path::new("other.yaml")), dir.path()), Some(PathBuf::from("other.yaml")));
    let e = Ledger::read(Path::new("/nowhere/l.yaml"), &[]).unwrap_err();
    assert!(says(&e).starts_with("cannot read the expected failures /nowhere/l.yaml: "), "{e}");
}
