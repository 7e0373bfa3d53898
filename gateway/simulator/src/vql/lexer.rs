//! Tokens of VQL, each with its place for error texts.

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A bare or back-quoted word; keywords are words too.
    Word(String),
    Text(String),
    Number(f64),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// A token with its byte range in the source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) token: Token,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A query longer than this is refused.
pub(crate) const MAX_LENGTH: usize = 64 << 10;

const SIGNS: [&str; 18] =
    ["<=", ">=", "!=", "=~", "=>", "(", ")", "[", "]", "{", "}", ",", ".", "=", "<", ">", "*", ";"];

/// Splits a query. The error is `line:column: text`.
pub(crate) fn tokens(source: &str) -> Result<Vec<Placed>, String> {
    if source.len() > MAX_LENGTH {
        return Err("1:1: query too long".to_string());
    }
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let start = source.len() - rest.len();
        if first.is_whitespace() {
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        if rest.starts_with("--") || rest.starts_with("//") {
            rest = rest.find('\n').and_then(|at| rest.get(at..)).unwrap_or_default();
            continue;
        }
        let (token, length) =
            one(rest).ok_or_else(|| format!("{}: invalid input text {first:?}", place(source, start)))?;
        tokens.push(Placed { token, start, end: start + length });
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(tokens)
}

/// `line:column` of a byte offset.
pub(crate) fn place(source: &str, offset: usize) -> String {
    let before = source.get(..offset).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{line}:{column}")
}

fn one(rest: &str) -> Option<(Token, usize)> {
    let first = rest.chars().next()?;
    match first {
        '\'' | '"' => quoted(rest, first).map(|(text, length)| (Token::Text(text), length)),
        '`' => quoted(rest, first).map(|(text, length)| (Token::Word(text), length)),
        _ if first.is_ascii_digit() || (first == '-' && rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit())) => {
            let length = rest
                .char_indices()
                .skip(1)
                .find(|(_, character)| !character.is_ascii_digit() && *character != '.')
                .map_or(rest.len(), |(at, _)| at);
            let number = rest.get(..length)?.parse().ok()?;
            Some((Token::Number(number), length))
        }
        _ if first.is_alphabetic() || first == '_' => {
            let length = rest
                .char_indices()
                .find(|(_, character)| !character.is_alphanumeric() && *character != '_')
                .map_or(rest.len(), |(at, _)| at);
            Some((Token::Word(rest.get(..length)?.to_string()), length))
        }
        _ => SIGNS.iter().find(|sign| rest.starts_with(**sign)).map(|sign| (Token::Sign(sign), sign.len())),
    }
}

fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == quote {
            return Some((text, at + quote.len_utf8()));
        }
        if character == '\\' && quote != '`' {
            match characters.next()?.1 {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                other => text.push(other),
            }
        } else {
            text.push(character);
        }
    }
    None
}
