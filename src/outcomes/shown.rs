//! Output as the guide shows it, compared with what was really printed.
//!
//! What differs from one environment to the next is a word in braces: `{hash}`, `{age}`, `{address}`, `{port}`, `{version}`, `{count}`. How
//! many blanks stand between words, colours and icons do not count.

use std::sync::LazyLock;

use regex::Regex;

/// ECMA-48 control sequences, as terminals get them.
static CONTROL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\x1b\[[0-9;?]*[ -/]*[@-~]").expect("a valid pattern"));
static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{[a-z]+\}").expect("a valid pattern"));

/// What a word in braces stands for.
pub(crate) fn wildcard(word: &str) -> Option<&'static str> {
    Some(match word {
        // Kubernetes makes names of letters and digits that spell nothing (`k8s.io/apimachinery/pkg/util/rand`).
        "{hash}" => "[bcdfghjklmnpqrstvwxz2456789]+",
        // `k8s.io/apimachinery/pkg/util/duration`, for example 39s, 5m3s, 2d4h.
        "{age}" => r"(?:\d+[ydhms])+",
        "{address}" => r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]+\])",
        "{port}" => r"\d{1,5}",
        "{version}" => r"v?\d+\.\d+\.\d+[0-9A-Za-z.+-]*",
        "{count}" => r"\d+",
        _ => return None,
    })
}

/// A line without what only a terminal makes of it.
pub(crate) fn plain(line: &str) -> String {
    let text = CONTROL.replace_all(line, "");
    let kept: String = text.chars().filter(|c| c.is_ascii() || c.is_alphabetic()).collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn pattern(shown: &str) -> Regex {
    let (line, mut pattern, mut from) = (plain(shown), "^".to_owned(), 0);
    for word in WORD.find_iter(&line) {
        let Some(wild) = wildcard(word.as_str()) else { continue };
        pattern.push_str(&regex::escape(&line[from..word.start()]));
        pattern.push_str(wild);
        from = word.end();
    }
    pattern.push_str(&regex::escape(&line[from..]));
    pattern.push('$');
    Regex::new(&pattern).expect("escaped text and known wildcards")
}

/// Whether a line of output is the one shown.
pub(super) fn is_line(shown: &str, line: &str) -> bool {
    pattern(shown).is_match(&plain(line))
}

/// The lines shown that were not printed, in whatever order those were that were.
pub(super) fn missing<'a>(shown: &'a str, printed: &str) -> Vec<&'a str> {
    let printed: Vec<String> = printed.lines().map(plain).collect();
    let absent = |line: &&str| {
        let pattern = pattern(line);
        !printed.iter().any(|p| pattern.is_match(p))
    };
    shown.lines().filter(|l| !l.trim().is_empty()).filter(absent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_braces_match_their_kind_and_no_other() {
        for (word, good, bad) in [
            ("{hash}", &["76585494d8", "b7ffbc8cb", "zl8zg"][..], &["", "aeiou", "B7"][..]),
            ("{age}", &["39s", "5m3s", "2d4h", "1y"], &["39", "s", "3 s", "3w"]),
            ("{address}", &["127.0.0.1", "[::]"], &["localhost", "1.2.3"]),
            ("{port}", &["8001"], &["800100", "x"]),
            ("{version}", &["1.27.1", "v1.33.4", "1.30.0-alpha.b01690e6db7d"], &["1.27", "latest"]),
            ("{count}", &["0", "12"], &["-1", "one"]),
        ] {
            good.iter().for_each(|text| assert!(is_line(word, text), "{word} and {text:?}"));
            bad.iter().for_each(|text| assert!(!is_line(word, text), "{word} and {text:?}"));
        }
        assert!(is_line("a {what} b", "a {what} b"), "what is no wildcard is itself");
        assert!(!is_line("1.2", "1x2"), "text is text");
    }

    #[test]
    fn blanks_colours_icons_and_order_do_not_count() {
        let shown = "NAME   READY\n kubernetes-dashboard-{hash}-{hash}  1/1\nIstiod installed";
        let printed = "\u{1b}[32m✔\u{1b}[0m Istiod installed 🧠\nNAME READY\nkubernetes-dashboard-b7ffbc8cb-zl8zg      1/1\n";
        assert_eq!(missing(shown, printed), [""; 0]);
        assert_eq!(missing(shown, &printed.replace("1/1", "0/1")), [" kubernetes-dashboard-{hash}-{hash}  1/1"]);
        assert_eq!(missing("Istiod installed", "Istiod installed not"), ["Istiod installed"], "the whole line");
    }
}
