//! Version numbers as the tools of this field write them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// `major.minor.patch` with an optional pre-release, for example `1.33.4` or `1.30.0-alpha.1`.
///
/// Orders as semantic versions do, with one simplification: two pre-releases of the same version compare part by part as
/// numbers where both are numbers and as text otherwise. Build metadata (`+…`) is refused: no upstream here uses it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    /// First number.
    pub major: u64,
    /// Second number.
    pub minor: u64,
    /// Third number.
    pub patch: u64,
    /// What follows the first `-`, or nothing for a release.
    pub pre: String,
}

impl Version {
    /// A release.
    #[must_use]
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self { major, minor, patch, pre: String::new() }
    }

    /// Whether this is a release and not a pre-release.
    #[must_use]
    pub fn is_release(&self) -> bool {
        self.pre.is_empty()
    }
}

/// The text is no `major.minor.patch[-pre]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a version like 1.2.3")]
pub struct VersionError {
    /// The offending text.
    pub text: String,
}

impl FromStr for Version {
    type Err = VersionError;

    /// Reads a version with or without a leading `v`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || VersionError { text: text.to_owned() };
        let bare = text.strip_prefix('v').unwrap_or(text);
        let (numbers, pre) = match bare.split_once('-') {
            Some((_, "")) => return Err(error()),
            Some((numbers, pre)) => (numbers, pre),
            None => (bare, ""),
        };
        if !pre.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-') {
            return Err(error());
        }
        let mut parts = numbers.split('.').map(|part| {
            // `parse` alone would accept `+1`.
            if part.bytes().all(|b| b.is_ascii_digit()) { part.parse::<u64>().ok() } else { None }
        });
        match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten(), parts.next()) {
            (Some(major), Some(minor), Some(patch), None) => Ok(Self { major, minor, patch, pre: pre.to_owned() }),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if self.pre.is_empty() { Ok(()) } else { write!(f, "-{}", self.pre) }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.major, self.minor, self.patch).cmp(&(other.major, other.minor, other.patch)).then_with(|| {
            match (self.pre.is_empty(), other.pre.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => compare_pre(&self.pre, &other.pre),
            }
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn compare_pre(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let ordering = match (left.next(), right.next()) {
            // Only equal texts are equal, so that ordering agrees with `==` (`rc.1` and `rc.01` differ).
            (None, None) => return a.cmp(b),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) => match (x.parse::<u64>(), y.parse::<u64>()) {
                (Ok(x), Ok(y)) => x.cmp(&y),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => x.cmp(y),
            },
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_with_and_without_v() {
        assert_eq!("v1.33.4".parse(), Ok(Version::new(1, 33, 4)));
        assert_eq!("1.33.4".parse(), Ok(Version::new(1, 33, 4)));
        let pre: Version = "1.30.0-alpha.0-rc".parse().expect("a pre-release");
        assert_eq!((pre.pre.as_str(), pre.to_string().as_str(), pre.is_release()), ("alpha.0-rc", "1.30.0-alpha.0-rc", false));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "1", "1.2", "1.2.3.4", "1.2.x", "1.+2.3", "vv1.2.3", "1.2.3-", "1.2.3+build", "1.2.3-a b", "1..3", "V1.2.3"] {
            assert_eq!(text.parse::<Version>(), Err(VersionError { text: text.to_owned() }), "{text}");
        }
    }

    #[test]
    fn versions_are_ordered() {
        let sorted = ["1.9.0", "1.10.0-alpha", "1.10.0-alpha.2", "1.10.0-alpha.10", "1.10.0-rc.0", "1.10.0", "1.10.1", "2.0.0"];
        let versions: Vec<Version> = sorted.iter().map(|text| text.parse().expect("a version")).collect();
        for pair in versions.windows(2) {
            assert!(pair[0] < pair[1], "{} < {}", pair[0], pair[1]);
        }
    }
}
