//! What headers say about which part is wanted, and whether any.

use http::{HeaderMap, header};

use crate::mirror::name::Digest;

/// The part of a blob that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// From the first byte to before the second.
    Part(u64, u64),
    /// A part that is not there.
    Outside,
}

/// What `Range` and `If-Range` want. What is malformed or wants several parts gets the whole, as the specification of HTTP allows.
pub(super) fn wanted(headers: &HeaderMap, digest: &Digest, size: u64) -> Wanted {
    let get = |name| headers.get(name).and_then(|v: &http::HeaderValue| v.to_str().ok());
    if get(header::IF_RANGE).is_some_and(|tag| tag.trim().trim_matches('"') != digest.as_str()) {
        return Wanted::Whole;
    }
    let Some((first, last)) = get(header::RANGE).and_then(|r| r.trim().strip_prefix("bytes=")).and_then(|r| r.split_once('-')) else {
        return Wanted::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (start, end) = match (number(first), number(last)) {
        (None, Some(suffix)) if first.trim().is_empty() => (size - suffix.min(size), size),
        (Some(start), None) if last.trim().is_empty() => (start, size),
        (Some(start), Some(last)) if start <= last => (start, last.saturating_add(1).min(size)),
        _ => return Wanted::Whole,
    };
    if start < end { Wanted::Part(start, end) } else { Wanted::Outside }
}

/// Whether `If-None-Match` names this digest.
pub(super) fn is_known(headers: &HeaderMap, digest: &Digest) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    tags.map(|t| t.trim().trim_start_matches("W/").trim_matches('"')).any(|t| t == "*" || t == digest.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_part_or_the_whole() {
        let digest = Digest::of(b"");
        for (range, size, expected) in [
            ("bytes=0-4", 10, Wanted::Part(0, 5)),
            ("bytes=5-", 10, Wanted::Part(5, 10)),
            ("bytes=-3", 10, Wanted::Part(7, 10)),
            ("bytes=-30", 10, Wanted::Part(0, 10)),
            ("bytes=9-99", 10, Wanted::Part(9, 10)),
            ("bytes=0-18446744073709551615", 10, Wanted::Part(0, 10)),
            ("bytes=10-", 10, Wanted::Outside),
            ("bytes=-0", 10, Wanted::Outside),
            ("bytes=0-", 0, Wanted::Outside),
            ("bytes=5-4", 10, Wanted::Whole),
            ("bytes=0-1,3-4", 10, Wanted::Whole),
            ("bytes=x-", 10, Wanted::Whole),
            ("bytes=-", 10, Wanted::Whole),
            ("lines=0-1", 10, Wanted::Whole),
        ] {
            let mut headers = HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]);
            assert_eq!(wanted(&headers, &digest, size), expected, "{range}");
            headers.insert(header::IF_RANGE, format!("\"{digest}\"").parse().unwrap());
            assert_eq!(wanted(&headers, &digest, size), expected, "{range}");
            headers.insert(header::IF_RANGE, "\"other\"".parse().unwrap());
            assert_eq!(wanted(&headers, &digest, size), Wanted::Whole, "{range}");
        }
    }

    #[test]
    fn an_entity_tag_is_the_digest() {
        let digest = Digest::of(b"");
        for (tag, known) in
            [(format!("\"{digest}\""), true), (format!("\"a\", W/\"{digest}\""), true), ("*".into(), true), ("\"a\"".into(), false)]
        {
            assert_eq!(is_known(&HeaderMap::from_iter([(header::IF_NONE_MATCH, tag.parse().unwrap())]), &digest), known, "{tag}");
        }
        assert!(!is_known(&HeaderMap::new(), &digest));
    }
}
