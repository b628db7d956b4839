//! Foreign text in Markdown: escaped so that it can neither end what it stands in nor begin anything, and cut so that it stays small.

use crate::report::layout::{clean, one_line};

/// One line that means nothing but itself, in Markdown, in a table and inside HTML.
///
/// Character references do that everywhere but in code, where a backslash works in Markdown alone.
pub(super) fn text(foreign: &str, chars: usize) -> String {
    let line = cut(&one_line(&ample(foreign, chars)), chars);
    let mut out = String::with_capacity(line.len() + 16);
    // A dash, or a number with a dot, begins a list where a space follows, also within an item of ours.
    let digits = line.chars().take_while(char::is_ascii_digit).count();
    let mut chars = line.chars().enumerate().peekable();
    while let Some((n, c)) = chars.next() {
        let before_space = chars.peek().is_none_or(|(_, next)| *next == ' ');
        let begins = match c {
            // Also a line of them means something, under another one.
            '-' | '+' | '=' => n == 0,
            '.' | ')' => n > 0 && n == digits && before_space,
            _ => false,
        };
        match c {
            '&' | '<' | '>' | '|' | '`' | '*' | '_' | '[' | ']' | '~' | '\\' | '#' | '@' | '$' | '!' => reference(&mut out, c),
            c if begins => reference(&mut out, c),
            c => out.push(c),
        }
    }
    out
}

/// A name as code. HTML, since a code span of Markdown has no escapes.
pub(super) fn code(foreign: &str, chars: usize) -> String {
    format!("<code>{}</code>", text(foreign, chars))
}

/// Several lines as they are. HTML, since a fence could be ended by what is in it.
pub(super) fn block(foreign: &str, chars: usize) -> String {
    let text = cut(clean(&ample(foreign, chars)).trim_end(), chars);
    let mut out = String::from("<pre>");
    for c in text.chars() {
        match c {
            '&' | '<' | '>' => reference(&mut out, c),
            c => out.push(c),
        }
    }
    out.push_str("</pre>");
    out
}

fn reference(out: &mut String, c: char) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        c => out.push_str(&format!("&#{};", u32::from(c))),
    }
}

/// Enough of a text to have so many characters left when it is cleaned: evidence can be megabytes, of which a line is shown.
fn ample(foreign: &str, chars: usize) -> String {
    cut(foreign, chars.saturating_mul(4))
}

/// At most so many characters, with an ellipsis where something went missing.
pub(super) fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_begins_and_ends_nothing() {
        assert_eq!(text("a|b`c\n<d>", 99), "a&#124;b&#96;c &lt;d&gt;");
        assert_eq!(text("- x", 99), "&#45; x");
        assert_eq!(text("12. x 1.27", 99), "12&#46; x 1.27");
        assert_eq!(text("1.27.1-alpha 'a' \"b\"", 99), "1.27.1-alpha 'a' \"b\"");
        assert_eq!(text("@team # $x$", 99), "&#64;team &#35; &#36;x&#36;");
        assert_eq!(code("</code>", 99), "<code>&lt;/code&gt;</code>");
        assert_eq!(block("a\n\n</pre>```\u{1b}[31m", 99), "<pre>a\n\n&lt;/pre&gt;```</pre>");
        assert_eq!((text("abcdef", 3).as_str(), text("中文字", 2).as_str(), text("abc", 3).as_str()), ("abc…", "中文…", "abc"));
    }
}
