//! How error chains are turned into text, in one place.

use std::error::Error;

/// The messages of a chain, outermost first. Some crates repeat their source inside their own message; such a source is left out, so that
/// nothing is said twice.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(e) = next {
        // A boxed source shows itself as the box.
        let kube = e.downcast_ref::<kube::Error>().or_else(|| e.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref));
        let status = match kube {
            Some(kube::Error::Api(status)) => Some(status),
            _ => None,
        };
        // Its own text prints the whole Status twice.
        let message = status.map_or_else(|| e.to_string(), |s| format!("{} (HTTP {})", s.message, s.code));
        if !message.is_empty() && !messages.iter().any(|m| m.contains(&message)) {
            messages.push(message);
        }
        next = if status.is_some() { None } else { e.source() };
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
    fn a_refusal_of_the_api_server_is_one_sentence_boxed_or_not() {
        let refused = || kube::Error::Api(kube::core::Status::failure("pods is forbidden", "Forbidden").with_code(403).boxed());
        assert_eq!(chain(&refused()), ["pods is forbidden (HTTP 403)"]);
        let boxed = crate::stages::StageError::kube("list the pods")(refused());
        assert_eq!(chain(&boxed), ["cannot list the pods", "pods is forbidden (HTTP 403)"]);
    }

    #[test]
    fn a_source_that_its_parent_repeats_is_said_once() {
        let e = Clean(Doubled(std::io::Error::other("inner\ntext")));
        assert_eq!(chain(&e), ["outermost", "outer: inner\ntext"]);
        assert_eq!(one_line(&e), "outermost: outer: inner text");
    }
}
