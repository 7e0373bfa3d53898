//! The grammar: statements of the form `SELECT columns FROM plugin(arguments) [WHERE …] [LIMIT n]`.

use serde_json::Value;

use crate::vql::lexer::{Placed, Token, place, tokens};

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    Literal(Value),
    /// A variable or column, and members below it.
    Name(Vec<String>),
    Call {
        function: String,
        arguments: Vec<(String, Expression)>,
    },
    List(Vec<Expression>),
    Compare {
        operator: &'static str,
        left: Box<Expression>,
        right: Box<Expression>,
    },
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
}

/// One column of a result. No expression means `*`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) expression: Option<Expression>,
}

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Select {
    pub(crate) columns: Vec<Column>,
    pub(crate) plugin: String,
    pub(crate) arguments: Vec<(String, Expression)>,
    pub(crate) filter: Option<Expression>,
    pub(crate) limit: Option<usize>,
}

/// Brackets and operators may be nested so deep.
const MAX_DEPTH: usize = 32;

/// Parses all statements of a query. The error is what follows `VQL Error: `.
pub(crate) fn parse(source: &str) -> Result<Vec<Select>, String> {
    let tokens = tokens(source)?;
    let mut parser = Parser { source, tokens, at: 0, depth: 0 };
    let mut statements = Vec::new();
    while parser.peek().is_some() {
        if parser.sign(";") {
            continue;
        }
        statements.push(parser.select()?);
    }
    Ok(statements)
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    fn peek_after(&self) -> Option<&Token> {
        self.tokens.get(self.at + 1).map(|placed| &placed.token)
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T, String> {
        match self.tokens.get(self.at) {
            Some(placed) => {
                let text = self.source.get(placed.start..placed.end).unwrap_or_default();
                let place = place(self.source, placed.start);
                Err(format!("{place}: unexpected token {text:?} (expected {expected})"))
            }
            None => {
                let place = place(self.source, self.source.len());
                Err(format!("{place}: unexpected token \"<EOF>\" (expected {expected})"))
            }
        }
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(text)) if text.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(text)) if *text == sign);
        self.at += usize::from(found);
        found
    }

    fn need_keyword(&mut self, word: &str) -> Result<(), String> {
        if self.keyword(word) { Ok(()) } else { self.unexpected(&format!("\"{word}\"")) }
    }

    fn need_sign(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { self.unexpected(&format!("\"{sign}\"")) }
    }

    fn word(&mut self) -> Result<String, String> {
        match self.peek() {
            Some(Token::Word(text)) if !is_keyword(text) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => self.unexpected("<ident>"),
        }
    }

    fn select(&mut self) -> Result<Select, String> {
        self.need_keyword("SELECT")?;
        let mut columns = Vec::new();
        loop {
            columns.push(self.column()?);
            if !self.sign(",") {
                break;
            }
        }
        self.need_keyword("FROM")?;
        let plugin = self.dotted()?.join(".");
        let arguments = if self.sign("(") { self.arguments()? } else { Vec::new() };
        let filter = if self.keyword("WHERE") { Some(self.expression()?) } else { None };
        let mut limit = None;
        if self.keyword("LIMIT") {
            match self.peek() {
                Some(Token::Number(number)) if *number >= 0.0 => {
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                    let number = *number as usize;
                    limit = Some(number);
                    self.at += 1;
                }
                _ => return self.unexpected("<number>"),
            }
        }
        Ok(Select { columns, plugin, arguments, filter, limit })
    }

    fn column(&mut self) -> Result<Column, String> {
        if self.sign("*") {
            return Ok(Column { name: "*".to_string(), expression: None });
        }
        let start = self.tokens.get(self.at).map_or(0, |placed| placed.start);
        let expression = self.expression()?;
        let end = self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(start, |placed| placed.end);
        let name =
            if self.keyword("AS") { self.word()? } else { self.source.get(start..end).unwrap_or_default().to_string() };
        Ok(Column { name, expression: Some(expression) })
    }

    fn arguments(&mut self) -> Result<Vec<(String, Expression)>, String> {
        let mut arguments = Vec::new();
        while !self.sign(")") {
            let name = self.word()?;
            self.need_sign("=")?;
            arguments.push((name, self.expression()?));
            if !self.sign(",") {
                self.need_sign(")")?;
                break;
            }
        }
        Ok(arguments)
    }

    fn dotted(&mut self) -> Result<Vec<String>, String> {
        let mut parts = vec![self.word()?];
        while self.sign(".") {
            parts.push(self.word()?);
        }
        Ok(parts)
    }

    fn expression(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.unexpected("a simpler expression");
        }
        let mut left = self.conjunction()?;
        while self.keyword("OR") {
            left = Expression::Or(Box::new(left), Box::new(self.conjunction()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Expression, String> {
        let mut left = self.comparison()?;
        while self.keyword("AND") {
            left = Expression::And(Box::new(left), Box::new(self.comparison()?));
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Expression, String> {
        if matches!(self.peek(), Some(Token::Word(text)) if text.eq_ignore_ascii_case("NOT")) {
            self.at += 1;
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return self.unexpected("a simpler expression");
            }
            let inner = self.comparison()?;
            self.depth -= 1;
            return Ok(Expression::Not(Box::new(inner)));
        }
        let left = self.term()?;
        for operator in ["=", "!=", "=~", "<=", ">=", "<", ">"] {
            if self.sign(operator) {
                let right = self.term()?;
                return Ok(Expression::Compare { operator, left: Box::new(left), right: Box::new(right) });
            }
        }
        Ok(left)
    }

    fn term(&mut self) -> Result<Expression, String> {
        let token = self.peek().cloned();
        match token {
            Some(Token::Text(text)) => {
                self.at += 1;
                Ok(Expression::Literal(Value::String(text)))
            }
            Some(Token::Number(number)) => {
                self.at += 1;
                Ok(Expression::Literal(number_value(number)))
            }
            Some(Token::Sign("(")) => {
                self.at += 1;
                let inner = self.expression()?;
                self.need_sign(")")?;
                Ok(inner)
            }
            Some(Token::Sign("[")) => {
                self.at += 1;
                let mut items = Vec::new();
                while !self.sign("]") {
                    items.push(self.expression()?);
                    if !self.sign(",") {
                        self.need_sign("]")?;
                        break;
                    }
                }
                Ok(Expression::List(items))
            }
            Some(Token::Word(word)) if !is_keyword(&word) => {
                let literal = match word.to_uppercase().as_str() {
                    "TRUE" => Some(Value::Bool(true)),
                    "FALSE" => Some(Value::Bool(false)),
                    "NULL" => Some(Value::Null),
                    _ => None,
                };
                if let Some(literal) = literal {
                    self.at += 1;
                    return Ok(Expression::Literal(literal));
                }
                if self.peek_after() == Some(&Token::Sign("(")) {
                    self.at += 2;
                    return Ok(Expression::Call { function: word, arguments: self.arguments()? });
                }
                Ok(Expression::Name(self.dotted()?))
            }
            _ => self.unexpected("<ident>"),
        }
    }
}

fn is_keyword(word: &str) -> bool {
    ["SELECT", "FROM", "WHERE", "LIMIT", "AS", "AND", "OR", "LET", "GROUP", "ORDER"]
        .iter()
        .any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// A whole number where it is one.
pub(crate) fn number_value(number: f64) -> Value {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let whole = number as i64;
    #[allow(clippy::cast_precision_loss, clippy::float_cmp)]
    let is_whole = whole as f64 == number;
    if is_whole { Value::from(whole) } else { Value::from(number) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn statements_of_the_reference_parse() {
        for text in [
            "SELECT client_id, os_info.hostname AS Host, os_info.system AS OS, last_seen_at, labels FROM clients()",
            "SELECT client_info(client_id=ClientId) AS C FROM scope()",
            "SELECT collect_client(client_id=ClientId, artifacts='System.VFS.ListDirectory', \
             spec=dict(`System.VFS.ListDirectory`=dict(Components=Comp, Accessor=Acc, Depth='0', Path=P)), \
             urgent=TRUE, timeout=120) AS Flow FROM scope()",
            "SELECT FlowId, ClientId FROM watch_monitoring(artifact='System.Flow.Completion')",
            "SELECT Name, OrgId FROM orgs() WHERE OrgId != 'root' AND NOT Name =~ 'x' LIMIT 5",
            "SELECT 1 FROM scope(); SELECT * FROM config",
        ] {
            assert!(!parse(text).unwrap().is_empty(), "{text}");
        }
    }

    #[test]
    fn errors_name_the_place_as_the_server_does() {
        let error = parse("SELECT FROM WHERE").unwrap_err();
        assert!(error.starts_with("1:8: unexpected token \"FROM\""), "{error}");
        assert!(parse("SELECT 'x FROM scope()").is_err());
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = format!("SELECT {}1{} FROM scope()", "(".repeat(5000), ")".repeat(5000));
        assert!(parse(&text).is_err());
        let text = format!("SELECT {} 1 FROM scope()", "NOT ".repeat(5000));
        assert!(parse(&text).is_err());
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "\\PC{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_words_parse_or_are_refused(words in proptest::collection::vec(
            prop_oneof![Just("SELECT"), Just("FROM"), Just("x"), Just("("), Just(")"), Just(","), Just("="),
                Just("'s'"), Just("1.5"), Just("LIMIT"), Just("NOT"), Just("["), Just("AS"), Just(".")], 0..40)) {
            let _ = parse(&words.join(" "));
        }
    }
}
