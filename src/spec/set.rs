//! `--set path=value`: which place of a spec an argument means.

use serde_json::Value;

use super::error::{Origin, SetProblem, SpecError};
use super::layers::{KeyPath, Layer, Merged, Source, check_registry, unknown_key};
use super::schema::{self, Shape, nearest};
use super::tree::{self, Data, Key, Node, Position};

/// A part of a path as it was typed.
#[derive(Debug, Clone, PartialEq)]
struct Part {
    text: String,
    /// Quoted parts are taken as they are; others may be joined with their neighbours to the name of a registry.
    quoted: bool,
}

/// A `--set` argument taken apart; where it belongs depends on what earlier layers hold.
#[derive(Debug)]
pub(super) struct Assignment<'a> {
    argument: &'a str,
    parts: Vec<Part>,
    value: Node,
}

impl<'a> Assignment<'a> {
    /// Reads `path=value`, the value as YAML.
    pub(super) fn parse(argument: &'a str) -> Result<Self, SpecError> {
        let (parts, value) = split(argument).map_err(|problem| syntax(argument, problem))?;
        let value = tree::parse(value).map_err(|fault| Source::Set(argument).fault(fault))?;
        Ok(Self { argument, parts, value })
    }

    /// The profile that it selects, if that is what it does.
    pub(super) fn profile(&self) -> Option<&str> {
        match (self.parts.as_slice(), &self.value.data) {
            ([part], Data::Text(name)) if part.text == "profile" => Some(name),
            _ => None,
        }
    }

    /// Where it was written.
    pub(super) fn origin(&self) -> Origin {
        Origin::Set(self.argument.to_owned())
    }

    /// Puts the value to its place.
    pub(super) fn apply(&self, merged: &mut Merged) -> Result<(), SpecError> {
        let place = self.place(merged)?;
        let layer = Layer::check_at(&self.value, place.shape, place.optional, &place.path, &Source::Set(self.argument))?;
        merged.add_at(&place.path, layer);
        Ok(())
    }

    fn place(&self, merged: &Merged) -> Result<Place, SpecError> {
        let mut place = Place { path: KeyPath::default(), shape: schema::SPEC, optional: false };
        let mut rest = self.parts.as_slice();
        while let Some((part, after)) = rest.split_first() {
            let problem = |problem| Err(syntax(self.argument, problem));
            rest = after;
            match place.shape {
                Shape::Section(fields) => {
                    let Some(field) = fields.iter().find(|field| field.name == part.text) else {
                        return Err(unknown_key(&part.text, &schema::names(fields), &place.path, self.origin()));
                    };
                    place = Place { path: place.path.child(field.name), shape: field.shape, optional: field.optional };
                }
                Shape::Registries(inner) => {
                    let (name, after) = self.registry(part, after, *inner, merged.get(&place.path));
                    let key = Key { name, at: Position { line: 1, column: 1 } };
                    check_registry(&key, &place.path, &Source::Set(self.argument))?;
                    place = Place { path: place.path.child(&key.name), shape: *inner, optional: true };
                    rest = after;
                }
                Shape::List(inner) => {
                    let list = place.path.to_string();
                    let Ok(index) = part.text.parse::<usize>() else {
                        return problem(SetProblem::NotAnIndex { part: part.text.clone(), list });
                    };
                    let len = merged.get(&place.path).and_then(Value::as_array).map_or(0, Vec::len);
                    if index > len {
                        return problem(SetProblem::IndexTooLarge { list, len });
                    }
                    place = Place { path: place.path.child(index), shape: *inner, optional: false };
                }
                Shape::Text | Shape::UrlOrFile | Shape::File | Shape::Integer { .. } | Shape::Bool | Shape::Word(_) => {
                    return problem(SetProblem::NoParts { parent: place.path.to_string() });
                }
            }
        }
        Ok(place)
    }

    /// How many of the parts make up the name of a registry, which has dots of its own.
    fn registry<'p>(&self, first: &Part, after: &'p [Part], mirror: Shape, existing: Option<&Value>) -> (String, &'p [Part]) {
        let joinable = if first.quoted { 0 } else { after.iter().take_while(|part| !part.quoted).count() };
        let name = |joined: usize| after[..joined].iter().fold(first.text.clone(), |name, part| name + "." + &part.text);
        let choose = |joined: usize| (name(joined), &after[joined..]);
        // 1. The longest one that an earlier layer has.
        if let Some(joined) = (0..=joinable).rev().find(|joined| existing.is_some_and(|mirrors| mirrors.get(name(*joined)).is_some())) {
            return choose(joined);
        }
        // 2. The longest one that a key of a mirror follows.
        let keys = match mirror {
            Shape::Section(fields) => schema::names(fields),
            _ => Vec::new(),
        };
        let follows = |joined: usize, fits: &dyn Fn(&str) -> bool| after.get(joined).is_some_and(|part| fits(&part.text));
        if let Some(joined) = (0..=joinable).rev().find(|joined| follows(*joined, &|part| keys.contains(&part))) {
            return choose(joined);
        }
        // 3. Everything, when the value is a whole mirror; else a key of a mirror must follow, even if it is misspelt.
        if matches!(self.value.data, Data::Map(_) | Data::Null) || joinable == 0 {
            return choose(joinable);
        }
        let misspelt = (0..joinable).rev().find(|joined| follows(*joined, &|part| nearest(part, &keys).is_some()));
        choose(misspelt.unwrap_or(joinable - 1))
    }
}

struct Place {
    path: KeyPath,
    shape: Shape,
    optional: bool,
}

fn syntax(argument: &str, problem: SetProblem) -> SpecError {
    SpecError::SetSyntax { argument: argument.to_owned(), problem }
}

/// The parts of the path and the text of the value.
fn split(argument: &str) -> Result<(Vec<Part>, &str), SetProblem> {
    let mut parts = Vec::new();
    let mut part = Part { text: String::new(), quoted: false };
    let mut chars = argument.char_indices().peekable();
    while let Some((index, c)) = chars.next() {
        match c {
            '.' | '=' => {
                if part.text.is_empty() {
                    return Err(SetProblem::EmptyPart);
                }
                parts.push(std::mem::replace(&mut part, Part { text: String::new(), quoted: false }));
                if c == '=' {
                    return Ok((parts, &argument[index + 1..]));
                }
            }
            '"' | '\'' if part.text.is_empty() => {
                part.quoted = true;
                loop {
                    match chars.next() {
                        Some((_, end)) if end == c => break,
                        Some((_, inside)) => part.text.push(inside),
                        None => return Err(SetProblem::Quote),
                    }
                }
                if !matches!(chars.peek(), Some((_, '.' | '='))) {
                    return Err(SetProblem::Quote);
                }
            }
            '\\' => {
                // `docker\.io` says where its dots belong, so nothing is joined to it.
                part.quoted = true;
                part.text.extend(chars.next().map(|(_, escaped)| escaped));
            }
            _ => part.text.push(c),
        }
    }
    Err(SetProblem::NoEquals)
}
