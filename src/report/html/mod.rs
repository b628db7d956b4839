//! The report that a person reads in a browser: one file that loads nothing, so that it can be kept, mailed and opened anywhere.
//!
//! The structure of the page is `page.html.j2`, its words are `html.ftl`, and what both are filled with is made in `view`. A browser runs
//! only this page's own style and script: the content security policy names them by their hashes.

mod judged;
mod nodes;
#[cfg(test)]
mod tests;
mod values;
mod view;
mod waterfall;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Kwargs, Value};
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, escape_formatter};
use sha2::{Digest, Sha256};

use super::fold::Summary;
use super::layout::clean;
use crate::text::Texts;

const PAGE: &str = include_str!("page.html.j2");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Why a journal could not be made into a page.
#[derive(Debug, thiserror::Error)]
pub enum HtmlError {
    /// The page does not fit what it is filled with, which is a bug that a test finds.
    #[error("the HTML report could not be rendered")]
    Template(#[from] minijinja::Error),
}

/// Renders a folded journal, whole or cut, in the language of the texts.
///
/// # Errors
/// When the embedded template does not fit.
pub fn render(summary: &Summary, texts: &Texts) -> Result<String, HtmlError> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.set_formatter(cleaned);
    let words = texts.clone();
    env.add_function("t", move |key: &str, args: Kwargs| say(&words, key, &args));
    env.add_global("policy", policy());
    env.add_global("style", Value::from_safe_string(STYLE.to_owned()));
    env.add_global("script", Value::from_safe_string(SCRIPT.to_owned()));
    env.add_template("page.html", PAGE)?;
    let page = Value::from_serialize(view::Page::new(summary, texts));
    Ok(env.get_template("page.html")?.render(page)?)
}

/// What the browser may do: nothing but show this page with its own style and script.
fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
}

/// Everything that is not part of the template comes from programs and clusters. It is cleaned and escaped here, where none can be forgotten.
fn cleaned(out: &mut Output, state: &State, value: &Value) -> Result<(), minijinja::Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() && text.contains(needs_cleaning) => escape_formatter(out, state, &Value::from(clean(text))),
        _ => escape_formatter(out, state, value),
    }
}

fn needs_cleaning(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A text of the page with its variables filled in.
fn say(texts: &Texts, key: &str, args: &Kwargs) -> Result<String, minijinja::Error> {
    let names: Vec<String> = args.args().map(str::to_owned).collect();
    let values = names.iter().map(|name| args.get::<Value>(name).map(|v| v.to_string())).collect::<Result<Vec<_>, _>>()?;
    let args: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(values.iter().map(String::as_str)).collect();
    Ok(texts.with(key, &args))
}
