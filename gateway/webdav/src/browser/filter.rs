//! Which names a filter takes: a part of the name, or a pattern with `*`, `?` and `[…]` for the whole of it; case never matters.

/// A filter.
pub(crate) struct Filter {
    kind: Kind,
}

enum Kind {
    All,
    /// A part, in lower case.
    Part {
        text: String,
        ascii: bool,
    },
    /// A pattern, in lower case.
    Pattern(Vec<Token>),
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    One(char),
    Any,
    Run,
    Class { not: bool, ranges: Vec<(char, char)> },
}

impl Filter {
    /// From what somebody typed.
    pub(crate) fn new(text: &str) -> Filter {
        let lower = text.to_lowercase();
        let kind = if lower.is_empty() {
            Kind::All
        } else if lower.contains(['*', '?', '[']) {
            Kind::Pattern(tokens(&lower))
        } else {
            Kind::Part { ascii: lower.is_ascii(), text: lower }
        };
        Filter { kind }
    }

    /// Whether a name passes.
    pub(crate) fn takes(&self, name: &str) -> bool {
        match &self.kind {
            Kind::All => true,
            Kind::Part { text, ascii: true } => contains_ascii(name.as_bytes(), text.as_bytes()),
            Kind::Part { text, ascii: false } => name.to_lowercase().contains(text.as_str()),
            Kind::Pattern(tokens) => {
                let name: Vec<char> = name.to_lowercase().chars().collect();
                matches(tokens, &name)
            }
        }
    }
}

/// Without making a lower-case copy of every name of a large directory.
fn contains_ascii(name: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return true };
    name.windows(part.len()).any(|window| window[0].to_ascii_lowercase() == *first && window.eq_ignore_ascii_case(part))
}

fn tokens(text: &str) -> Vec<Token> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(character) = characters.get(at) {
        at += 1;
        match character {
            '*' if tokens.last() == Some(&Token::Run) => {}
            '*' => tokens.push(Token::Run),
            '?' => tokens.push(Token::Any),
            '[' => match class(&characters[at..]) {
                Some((token, length)) => {
                    tokens.push(token);
                    at += length;
                }
                // Without its end it is a bracket like any other character.
                None => tokens.push(Token::One('[')),
            },
            other => tokens.push(Token::One(*other)),
        }
    }
    tokens
}

/// A class after its `[`, and how many characters it takes.
fn class(rest: &[char]) -> Option<(Token, usize)> {
    let not = matches!(rest.first(), Some('!' | '^'));
    let start = usize::from(not);
    // A `]` right at the beginning is a member.
    let end = rest.iter().skip(start + 1).position(|character| *character == ']')? + start + 1;
    let mut members = &rest[start..end];
    let mut ranges = Vec::new();
    while let Some((first, tail)) = members.split_first() {
        match tail {
            ['-', last, after @ ..] => {
                ranges.push((*first, *last));
                members = after;
            }
            _ => {
                ranges.push((*first, *first));
                members = tail;
            }
        }
    }
    Some((Token::Class { not, ranges }, end + 1))
}

/// With one place to go back to, so that no pattern takes longer than the product of the lengths.
fn matches(tokens: &[Token], name: &[char]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < name.len() {
        match tokens.get(token) {
            Some(Token::Run) => {
                back = Some((token, at));
                token += 1;
                continue;
            }
            Some(one) if takes(one, name[at]) => {
                token += 1;
                at += 1;
                continue;
            }
            _ => {}
        }
        let Some((run, from)) = back else { return false };
        back = Some((run, from + 1));
        token = run + 1;
        at = from + 1;
    }
    tokens[token.min(tokens.len())..].iter().all(|token| *token == Token::Run)
}

fn takes(token: &Token, character: char) -> bool {
    match token {
        Token::One(one) => *one == character,
        Token::Any => true,
        Token::Run => false,
        Token::Class { not, ranges } => {
            ranges.iter().any(|(first, last)| (*first..=*last).contains(&character)) != *not
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_and_patterns_take_what_people_expect() {
        for (filter, name, taken) in [
            ("", "anything", true),
            ("exe", "EVIL.EXE.txt", true),
            ("Grüße", "grüße aus", true),
            ("*.exe", "a.EXE", true),
            ("*.exe", "a.exe.txt", false),
            ("?.txt", "a.txt", true),
            ("?.txt", "ab.txt", false),
            ("[a-c]*", "beta", true),
            ("[!a-c]*", "beta", false),
            ("[]]x", "]x", true),
            ("a[b", "a[b", true),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c", "xxaxxbxxcxx", false),
            ("*", "", true),
        ] {
            assert_eq!(Filter::new(filter).takes(name), taken, "{filter} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_taken_by_itself_with_anything_around(name in "[a-z0-9 .]{0,12}", before in "\\PC{0,5}", after in "\\PC{0,5}") {
            let around = Filter::new(&format!("*{name}*"));
            let long = format!("{before}{name}{after}");
            prop_assert!(around.takes(&long));
            prop_assert!(Filter::new(&name).takes(&long));
        }

        #[test]
        fn no_pattern_panics_or_takes_long(pattern in "[*?a\\[\\]!^-]{0,40}", name in "[a-]{0,200}") {
            let _ = Filter::new(&pattern).takes(&name);
        }
    }
}
