//! Evaluating expressions against a row, the query's environment and this server's functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::identity::users::Permissions;
use crate::server::clients::VERSION;
use crate::server::deployment::Deployment;
use crate::vql::Row;
use crate::vql::parser::{Expression, Select};
use crate::vql::plugins;

/// What a query may see, and where its log lines go.
pub(crate) struct Context {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) principal: String,
    pub(crate) permissions: Permissions,
    pub(crate) environment: BTreeMap<String, String>,
    /// Lines that functions and plugins have logged.
    pub(crate) log: Vec<String>,
}

impl Context {
    /// The value of an expression.
    pub(crate) fn value(&mut self, expression: &Expression, row: &Row) -> Value {
        match expression {
            Expression::Literal(value) => value.clone(),
            Expression::Name(parts) => self.name(parts, row),
            Expression::List(items) => items.iter().map(|item| self.value(item, row)).collect(),
            Expression::Call { function, arguments } => {
                let values = self.arguments(arguments, row);
                plugins::function(self, function, &values)
            }
            Expression::Compare { operator, left, right } => {
                let (left, right) = (self.value(left, row), self.value(right, row));
                Value::Bool(compare(operator, &left, &right))
            }
            Expression::And(left, right) => {
                Value::Bool(is_true(&self.value(left, row)) && is_true(&self.value(right, row)))
            }
            Expression::Or(left, right) => {
                Value::Bool(is_true(&self.value(left, row)) || is_true(&self.value(right, row)))
            }
            Expression::Not(inner) => Value::Bool(!is_true(&self.value(inner, row))),
        }
    }

    /// Named arguments with their values, in order.
    pub(crate) fn arguments(&mut self, arguments: &[(String, Expression)], row: &Row) -> Vec<(String, Value)> {
        arguments.iter().map(|(name, expression)| (name.clone(), self.value(expression, row))).collect()
    }

    /// A row as the statement's columns show it; `None` if its filter drops it.
    pub(crate) fn project(&mut self, select: &Select, row: &Row) -> Option<Row> {
        if let Some(filter) = &select.filter
            && !is_true(&self.value(filter, row))
        {
            return None;
        }
        let mut columns = Vec::new();
        for column in &select.columns {
            match &column.expression {
                None => columns.extend(row.0.iter().cloned()),
                Some(expression) => columns.push((column.name.clone(), self.value(expression, row))),
            }
        }
        Some(Row(columns))
    }

    fn name(&self, parts: &[String], row: &Row) -> Value {
        let Some((first, members)) = parts.split_first() else {
            return Value::Null;
        };
        let found = match (row.get(first), self.environment.get(first)) {
            (Some(value), _) => value.clone(),
            (None, Some(text)) => Value::String(text.clone()),
            (None, None) if first == "config" => json!({"version": {"name": "velociraptor", "version": VERSION}}),
            (None, None) => Value::Null,
        };
        members.iter().fold(found, |value, member| value.get(member).cloned().unwrap_or(Value::Null))
    }
}

/// VQL's idea of truth.
pub(crate) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

fn compare(operator: &str, left: &Value, right: &Value) -> bool {
    let order = match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.partial_cmp(&right),
        _ => match (left.as_str(), right.as_str()) {
            (Some(left), Some(right)) => Some(left.cmp(right)),
            _ => None,
        },
    };
    match operator {
        "=" => left == right || order.is_some_and(std::cmp::Ordering::is_eq),
        "!=" => left != right && !order.is_some_and(std::cmp::Ordering::is_eq),
        "<" => order.is_some_and(std::cmp::Ordering::is_lt),
        ">" => order.is_some_and(std::cmp::Ordering::is_gt),
        "<=" => order.is_some_and(std::cmp::Ordering::is_le),
        ">=" => order.is_some_and(std::cmp::Ordering::is_ge),
        // A pattern without special characters; that is all a gateway sends.
        "=~" => match (left.as_str(), right.as_str()) {
            (Some(text), Some(pattern)) => text.to_lowercase().contains(&pattern.to_lowercase()),
            _ => false,
        },
        _ => false,
    }
}
