//! What is done with an environment that is there already, and with the environment when the work is done.

use std::time::Duration;

use crate::session::DEFAULT_TTL;

/// What becomes of the environment when a run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// It stays until `down` or the end of its time to live.
    #[default]
    Always,
    /// It stays if something failed, so that it can be looked at.
    OnFailure,
    /// It is removed. What is known about a failure is collected first.
    Never,
}

/// What is done with an environment that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reuse {
    /// It is verified again and used, repaired where that is needed, or made where there is none.
    #[default]
    Allow,
    /// It is removed, and a new one is made.
    Never,
    /// It is verified again and used; where it is not there, or not whole, that is an error. Nothing is made.
    Require,
}

/// What is done if the environment was made from another spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDrift {
    /// What can be changed in a cluster that stands is changed there; the rest is refused.
    #[default]
    Apply,
    /// The cluster is removed and made anew.
    Recreate,
    /// It is refused, whatever the difference is.
    Refuse,
}

/// All of it, and how long a kept environment lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// When a run has ended.
    pub keep: Keep,
    /// When there is an environment.
    pub reuse: Reuse,
    /// When it was made from another spec.
    pub on_drift: OnDrift,
    /// How long it lives without being used; `None` for ever.
    pub ttl: Option<Duration>,
    /// Whether what may tell what went wrong is collected after a failure.
    pub collect: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { keep: Keep::default(), reuse: Reuse::default(), on_drift: OnDrift::default(), ttl: Some(DEFAULT_TTL), collect: true }
    }
}

/// A word that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is `{value}`; there are {known}")]
pub struct PolicyError {
    /// The variable or option.
    pub name: String,
    /// What it says.
    pub value: String,
    /// What it could say.
    pub known: String,
}

/// Words for the values of an enum, as options and variables write them.
pub trait Word: Copy + Sized + 'static {
    /// Every value with its word.
    const ALL: &'static [(&'static str, Self)];

    /// The value of a word.
    ///
    /// # Errors
    /// [`PolicyError`] that names the words there are; `name` is the option or variable.
    fn from_word(name: &str, word: &str) -> Result<Self, PolicyError> {
        let known = || Self::ALL.iter().map(|(w, _)| *w).collect::<Vec<_>>().join(", ");
        let found = Self::ALL.iter().find(|(w, _)| *w == word).map(|(_, value)| *value);
        found.ok_or_else(|| PolicyError { name: name.to_owned(), value: word.to_owned(), known: known() })
    }
}

impl Word for Keep {
    const ALL: &'static [(&'static str, Self)] = &[("always", Self::Always), ("on-failure", Self::OnFailure), ("never", Self::Never)];
}

impl Word for Reuse {
    const ALL: &'static [(&'static str, Self)] = &[("allow", Self::Allow), ("never", Self::Never), ("require", Self::Require)];
}

impl Word for OnDrift {
    const ALL: &'static [(&'static str, Self)] = &[("apply", Self::Apply), ("recreate", Self::Recreate), ("refuse", Self::Refuse)];
}

impl Word for bool {
    const ALL: &'static [(&'static str, Self)] = &[("on-failure", true), ("never", false)];
}

impl Policy {
    /// What `MESHPROOF_KEEP`, `MESHPROOF_REUSE`, `MESHPROOF_ON_DRIFT`, `MESHPROOF_TTL` and `MESHPROOF_COLLECT` say; an empty variable says nothing.
    ///
    /// # Errors
    /// When one of them says what is not known.
    pub fn from_variables(var: impl Fn(&str) -> Option<String>) -> Result<Self, PolicyError> {
        fn word<T: Word + Default>(name: &str, value: Option<String>) -> Result<T, PolicyError> {
            value.map_or_else(|| Ok(T::default()), |value| T::from_word(name, &value))
        }
        let set = |name: &str| var(name).filter(|v| !v.is_empty());
        Ok(Self {
            keep: word("MESHPROOF_KEEP", set("MESHPROOF_KEEP"))?,
            reuse: word("MESHPROOF_REUSE", set("MESHPROOF_REUSE"))?,
            on_drift: word("MESHPROOF_ON_DRIFT", set("MESHPROOF_ON_DRIFT"))?,
            collect: set("MESHPROOF_COLLECT").map_or(Ok(true), |word| bool::from_word("MESHPROOF_COLLECT", &word))?,
            ttl: set("MESHPROOF_TTL").map_or(Ok(Some(DEFAULT_TTL)), |value| ttl("MESHPROOF_TTL", &value))?,
        })
    }
}

/// A time to live: a whole number with `s`, `m`, `h` or `d`, or `never`, which is `None`.
///
/// # Errors
/// [`PolicyError`] for anything else; `name` is the option or variable.
pub fn ttl(name: &str, value: &str) -> Result<Option<Duration>, PolicyError> {
    if value == "never" {
        return Ok(None);
    }
    let unit = |(number, unit): (&str, &str)| {
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86400,
            _ => return None,
        };
        number.parse::<u64>().ok().filter(|n| *n > 0)?.checked_mul(seconds).map(Duration::from_secs)
    };
    let parsed = value.char_indices().next_back().and_then(|(at, _)| unit(value.split_at(at)));
    let known = "a number above 0 with s, m, h or d, for example 8h, and never".to_owned();
    parsed.map(Some).ok_or_else(|| PolicyError { name: name.to_owned(), value: value.to_owned(), known })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_say_what_is_done_and_nonsense_is_named() {
        let none = Policy::from_variables(|_| None).unwrap();
        assert_eq!(none, Policy::default());
        assert_eq!(Policy::from_variables(|_| Some(String::new())).unwrap(), none, "a variable that is set to nothing says nothing");
        let some = |name: &str| {
            let value = match name {
                "MESHPROOF_KEEP" => "on-failure",
                "MESHPROOF_REUSE" => "require",
                "MESHPROOF_ON_DRIFT" => "recreate",
                "MESHPROOF_COLLECT" => "never",
                _ => "8h",
            };
            Some(value.to_owned())
        };
        let expected = Policy {
            keep: Keep::OnFailure,
            reuse: Reuse::Require,
            on_drift: OnDrift::Recreate,
            ttl: Some(Duration::from_hours(8)),
            collect: false,
        };
        assert_eq!(Policy::from_variables(some).unwrap(), expected);
        let error = Policy::from_variables(|name| (name == "MESHPROOF_KEEP").then(|| "sometimes".to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "MESHPROOF_KEEP is `sometimes`; there are always, on-failure, never");
    }

    #[test]
    fn a_time_to_live_is_a_number_with_a_unit_or_never() {
        for (text, expected) in [("90s", 90), ("5m", 300), ("8h", 28_800), ("7d", 604_800)] {
            assert_eq!(ttl("--ttl", text).unwrap(), Some(Duration::from_secs(expected)), "{text}");
        }
        assert_eq!(ttl("--ttl", "never").unwrap(), None);
        for text in ["", "8", "h", "0h", "-1h", "8 h", "1w", "99999999999999999999d", "9999999999999999999d", "8ü"] {
            assert!(ttl("--ttl", text).unwrap_err().to_string().starts_with(&format!("--ttl is `{text}`")), "{text}");
        }
    }
}
