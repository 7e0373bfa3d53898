//! The query of a GET: `?name=value&…`, as RFC 3986 §2 and the server's Go read it.

use std::fmt::Write as _;

/// A query under way.
#[derive(Debug, Default)]
pub(super) struct Query(String);

impl Query {
    /// Adds a parameter, unless it has its zero value, as the JSON mapping would.
    pub(super) fn with(mut self, name: &str, value: &str) -> Query {
        if !value.is_empty() {
            self.add(name, value);
        }
        self
    }

    /// Adds a number unless it is 0.
    pub(super) fn number(self, name: &str, value: u64) -> Query {
        if value == 0 { self } else { self.with(name, &value.to_string()) }
    }

    /// Adds a flag unless it is false.
    pub(super) fn flag(self, name: &str, value: bool) -> Query {
        if value { self.with(name, "true") } else { self }
    }

    /// Adds all values of a repeated field, empty ones too: each has its place.
    pub(super) fn all(mut self, name: &str, values: &[String]) -> Query {
        for value in values {
            self.add(name, value);
        }
        self
    }

    fn add(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        escape(value, &mut self.0);
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Everything but what RFC 3986 §2.3 calls unreserved.
pub(super) fn escape(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}"); // a String takes everything
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zero_values_are_left_out_and_repeated_ones_keep_their_places() {
        let query = Query::default()
            .with("a", "x y")
            .with("b", "")
            .number("n", 0)
            .flag("f", true)
            .all("c", &["C:".into(), String::new(), "ü&=+;%41\n".into()]);
        assert_eq!(query.to_string(), "?a=x%20y&f=true&c=C%3A&c=&c=%C3%BC%26%3D%2B%3B%2541%0A");
        assert_eq!(Query::default().to_string(), "");
    }

    proptest! {
        #[test]
        fn any_value_is_a_part_of_a_uri(value in "\\PC{0,60}") {
            let query = Query::default().all("c", std::slice::from_ref(&value)).to_string();
            let parsed = format!("/x{query}").parse::<hyper::Uri>();
            prop_assert!(parsed.is_ok());
            prop_assert_eq!(query.matches('&').count() + query.matches('=').count(), 1);
        }
    }
}
