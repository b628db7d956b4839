//! Expressions: what they mean, and what is said of those that mean nothing.

use crate::cluster::Capability;
use crate::outcomes::{Checked, Environment, Look, Outcome, Pattern, Selection, builtin};

fn passes<'a>(_: &'a Environment, _: &'a mut Look) -> Checked<'a> {
    Box::pin(async { Ok(()) })
}

/// Few enough to be seen at a glance, with everything that a predicate can ask for. Not those of the guide: other crates have their own.
fn outcomes() -> Vec<Outcome> {
    let mut broken = Outcome::documented("istio.text.broken", "2.10", "s", passes);
    broken.kind = crate::journal::OutcomeKind::Defect;
    vec![
        Outcome::documented("istio.pods.ready", "2.1.1", "s", passes).needs(&["istio"]),
        Outcome::documented("istio.pods.many", "2.1.2", "s", passes).needs(&["istio", "nodes"]).with(&[Capability::KUBECTL]),
        Outcome::hardening("istioctl.pods.ready", passes).with(&[Capability::ISTIOCTL]),
        Outcome::documented("mesh.proxy.serves", "2.2", "s", passes).group("port").with(&[Capability::KUBECTL]),
        broken,
    ]
}

fn selected(selection: &Selection, outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().filter(|o| selection.matches(o)).map(|o| o.id).collect()
}

const ALL: [&str; 5] = ["istio.pods.ready", "istio.pods.many", "istioctl.pods.ready", "mesh.proxy.serves", "istio.text.broken"];

/// Every good expression and the outcomes that it has, as their numbers in [`ALL`].
const GOOD: [(&str, &[usize]); 34] = [
    ("istio", &[0, 1, 4]),
    ("istio.pods", &[0, 1]),
    ("istio.pods.ready", &[0]),
    ("istio*", &[0, 1, 2, 4]),
    ("istio.*", &[0, 1, 4]),
    ("*.ready", &[0, 2]),
    ("*pods*", &[0, 1, 2]),
    ("*", &[0, 1, 2, 3, 4]),
    ("i*o.p*s.r*y", &[0]),
    ("istio*s.ready", &[0, 2]),
    ("kind:documented", &[0, 1, 3]),
    ("kind:hardening", &[2]),
    ("kind:defect", &[4]),
    ("section:2.1.2", &[1]),
    ("section:2.1", &[0, 1]),
    ("section:2", &[0, 1, 3, 4]),
    ("section:2.10", &[4]),
    ("needs:istio", &[0, 1]),
    ("needs:nodes", &[1]),
    ("capability:kubectl", &[1, 3]),
    ("group:port", &[3]),
    ("not istio", &[2, 3]),
    ("not not istio", &[0, 1, 4]),
    ("istio and *.ready", &[0]),
    ("istioctl or mesh", &[2, 3]),
    ("istioctl, mesh", &[2, 3]),
    ("istioctl,mesh", &[2, 3]),
    // not > and > or
    ("not istio and *.ready", &[2]),
    ("not (istio and *.ready)", &[1, 2, 3, 4]),
    ("mesh or istio and *.ready", &[0, 3]),
    ("*.ready and istio or mesh", &[0, 3]),
    ("(mesh or istio) and *.ready", &[0]),
    ("mesh,istio and *.ready", &[0, 3]),
    ("  ( istio.pods.ready)or(not(istio or istioctl)) ", &[0, 3]),
];

#[test]
fn every_good_expression_selects_what_it_says() {
    let outcomes = outcomes();
    for (text, wanted) in GOOD {
        let selection = Selection::parse(text).unwrap_or_else(|e| panic!("{e}"));
        selection.check(&outcomes).unwrap_or_else(|e| panic!("{e}"));
        let wanted: Vec<&str> = wanted.iter().map(|n| ALL[*n]).collect();
        assert_eq!(selected(&selection, &outcomes), wanted, "{text}");
    }
}

/// Every tree of two operators over three predicates, with and without parentheses and `not`.
fn made() -> Vec<String> {
    let atoms = ["istio", "*.ready", "capability:kubectl"];
    let signs = ["", "not ", "not not "];
    let words = [" and ", " or ", ", "];
    let mut made = Vec::new();
    for n in 0..3_usize.pow(5) {
        let digit = |place: u32| n / 3_usize.pow(place) % 3;
        let [one, two, three] = [0, 1, 2].map(|i| format!("{}{}", signs[digit(i)], atoms[i as usize]));
        let [with, then] = [3, 4].map(|i| words[digit(i)]);
        made.extend([
            format!("{one}{with}{two}{then}{three}"),
            format!("({one}{with}{two}){then}{three}"),
            format!("{one}{with}({two}{then}{three})"),
            format!("not ({one}{with}{two}){then}({three})"),
            format!("not ({one}{with}not ({two}{then}{three}))"),
        ]);
    }
    made
}

