//! GitHub Actions, which reads what a step writes and takes some of it for commands.

use std::borrow::Cow;

/// Whether this is a step of a job there.
pub(super) fn on_github() -> bool {
    std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true")
}

/// Text for a log in which nothing commands the runner: what a pod has written is shown, not obeyed. It looks for `::` where a line begins,
/// after any space, and for `##[` everywhere (`ActionCommand.cs` of actions/runner). Anywhere else the text stays as it is.
pub(super) fn settled(text: &str) -> Cow<'_, str> {
    if on_github() { settle(text) } else { Cow::Borrowed(text) }
}

fn settle(text: &str) -> Cow<'_, str> {
    if !text.contains("::") && !text.contains("##[") {
        return Cow::Borrowed(text);
    }
    let line = |line: &str| {
        let said = line.trim_start();
        let line = if said.starts_with("::") { format!("{}| {said}", &line[..line.len() - said.len()]) } else { line.to_owned() };
        line.replace("##[", "## [")
    };
    Cow::Owned(text.split('\n').map(line).collect::<Vec<_>>().join("\n"))
}

/// The same for JSON, which must stay the same value: `##[` can only be in its strings.
pub(super) fn settled_json(text: String) -> String {
    if on_github() { settle_json(&text) } else { text }
}

fn settle_json(text: &str) -> String {
    text.replace("##[", r"#\u0023[")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_somebody_wrote_is_a_command() {
        for (text, wanted) in [
            ("it said\n::stop-commands::x", "it said\n| ::stop-commands::x"),
            ("  \t::add-mask::a\nb", "  \t| ::add-mask::a\nb"),
            ("an ##[error] and ####[[x", "an ## [error] and #### [[x"),
            ("a::b, #[c] ## [d]\n", "a::b, #[c] ## [d]\n"),
        ] {
            assert_eq!(settle(text), wanted);
        }
        let json = r###"{"log":"##[error]"}"###;
        let settled = settle_json(json);
        assert!(!settled.contains("##["), "{settled}");
        let same: serde_json::Value = serde_json::from_str(&settled).unwrap();
        assert_eq!(same["log"], "##[error]");
    }
}
