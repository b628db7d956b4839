//! How error chains are turned into text, in one place.

use std::error::Error;

/// The messages of a chain, outermost first. Some crates repeat their source inside their own message; such a source is left out, so that
/// nothing is said twice.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(e) = next {
        let message = match e.downcast_ref::<kube::Error>() {
            // Its own text prints the whole Status twice.
            Some(kube::Error::Api(status)) => format!("{} (HTTP {})", status.message, status.code),
            _ => e.to_string(),
        };
        if !message.is_empty() && !messages.iter().any(|m| m.contains(&message)) {
            messages.push(message);
        }
        next = if matches!(e.downcast_ref(), Some(kube::Error::Api(_))) { None } else { e.source() };
    }
    messages
}

/// A chain on one line.
#[must_use]
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    chain(error).join(": ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer: {0}")]
    struct Doubled(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("outermost")]
    struct Clean(#[source] Doubled);

    #[test]
    fn a_source_that_its_parent_repeats_is_said_once() {
        let e = Clean(Doubled(std::io::Error::other("inner\ntext")));
        assert_eq!(chain(&e), ["outermost", "outer: inner\ntext"]);
        assert_eq!(one_line(&e), "outermost: outer: inner text");
    }
}
