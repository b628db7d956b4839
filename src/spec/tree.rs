//! A YAML document as a tree in which every node knows where it stands.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, Options};
use serde_saphyr::{Error, Location, MessageFormatter as _, Spanned};

/// Line and column in a file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) data: Data,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Null,
    Bool(bool),
    /// The number, and how it was written.
    Integer(i128, String),
    /// How the number was written: as a number it is of no use here, while `1.30` is a text that somebody forgot to quote.
    Float(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) at: Position,
}

/// What can be wrong with a document before anybody looks at its keys.
#[derive(Debug)]
pub(super) enum Fault {
    Syntax { at: Position, message: String },
    SecondDocument { at: Position },
    DuplicateKey { at: Position, key: String, first: Position },
}

/// Reads one document; an empty one is [`Data::Null`].
pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    let mut options = Options::default();
    options.with_snippet = false;
    // YAML 1.2: `no` is a text and not false.
    options.strict_booleans = true;
    // Repeated keys come through to `tree`, which can tell where the first one stood.
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => tree(raw, text),
        Err(error) => match error.without_snippet() {
            Error::Eof { .. } => Ok(Node { at: START, data: Data::Null }),
            Error::MultipleDocuments { location, .. } => Err(Fault::SecondDocument { at: position(*location) }),
            other => Err(Fault::Syntax { at: other.location().map_or(START, position), message: message(other) }),
        },
    }
}

const START: Position = Position { line: 1, column: 1 };

fn position(location: Location) -> Position {
    // A location that the parser does not know is 0:0.
    Position { line: location.line().max(1), column: location.column().max(1) }
}

/// The parser's message without the location, which errors of this module give in front.
fn message(error: &Error) -> String {
    serde_saphyr::UserMessageFormatter.format_message(error).chars().filter(|c| !c.is_control()).collect()
}

/// What serde can tell; the spelling of numbers is looked up in the source afterwards.
enum Raw {
    Null,
    Bool(bool),
    Integer(i128),
    Float,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn tree(raw: Spanned<Raw>, source: &str) -> Result<Node, Fault> {
    let spelling = || {
        let span = raw.defined.span();
        span.byte_offset()
            .zip(span.byte_len())
            .and_then(|(start, len)| source.get(usize::try_from(start).ok()?..usize::try_from(start + len).ok()?))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    let data = match raw.value {
        Raw::Null => Data::Null,
        Raw::Bool(value) => Data::Bool(value),
        Raw::Integer(value) => Data::Integer(value, spelling()),
        Raw::Float => Data::Float(spelling()),
        Raw::Text(value) => Data::Text(value),
        Raw::List(items) => Data::List(items.into_iter().map(|item| tree(item, source)).collect::<Result<_, _>>()?),
        Raw::Map(entries) => {
            let mut map: Vec<(Key, Node)> = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let key = Key { at: position(key.referenced), name: key.value };
                if let Some((first, _)) = map.iter().find(|(other, _)| other.name == key.name) {
                    return Err(Fault::DuplicateKey { at: key.at, first: first.at, key: key.name });
                }
                map.push((key, tree(value, source)?));
            }
            Data::Map(map)
        }
    };
    Ok(Node { at: position(raw.referenced), data })
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Integer(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(i128::try_from(value).map_or(Raw::Float, Raw::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Float)
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Raw, E> {
        Err(E::custom("binary data has no place in a spec"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_know_their_place_and_numbers_their_spelling() {
        let node = parse("a:\n  b: [1.30, 0x10, no, \"2\"]\n\"c\": ~\n").expect("valid");
        let Data::Map(top) = node.data else { panic!("a map") };
        assert_eq!(
            (top[0].0.name.as_str(), top[0].0.at, top[0].1.at),
            ("a", Position { line: 1, column: 1 }, Position { line: 2, column: 3 })
        );
        let Data::Map(inner) = &top[0].1.data else { panic!("a map") };
        assert_eq!(inner[0].0.at, Position { line: 2, column: 3 });
        let Data::List(items) = &inner[0].1.data else { panic!("a list") };
        let data: Vec<_> = items.iter().map(|item| item.data.clone()).collect();
        assert_eq!(data, [Data::Float("1.30".into()), Data::Integer(16, "0x10".into()), Data::Text("no".into()), Data::Text("2".into())]);
        assert_eq!(items[1].at, Position { line: 2, column: 13 });
        assert_eq!((top[1].0.name.as_str(), &top[1].1.data), ("c", &Data::Null));
    }

    #[test]
    fn an_alias_stands_where_it_is_used_and_reads_as_it_was_written() {
        let node = parse("é: &v 1.20\nb: *v\n").expect("valid");
        let Data::Map(top) = node.data else { panic!("a map") };
        assert_eq!(top[1].1, Node { at: Position { line: 2, column: 4 }, data: Data::Float("1.20".into()) });
    }

    #[test]
    fn empty_documents_are_null() {
        for text in ["", "\n", "# only a comment\n", "---\n", "~"] {
            assert_eq!(parse(text).expect(text).data, Data::Null, "{text:?}");
        }
    }

    #[test]
    fn faults_have_a_place() {
        let show = |text: &str| match parse(text).expect_err(text) {
            Fault::Syntax { at, message } => format!("{}:{} {message}", at.line, at.column),
            Fault::SecondDocument { at } => format!("{}:{} second", at.line, at.column),
            Fault::DuplicateKey { at, key, first } => format!("{}:{} {key} {}:{}", at.line, at.column, first.line, first.column),
        };
        assert_eq!(show("a: 1\nb: 2\na: 3\n"), "3:1 a 1:1");
        assert_eq!(show("a: 1\n---\nb: 2\n"), "3:1 second");
        assert_eq!(show("a: [1, 2\n"), "1:4 unclosed bracket '['");
        assert_eq!(show("a: 1\n b: 2\n"), "2:3 mapping values are not allowed in this context");
        assert_eq!(show("a: *nope\n"), "1:4 reference to unknown value");
        assert_eq!(show("a: .nan\n"), "1:4 value `.nan` is not a finite number");
        assert_eq!(show("a: \"unfinished\n"), "1:4 unclosed quote");
        assert_eq!(show("a:\n\t- x\n"), "2:2 tabs disallowed within this context (block indentation)");
        assert_eq!(show("? [a]\n: 1\n"), "1:3 expected string scalar");
    }
}
