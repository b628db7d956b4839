//! From the text of an expression to its tree, by recursive descent.

use super::{Expression, PREDICATES, Pattern, Predicate, SelectionProblem, Test};
use crate::journal::OutcomeKind;

/// The stack is finite, and an argument may be long.
const DEPTH: usize = 100;

/// A column and what is wrong there.
type Failed = (usize, SelectionProblem);

/// A piece of the text and its column, in characters from 1. The last one is empty and stands behind the end.
#[derive(Debug, Clone, PartialEq)]
struct Token<'a> {
    column: usize,
    text: &'a str,
}

pub(super) fn expression(text: &str) -> Result<Expression, Failed> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0 };
    let root = parser.or()?;
    match parser.peek() {
        Token { text: "", .. } => Ok(root),
        token => Err(expected("`and`, `or` or the end", token)),
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, Failed> {
    let mut tokens = Vec::new();
    let mut word: Option<(usize, usize)> = None;
    let mut column = 0;
    for (at, c) in text.char_indices() {
        column += 1;
        let operator = match c {
            '&' => Some("and"),
            '|' => Some("or"),
            '!' => Some("not"),
            _ => None,
        };
        if let Some(word) = operator {
            return Err((column, SelectionProblem::Operator { found: c, word }));
        }
        let alone = matches!(c, '(' | ')' | ',');
        if !alone && !c.is_whitespace() {
            word.get_or_insert((at, column));
            continue;
        }
        tokens.extend(word.take().map(|(start, column)| Token { column, text: &text[start..at] }));
        if alone {
            tokens.push(Token { column, text: &text[at..at + c.len_utf8()] });
        }
    }
    tokens.extend(word.map(|(start, column)| Token { column, text: &text[start..] }));
    tokens.push(Token { column: column + 1, text: "" });
    Ok(tokens)
}

fn expected(what: impl Into<String>, token: &Token<'_>) -> Failed {
    let found = (!token.text.is_empty()).then(|| token.text.to_owned());
    (token.column, SelectionProblem::Expected { expected: what.into(), found })
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &Token<'a> {
        // The last token is never consumed.
        &self.tokens[self.next]
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek().clone();
        if !token.text.is_empty() {
            self.next += 1;
        }
        token
    }

    fn accept(&mut self, words: &[&str]) -> bool {
        let found = words.contains(&self.peek().text);
        if found {
            self.next += 1;
        }
        found
    }

    fn or(&mut self) -> Result<Expression, Failed> {
        let mut parts = vec![self.and()?];
        while self.accept(&["or", ","]) {
            parts.push(self.and()?);
        }
        Ok(one_or(parts, Expression::Or))
    }

    fn and(&mut self) -> Result<Expression, Failed> {
        let mut parts = vec![self.part()?];
        while self.accept(&["and"]) {
            parts.push(self.part()?);
        }
        Ok(one_or(parts, Expression::And))
    }

    fn part(&mut self) -> Result<Expression, Failed> {
        let token = self.take();
        self.depth += 1;
        if self.depth > DEPTH {
            return Err((token.column, SelectionProblem::Depth { limit: DEPTH }));
        }
        let part = match token.text {
            "not" => Expression::Not(Box::new(self.part()?)),
            "(" => {
                let inner = self.or()?;
                if !self.accept(&[")"]) {
                    return Err(expected(format!("`)` for the `(` of column {}", token.column), self.peek()));
                }
                inner
            }
            "" | ")" | "," | "and" | "or" => return Err(expected("an id, a predicate, `not` or `(`", &token)),
            _ => Expression::Is(predicate(&token)?),
        };
        self.depth -= 1;
        Ok(part)
    }
}

fn one_or(mut parts: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            many(parts)
        }
    }
}

fn predicate(token: &Token<'_>) -> Result<Predicate, Failed> {
    let column = token.column;
    let Some((name, value)) = token.text.split_once(':') else {
        return Ok(Predicate { column, test: Test::Id(Pattern::new(token.text)) });
    };
    if !PREDICATES.contains(&name) {
        let known = PREDICATES.map(str::to_owned).to_vec();
        return Err((column, SelectionProblem::UnknownPredicate { name: name.to_owned(), known }));
    }
    let at = column + name.chars().count() + 1;
    if value.is_empty() {
        let found = Some(token.text.to_owned());
        return Err((at, SelectionProblem::Expected { expected: format!("a value right after `{name}:`"), found }));
    }
    let value = value.to_owned();
    let test = match name {
        "kind" => {
            let kind = OutcomeKind::ALL.into_iter().find(|kind| kind.word() == value);
            let known = OutcomeKind::ALL.map(|kind| kind.word().to_owned()).to_vec();
            Test::Kind(kind.ok_or_else(|| (at, SelectionProblem::UnknownValue { predicate: name.to_owned(), value, known }))?)
        }
        "section" => Test::Section(value),
        "needs" => Test::Needs(value),
        "capability" => Test::Capability(value),
        _ => Test::Group(value),
    };
    Ok(Predicate { column: at, test })
}
