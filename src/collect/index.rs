//! The one page that says what a bundle has and what it has not. It needs no network and no script.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::writer::{Bounds, Contents, Cut, File, Place, size};
use crate::text::Texts;

/// The groups of files, by the first piece of their place; what is in none comes first, as the cluster's own.
const GROUPS: [&str; 6] = ["cluster", "istio", "nodes", "objects", "pods", "applied"];

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222;background:#fff}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.2em .8em .2em 0;border-bottom:1px solid #ddd}\
td.size{white-space:nowrap;text-align:right}.cut{color:#a40000}code,td:first-child{overflow-wrap:anywhere}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}a{color:#8ab4f8}.cut{color:#ff8a80}}";

/// The page. `about` are names and values of what was looked at.
pub(super) fn page(contents: &Contents, bounds: Bounds, about: &[(String, String)], at: &str, texts: &Texts) -> String {
    let title = escape(&texts.get("collect-title"));
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n<p>{}</p>\n",
        texts.lang().tag(),
        escape(&texts.with("collect-intro", &[("at", at)]))
    );
    let _ = writeln!(out, "<h2>{}</h2>\n<table>", escape(&texts.get("collect-about")));
    for (name, value) in about {
        let _ = writeln!(out, "<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(value));
    }
    out.push_str("</table>\n");
    let count = contents.left_out.len().to_string();
    let _ = writeln!(out, "<h2 id=\"left-out\">{}</h2>", escape(&texts.with("collect-left-out", &[("count", &count)])));
    if contents.left_out.is_empty() {
        let _ = writeln!(out, "<p>{}</p>", escape(&texts.get("collect-left-out-none")));
    } else {
        out.push_str("<table>\n");
        for (n, (what, why)) in contents.left_out.iter().enumerate() {
            // Half of the page at most, so that there is room for the files.
            if out.len() > bounds.index / 2 {
                more(&mut out, contents.left_out.len() - n, texts);
                break;
            }
            let _ = writeln!(out, "<tr><td><code>{}</code></td><td>{}</td></tr>", escape(what), escape(why));
        }
        out.push_str("</table>\n");
    }
    let args = [("count", contents.files.len().to_string()), ("size", size(contents.bytes))];
    let _ = writeln!(out, "<h2>{}</h2>", escape(&texts.with("collect-files", &args.each_ref().map(|(k, v)| (*k, v.as_str())))));
    let mut groups: BTreeMap<&str, Vec<(&Place, &File)>> = BTreeMap::new();
    for (place, file) in &contents.files {
        let first = place.as_str().split_once('/').map_or("cluster", |(first, _)| first);
        groups.entry(first).or_default().push((place, file));
    }
    for group in GROUPS {
        let Some(files) = groups.get(group) else { continue };
        let _ = writeln!(out, "<h3>{}</h3>\n<table>\n<tr>", escape(&texts.get(&format!("collect-group-{group}"))));
        for column in ["file", "size", "what"] {
            let _ = write!(out, "<th>{}</th>", escape(&texts.get(&format!("collect-column-{column}"))));
        }
        out.push_str("</tr>\n");
        for (n, (place, file)) in files.iter().enumerate() {
            // A row is shorter than this.
            if out.len() > bounds.index.saturating_sub(16 << 10) {
                more(&mut out, files.len() - n, texts);
                break;
            }
            row(&mut out, place, file, bounds, texts);
        }
        out.push_str("</table>\n");
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn more(out: &mut String, count: usize, texts: &Texts) {
    let _ = writeln!(out, "<tr><td colspan=\"3\">{}</td></tr>", escape(&texts.with("collect-more", &[("count", &count.to_string())])));
}

fn row(out: &mut String, place: &Place, file: &File, bounds: Bounds, texts: &Texts) {
    let words = bounds.words();
    let cut = file.cut.map(|cut| {
        let (key, name, value) = match cut {
            Cut::Bytes(bytes) => ("collect-cut", "bytes", bytes.to_string()),
            Cut::Objects(count) => ("collect-cut-objects", "count", count.to_string()),
        };
        texts.with(key, &[(name, &value), (words[0].0, &words[0].1), (words[1].0, &words[1].1)])
    });
    let cut = cut.map_or_else(String::new, |c| format!(" <span class=\"cut\">{}</span>", escape(&c)));
    // A place has only characters that a URL may have.
    let place = escape(place.as_str());
    let exact = escape(&texts.with("collect-bytes", &[("bytes", &file.bytes.to_string())]));
    let _ = writeln!(
        out,
        "<tr><td><a href=\"{place}\">{place}</a></td><td class=\"size\" title=\"{exact}\">{}</td><td>{}{cut}</td></tr>",
        escape(&size(file.bytes)),
        escape(&texts.get(file.what))
    );
}

/// Text as HTML shows it, also inside an attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Other control characters do nothing good in a page.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Lang;

    #[test]
    fn whatever_a_reason_says_it_is_text() {
        let evil = "<script>alert(1)</script>\"'&\u{1b}[0m";
        let contents = Contents {
            files: BTreeMap::from([(
                Place::new(&["pods", evil, "x.log"]),
                File { bytes: 1, what: "collect-what-log", cut: Some(Cut::Bytes(7)) },
            )]),
            left_out: vec![(evil.to_owned(), evil.to_owned())],
            bytes: 1,
        };
        let page = page(&contents, Bounds::USUAL, &[(evil.to_owned(), evil.to_owned())], evil, &Texts::new(Lang::En));
        assert!(!page.contains("<script") && !page.contains('\u{1b}'), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"), "{page}");
        assert!(!page.contains("collect-"), "a key has no text\n{page}");
        assert!(!page.contains("http://") && !page.contains("https://"), "it needs no network");
    }
}
