use regex::Regex;

use super::*;
use crate::outcomes;
use crate::text;

/// The variable that names a file with the guide itself.
const GUIDE: &str = "MESHPROOF_GUIDE";

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn every_sentence_is_judged_or_says_why_not() {
    let all = outcomes::builtin();
    for sentence in sentences() {
        let Sentence { text, outcomes, planned, reason, english, .. } = sentence;
        assert_eq!(outcomes.is_empty() && planned.is_empty(), reason.is_some(), "either outcomes or a reason: {text}");
        assert!(!english.trim().is_empty(), "{text} says nothing in English");
        for id in outcomes {
            assert!(all.iter().any(|o| o.id == id), "{text} names the outcome {id}, which does not exist");
        }
        for id in planned {
            assert!(!all.iter().any(|o| o.id == id), "{id} exists by now and is no longer planned");
        }
    }
    assert_eq!(coverage(&all).holes, 0);
}

#[test]
fn what_an_outcome_cites_is_a_sentence_that_names_it() {
    for outcome in outcomes::builtin() {
        let named: Vec<&Sentence> = sentences_of(outcome.id).collect();
        let Some(anchor) = outcome.anchor else {
            assert!(named.is_empty(), "{} is judged for a sentence of the guide and does not say so", outcome.id);
            continue;
        };
        // A citation may leave something out, and says so with a slash.
        let parts: Vec<String> = anchor.sentence.split(" / ").map(squeezed).collect();
        let cites = |s: &&&Sentence| s.section == anchor.section && parts.iter().all(|part| squeezed(&s.text).contains(part.as_str()));
        assert!(
            named.iter().any(|s| cites(&s)),
            "{} cites «{}», which no sentence of {} that names it says",
            outcome.id,
            anchor.sentence,
            anchor.section
        );
    }
}

#[test]
fn every_defect_of_the_guide_is_at_a_sentence() {
    let known: Vec<String> = defects().map(|(id, _)| id).collect();
    for defect in sentences().iter().flat_map(|s| &s.defects) {
        assert!(known.contains(defect), "{defect} is no defect");
    }
    for (id, sections) in defects() {
        assert!(!sections.is_empty(), "{id} is nowhere in the guide");
    }
}

#[test]
fn every_reason_and_every_defect_has_a_text() {
    let texts = text::Texts::new(text::Lang::En);
    for (id, _) in defects() {
        let key = format!("guide-defect-{}", id.to_lowercase());
        assert!(texts.get(&key) != key && texts.attribute(&key, "instead", &[]).is_some(), "{key}");
    }
    for reason in sentences().iter().filter_map(|s| s.reason) {
        assert_ne!(texts.get(reason.key()), reason.key());
    }
}

/// Where the guide itself is at hand: nothing of it is left out, and nothing is said differently.
#[test]
fn the_sentences_are_all_that_the_guide_says() {
    let Some(path) = std::env::var_os(GUIDE) else {
        let _ =
            std::io::Write::write_all(&mut std::io::stderr(), b"NOT COMPARED with the guide itself: MESHPROOF_GUIDE does not name it\n");
        return;
    };
    let guide = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    // Headings, the names of languages, list marks, and what the site adds.
    let marks = Regex::new(r"(?m)^[ \t]*(Skip to content|shell|yaml|\d\. (概述|安装)|\d+(\.\d+)+ .*)[ \t]*$").unwrap();
    let (mut rest, lists) = (squeezed(&guide), Regex::new(r"^(•|\d\.)*$").unwrap());
    let structure: Vec<String> = marks.find_iter(&guide).map(|m| squeezed(m.as_str())).collect();
    for sentence in sentences() {
        let wanted = squeezed(&sentence.text);
        let at = rest.find(&wanted).unwrap_or_else(|| panic!("the guide does not say, or not in this place: {}", sentence.text));
        let mut between = rest[..at].to_owned();
        for word in &structure {
            between = between.replacen(word.as_str(), "", 1);
        }
        assert!(lists.is_match(&between), "left out before «{}»: {between}", sentence.text);
        rest = rest[at + wanted.len()..].to_owned();
    }
    assert_eq!(rest, "");
}