#[test]
fn what_is_printed_and_parsed_again_selects_the_same() {
    let (own, guide) = (outcomes(), builtin());
    let texts = GOOD.iter().map(|(text, _)| (*text).to_owned()).chain(made());
    let mut seen = std::collections::BTreeSet::new();
    for text in texts {
        let selection = Selection::parse(&text).unwrap_or_else(|e| panic!("{e}"));
        let printed = selection.to_string();
        let again: Selection = printed.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        for outcomes in [&own, &guide] {
            assert_eq!(selected(&again, outcomes), selected(&selection, outcomes), "{text} was printed as {printed}");
        }
        assert_eq!(again.to_string(), printed, "{text}");
        seen.insert(selected(&selection, &own));
    }
    assert!(seen.len() > 20, "expressions that all select the same would prove little");
}

#[test]
fn no_more_parentheses_are_printed_than_are_needed() {
    for (text, printed) in [
        ("((istio))", "istio"),
        ("(a and b) or (c and d)", "a and b or c and d"),
        ("a and (b or c)", "a and (b or c)"),
        ("not (not (a))", "not not a"),
        ("not (a,b)", "not (a or b)"),
    ] {
        assert_eq!(Selection::parse(text).unwrap().to_string(), printed, "{text}");
    }
}

#[test]
fn a_chain_in_a_chain_keeps_its_parentheses_and_long_ones_are_not_deep() {
    for text in ["(cluster and istio) and dashboard", "(cluster or istio) or dashboard", "cluster and (istio and dashboard)"] {
        assert_eq!(Selection::parse(text).unwrap().to_string(), text);
    }
    for word in [", ", " and ", " or not "] {
        Selection::parse(&vec!["cluster"; 500].join(word)).unwrap();
    }
}

#[test]
fn of_names_that_are_as_like_the_first_is_named() {
    let nearest = |pattern: &str| Pattern::new(pattern).nearest(&builtin()).unwrap();
    assert_eq!(nearest("###"), "cluster");
}

#[test]
fn a_bad_expression_is_refused_with_its_place_and_what_was_expected() {
    let part = "expected an id, a predicate, `not` or `(`";
    let deep = format!("{}istio", "(".repeat(101));
    let nots = "not ".repeat(100_000) + "istio";
    let table = [
        ("", 1, format!("{part}, but the expression ends")),
        ("  ", 3, format!("{part}, but the expression ends")),
        ("istio and", 10, format!("{part}, but the expression ends")),
        ("istio,", 7, format!("{part}, but the expression ends")),
        ("istio and or mesh", 11, format!("{part}, but found `or`")),
        ("not", 4, format!("{part}, but the expression ends")),
        ("and istio", 1, format!("{part}, but found `and`")),
        ("()", 2, format!("{part}, but found `)`")),
        (",istio", 1, format!("{part}, but found `,`")),
        ("istio mesh", 7, "expected `and`, `or` or the end, but found `mesh`".into()),
        ("istio not mesh", 7, "expected `and`, `or` or the end, but found `not`".into()),
        ("istio)", 6, "expected `and`, `or` or the end, but found `)`".into()),
        ("(istio", 7, "expected `)` for the `(` of column 1, but the expression ends".into()),
        ("mesh or (istio mesh)", 16, "expected `)` for the `(` of column 9, but found `mesh`".into()),
        ("istio & mesh", 7, "`&` means nothing here; write `and`".into()),
        ("istio||mesh", 6, "`|` means nothing here; write `or`".into()),
        ("!istio", 1, "`!` means nothing here; write `not`".into()),
        ("kind:", 6, "expected a value right after `kind:`, but found `kind:`".into()),
        ("needs: istio", 7, "expected a value right after `needs:`, but found `needs:`".into()),
        ("kind:hard", 6, "no outcome has kind:hard; there are documented, hardening, defect".into()),
        ("istio or knid:hardening", 10, "unknown predicate `knid`; there are kind, section, needs, capability, group".into()),
        (":x", 1, "unknown predicate ``; there are kind, section, needs, capability, group".into()),
        // Columns are characters and not bytes.
        ("节点 and", 7, format!("{part}, but the expression ends")),
        (&deep, 101, "more than 100 levels of parentheses and `not`".into()),
        (&nots, 401, "more than 100 levels of parentheses and `not`".into()),
    ];
    for (text, column, problem) in table {
        let error = Selection::parse(text).err().unwrap_or_else(|| panic!("`{text}` should be refused"));
        assert_eq!((error.column, error.problem.to_string()), (column, problem), "{text}");
        assert_eq!(error.to_string(), format!("`{text}`, column {}: {}", error.column, error.problem));
    }
    let hint = Selection::parse("istio or knid:hardening").unwrap_err().hint();
    assert_eq!(hint.as_deref(), Some("did you mean `kind:`?"));
}

