//! Everything that a person reads, by key, in Fluent files apart from the logic.
//!
//! A dot in a key becomes a dash, so the outcome `cluster.nodes.ready` has the message `outcome-cluster-nodes-ready` with the
//! attribute `.hint`. A missing key is a bug that a test finds; at run time the key itself is shown.

use std::sync::{Arc, LazyLock, OnceLock};

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};

/// A language that texts exist in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Simplified Chinese, the language of the guide.
    ZhCn,
}

impl Lang {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::En, Self::ZhCn];

    /// Its language tag (BCP 47).
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::ZhCn => "zh-CN",
        }
    }

    /// The language of the locale, by the variables of POSIX in their order. Traditional Chinese is not Simplified, and gets English.
    #[must_use]
    pub fn of_locale(var: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(var).find(|v| !v.is_empty()).unwrap_or_default();
        let name = locale.split(['.', '@']).next().unwrap_or_default();
        if ["zh", "zh_CN", "zh_SG", "zh_Hans", "zh_Hans_CN"].contains(&name) { Self::ZhCn } else { Self::En }
    }

    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::En => EN,
            Self::ZhCn => ZH_CN,
        }
    }
}

const EN: &[(&str, &str)] = &[
    ("checks.ftl", include_str!("en/checks.ftl")),
    ("cli.ftl", include_str!("en/cli.ftl")),
    ("collect.ftl", include_str!("en/collect.ftl")),
    ("diagnoses.ftl", include_str!("en/diagnoses.ftl")),
    ("diff.ftl", include_str!("en/diff.ftl")),
    ("faults.ftl", include_str!("en/faults.ftl")),
    ("guide.ftl", include_str!("en/guide.ftl")),
    ("ledger.ftl", include_str!("en/ledger.ftl")),
    ("html.ftl", include_str!("en/html.ftl")),
    ("lint.ftl", include_str!("en/lint.ftl")),
    ("outcomes.ftl", include_str!("en/outcomes.ftl")),
    ("report-conformance.ftl", include_str!("en/report-conformance.ftl")),
    ("report-files.ftl", include_str!("en/report-files.ftl")),
    ("report-markdown.ftl", include_str!("en/report-markdown.ftl")),
    ("report.ftl", include_str!("en/report.ftl")),
    ("stages.ftl", include_str!("en/stages.ftl")),
];

const ZH_CN: &[(&str, &str)] = &[
    ("checks.ftl", include_str!("zh-CN/checks.ftl")),
    ("cli.ftl", include_str!("zh-CN/cli.ftl")),
    ("collect.ftl", include_str!("zh-CN/collect.ftl")),
    ("diagnoses.ftl", include_str!("zh-CN/diagnoses.ftl")),
    ("diff.ftl", include_str!("zh-CN/diff.ftl")),
    ("faults.ftl", include_str!("zh-CN/faults.ftl")),
    ("guide.ftl", include_str!("zh-CN/guide.ftl")),
    ("ledger.ftl", include_str!("zh-CN/ledger.ftl")),
    ("html.ftl", include_str!("zh-CN/html.ftl")),
    ("lint.ftl", include_str!("zh-CN/lint.ftl")),
    ("outcomes.ftl", include_str!("zh-CN/outcomes.ftl")),
    ("report-conformance.ftl", include_str!("zh-CN/report-conformance.ftl")),
    ("report-files.ftl", include_str!("zh-CN/report-files.ftl")),
    ("report-markdown.ftl", include_str!("zh-CN/report-markdown.ftl")),
    ("report.ftl", include_str!("zh-CN/report.ftl")),
    ("stages.ftl", include_str!("zh-CN/stages.ftl")),
];

