//! As much VQL as a gateway sends (`docs/velociraptor-api.md` §17): `SELECT … FROM plugin(…) WHERE … LIMIT n`, with the
//! plugins and functions of this server. Whatever else comes is an error in a log line, as on the real server (§6.5).

pub(crate) mod evaluate;
pub(crate) mod lexer;
pub(crate) mod parser;
pub(crate) mod plugins;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// A row with its columns in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row(pub(crate) Vec<(String, Value)>);

impl Row {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(column, _)| column == name).map(|(_, value)| value)
    }

    pub(crate) fn of(columns: &[(&str, Value)]) -> Self {
        Self(columns.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect())
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