#[test]
fn a_name_that_no_outcome_has_is_refused_wherever_it_stands() {
    let table = [
        ("istoi", 1, "no outcome is called `istoi`", Some("did you mean `istio`?")),
        ("not istoi", 5, "no outcome is called `istoi`", Some("`istio`")),
        ("mesh or istio.pod", 9, "no outcome is called `istio.pod`", Some("`istio.pods`")),
        ("istio.pods.raedy", 1, "no outcome is called `istio.pods.raedy`", Some("`istio.pods.ready`")),
        ("*.redy", 1, "no outcome is called `*.redy`", Some("`*.ready`")),
        ("mehs.*", 1, "no outcome is called `mehs.*`", Some("`mesh.*`")),
        ("needs:itsio", 7, "no outcome has needs:itsio; there are istio, nodes", Some("did you mean `needs:istio`?")),
        ("capability:kubctl", 12, "no outcome has capability:kubctl; there are istioctl, kubectl", Some("`capability:kubectl`")),
        ("group:x", 7, "no outcome has group:x; there are port", None),
        ("section:2.1.3", 9, "no outcome has section:2.1.3; there are 2.1.1, 2.1.2, 2.10, 2.2", Some("`section:2.1.")),
        ("section:2.", 9, "no outcome has section:2.; there are 2.1.1", Some("section:2.")),
        ("istio and mesh", 1, "no outcome is selected", Some("Each part selects something")),
    ];
    for (text, column, problem, hint) in table {
        let error = Selection::parse(text).unwrap().check(&outcomes()).expect_err(text);
        assert_eq!(error.column, column, "{text}");
        assert!(error.problem.to_string().starts_with(problem), "{text}: {}", error.problem);
        match (error.hint(), hint) {
            (Some(said), Some(hint)) => assert!(said.contains(hint), "{text}: {said}"),
            (said, hint) => assert_eq!(said.as_deref(), hint, "{text}"),
        }
    }
    // A kind is known also where nothing is of it, so that `not kind:defect` need not be changed from one version to the next.
    let without: Vec<Outcome> = outcomes().into_iter().take(4).collect();
    Selection::parse("not kind:defect").unwrap().check(&without).unwrap();
    Selection::parse("kind:defect").unwrap().check(&without).unwrap_err();
    let error = Selection::parse("group:x").unwrap().check(&without[..2]).unwrap_err();
    assert_eq!(error.problem.to_string(), "no outcome has group:x; none has a group");
}

#[test]
fn a_star_is_any_text_and_everything_else_is_anchored() {
    for (pattern, id, wanted) in [
        ("a.b", "a.b.c", true),
        ("a.b", "a.bc.d", false),
        ("a.b.", "a.b.c", false),
        ("b.c", "a.b.c", false),
        ("*.b", "a.b.c", false),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("*ab*ab", "xabab", true),
        ("*ab*ab", "xab", false),
        ("a**c", "abc", true),
        ("*", "", true),
        ("", "a.b.c", false),
    ] {
        assert_eq!(Pattern::new(pattern).matches(id), wanted, "{pattern} {id}");
    }
}

#[test]
fn the_guide_has_what_the_documents_name() {
    let guide = builtin();
    for text in
        ["dashboard.*", "*.ready", "istio", "kind:hardening", "section:2.1.2", "needs:istio", "capability:kubectl", "group:kubectl-proxy"]
    {
        Selection::parse(text).unwrap().check(&guide).unwrap();
    }
    let istio = selected(&Selection::parse("istio").unwrap(), &guide);
    assert!(!istio.is_empty() && istio.iter().all(|id| id.starts_with("istio.")), "istioctl is another chapter: {istio:?}");
}
