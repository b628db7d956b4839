//! Everything that a person reads, by key, in Fluent files apart from the logic.
//!
//! A dot in a key becomes a dash, so the outcome `cluster.nodes.ready` has the message `outcome-cluster-nodes-ready` with the
//! attribute `.hint`. A missing key is a bug that a test finds; at run time the key itself is shown.

use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};

/// A language that texts exist in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// English.
    #[default]
    En,
}

const EN: &[(&str, &str)] = &[
    ("cli.ftl", include_str!("en/cli.ftl")),
    ("collect.ftl", include_str!("en/collect.ftl")),
    ("diagnoses.ftl", include_str!("en/diagnoses.ftl")),
    ("lint.ftl", include_str!("en/lint.ftl")),
    ("outcomes.ftl", include_str!("en/outcomes.ftl")),
    ("report.ftl", include_str!("en/report.ftl")),
    ("stages.ftl", include_str!("en/stages.ftl")),
];

/// The texts of one language.
pub struct Texts {
    bundle: FluentBundle<FluentResource>,
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Texts").finish_non_exhaustive()
    }
}

impl Texts {
    /// Loads the texts of a language.
    ///
    /// # Panics
    /// When an embedded file does not parse or defines a message twice, which a test rules out.
    #[must_use]
    pub fn new(lang: Lang) -> Self {
        let (tag, files) = match lang {
            Lang::En => ("en", EN),
        };
        let mut bundle = FluentBundle::new_concurrent(vec![tag.parse().expect("a valid language tag")]);
        // Isolation marks would end up in terminals and snapshots.
        bundle.set_use_isolating(false);
        for (name, source) in files {
            let resource = FluentResource::try_new((*source).to_owned()).unwrap_or_else(|(_, e)| panic!("{tag}/{name}: {e:?}"));
            bundle.add_resource(resource).unwrap_or_else(|e| panic!("{tag}/{name}: {e:?}"));
        }
        Self { bundle }
    }

    /// The text of a key, or the key itself where there is none.
    #[must_use]
    pub fn get(&self, key: &str) -> String {
        self.with(key, &[])
    }

    /// The text of a key with its variables filled in.
    #[must_use]
    pub fn with(&self, key: &str, args: &[(&str, &str)]) -> String {
        self.find(key, None, args).unwrap_or_else(|| key.to_owned())
    }

    /// The text of an attribute, for example the `hint` of an outcome; `None` where there is none.
    #[must_use]
    pub fn attribute(&self, key: &str, attribute: &str, args: &[(&str, &str)]) -> Option<String> {
        self.find(key, Some(attribute), args)
    }

    fn find(&self, key: &str, attribute: Option<&str>, args: &[(&str, &str)]) -> Option<String> {
        let message = self.bundle.get_message(&key.replace('.', "-"))?;
        let pattern = match attribute {
            Some(a) => message.get_attribute(a)?.value(),
            None => message.value()?,
        };
        let mut fluent = FluentArgs::new();
        for (name, value) in args {
            fluent.set(*name, FluentValue::from(*value));
        }
        let mut errors = Vec::new();
        let text = self.bundle.format_pattern(pattern, Some(&fluent), &mut errors).into_owned();
        debug_assert!(errors.is_empty(), "{key}: {errors:?}");
        Some(text)
    }
}

/// The texts of this process.
#[must_use]
pub fn current() -> &'static Texts {
    static CURRENT: LazyLock<Texts> = LazyLock::new(|| Texts::new(Lang::default()));
    &CURRENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_parses_and_an_unknown_key_shows_itself() {
        let texts = Texts::new(Lang::En);
        assert_eq!(texts.get("no.such.key"), "no.such.key");
        assert_eq!(texts.attribute("no.such.key", "hint", &[]), None);
    }
}