/// The texts of one language. A clone shares them.
#[derive(Clone)]
pub struct Texts {
    lang: Lang,
    bundle: Arc<FluentBundle<FluentResource>>,
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
        let (tag, files) = (lang.tag(), lang.files());
        let mut bundle = FluentBundle::new_concurrent(vec![tag.parse().expect("a valid language tag")]);
        // Isolation marks would end up in terminals and snapshots.
        bundle.set_use_isolating(false);
        for (name, source) in files {
            let resource = FluentResource::try_new((*source).to_owned()).unwrap_or_else(|(_, e)| panic!("{tag}/{name}: {e:?}"));
            bundle.add_resource(resource).unwrap_or_else(|e| panic!("{tag}/{name}: {e:?}"));
        }
        Self { lang, bundle: Arc::new(bundle) }
    }

    /// Their language.
    #[must_use]
    pub fn lang(&self) -> Lang {
        self.lang
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

static CHOSEN: OnceLock<Lang> = OnceLock::new();

/// Chooses the language of this process; the first choice counts, and only before anything was said. Without one it is that of the locale.
pub fn choose(lang: Lang) {
    let _ = CHOSEN.set(lang);
}

/// The language of this process.
#[must_use]
pub fn lang() -> Lang {
    *CHOSEN.get_or_init(|| Lang::of_locale(|name| std::env::var(name).ok()))
}

/// The texts of this process.
#[must_use]
pub fn current() -> &'static Texts {
    static CURRENT: LazyLock<Texts> = LazyLock::new(|| Texts::new(lang()));
    &CURRENT
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use regex::Regex;

    use super::*;

    #[test]
    fn every_file_parses_and_an_unknown_key_shows_itself() {
        for lang in Lang::ALL {
            let texts = Texts::new(lang);
            assert_eq!(texts.get("no.such.key"), "no.such.key");
            assert_eq!(texts.attribute("no.such.key", "hint", &[]), None);
        }
    }

    /// Messages and attributes in their order, each with the variables that it has.
    fn shape(source: &str) -> Vec<(String, BTreeSet<String>)> {
        let (name, variable) = (Regex::new(r"^(?:([a-z0-9-]+)|    (\.[a-z]+)) =").unwrap(), Regex::new(r"\$([A-Za-z]+)").unwrap());
        let mut shape: Vec<(String, BTreeSet<String>)> = Vec::new();
        for line in source.lines().filter(|l| !l.starts_with('#')) {
            if let Some(found) = name.captures(line) {
                let name = found.get(1).or(found.get(2)).map(|m| m.as_str().to_owned());
                shape.push((name.unwrap_or_default(), BTreeSet::new()));
            }
            let variables = variable.captures_iter(line).map(|found| found[1].to_owned());
            if let Some((_, all)) = shape.last_mut() {
                all.extend(variables);
            }
        }
        shape
    }

    #[test]
    fn every_language_says_everything_with_the_same_variables() {
        for ((name, english), (other, translated)) in EN.iter().zip(ZH_CN) {
            assert_eq!(name, other);
            assert_eq!(shape(translated), shape(english), "{name}");
        }
        assert_eq!(EN.len(), ZH_CN.len());
    }

    #[test]
    fn what_is_to_be_read_in_chinese_is_chinese() {
        let texts = Texts::new(Lang::ZhCn);
        for outcome in crate::outcomes::builtin() {
            // Its hint may be a command and nothing else.
            let title = texts.get(&format!("outcome-{}", outcome.id));
            assert!(title.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{title}");
        }
    }

    #[test]
    fn the_locale_decides() {
        let of = |vars: &[(&str, &str)]| Lang::of_locale(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
        assert_eq!(of(&[("LANG", "zh_CN.UTF-8")]), Lang::ZhCn);
        assert_eq!(of(&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C")]), Lang::En);
        assert_eq!(of(&[("LANG", "en_US.UTF-8"), ("LC_MESSAGES", "zh_SG")]), Lang::ZhCn);
        assert_eq!(of(&[("LANG", "zh_CN"), ("LC_ALL", "")]), Lang::ZhCn);
        assert_eq!((of(&[("LANG", "zh_TW.UTF-8")]), of(&[])), (Lang::En, Lang::En));
    }
}
