//! What `WWW-Authenticate` asks for.

/// How a registry wants its clients to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// The first challenge in these headers that can be met; a bearer's before a basic one.
pub(super) fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let all: Vec<Challenge> = headers.flat_map(parse_one).collect();
    let bearer = all.iter().position(|c| matches!(c, Challenge::Bearer { .. }));
    all.into_iter().nth(bearer.unwrap_or(0))
}

/// `scheme key="value", key=token, scheme …`
fn parse_one(text: &str) -> Vec<Challenge> {
    let mut all: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        if let Some(value) = after.trim_start().strip_prefix('=') {
            let Some((value, after)) = parse_value(value.trim_start()) else { break };
            rest = after;
            if let Some((_, parameters)) = all.last_mut() {
                parameters.push((word.to_ascii_lowercase(), value));
            }
        } else {
            all.push((word.to_ascii_lowercase(), Vec::new()));
            rest = after;
        }
    }
    let known = |(scheme, parameters): (String, Vec<(String, String)>)| {
        let get = |key: &str| parameters.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone()).filter(|v| !v.is_empty());
        match scheme.as_str() {
            "basic" => Some(Challenge::Basic),
            "bearer" => Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") }),
            _ => None,
        }
    };
    all.into_iter().filter_map(known).collect()
}

/// A token or a quoted string, and what follows it.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (i, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((value, &quoted[i + 1..])),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let (service, scope) = (service.map(Into::into), scope.map(Into::into));
        Challenge::Bearer { realm: realm.into(), service, scope }
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(
            parse([hub].into_iter()),
            Some(bearer("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:a/b:pull,push")))
        );
        assert_eq!(parse(["bearer realm = https://x/t , scope=a"].into_iter()), Some(bearer("https://x/t", None, Some("a"))));
        assert_eq!(parse([r#"Basic realm="a \"b\", Bearer""#].into_iter()), Some(Challenge::Basic));
        assert_eq!(parse([r#"Basic realm="r", Bearer realm="t""#].into_iter()), Some(bearer("t", None, None)));
        assert_eq!(parse(["Negotiate, Basic"].into_iter()), Some(Challenge::Basic));
        for nothing in ["", "Bearer", "Digest realm=\"x\"", "Bearer realm=\"unfinished", "Bearer service=x", "=,=", "é=\"", "a=\\"] {
            assert_eq!(parse([nothing].into_iter()), None, "{nothing}");
        }
    }
}
