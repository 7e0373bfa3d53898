//! How rows go over the wire: one JSON array since 0.74, display text per cell before (§4.5).

use serde_json::Value;
use velociraptor_proto::proto::Row;

use crate::server::faults::Switches;

/// A page of a table, ready to be encoded.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<String>,
}

/// Encodes a page as the switches say. `number` is the page's number within its table.
pub(crate) fn encode(mut page: Page, number: u64, switches: &Switches) -> (Vec<String>, Vec<Row>) {
    if page.rows.is_empty() {
        // No rows: no columns either (§4.5).
        return (Vec::new(), Vec::new());
    }
    if switches.uneven_columns {
        make_uneven(&mut page, number);
    }
    let rows = page
        .rows
        .into_iter()
        .map(|row| if switches.old_rows { as_cells(&row) } else { Row { json: row, ..Row::default() } })
        .collect();
    (page.columns, rows)
}

/// Columns are discovered page by page, and a row may be shorter than its page's columns.
fn make_uneven(page: &mut Page, number: u64) {
    if number % 2 == 1
        && let Some(place) = page.columns.iter().position(|column| column == "btime")
    {
        page.columns.remove(place);
        for row in &mut page.rows {
            edit(row, |cells| {
                if place < cells.len() {
                    cells.remove(place);
                }
            });
        }
    }
    for row in page.rows.iter_mut().skip(1).step_by(3) {
        edit(row, |cells| {
            cells.pop();
        });
    }
}

fn edit(row: &mut String, change: impl FnOnce(&mut Vec<Value>)) {
    if let Ok(mut cells) = serde_json::from_str::<Vec<Value>>(row) {
        change(&mut cells);
        if let Ok(text) = serde_json::to_string(&cells) {
            *row = text;
        }
    }
}

#[allow(deprecated)] // the old encoding is the point
fn as_cells(row: &str) -> Row {
    let cells: Vec<Value> = serde_json::from_str(row).unwrap_or_default();
    Row { cell: cells.iter().map(cell_text).collect(), json: String::new() }
}

/// The display text of servers before 0.74.
fn cell_text(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let ambiguous = text.parse::<f64>().is_ok()
                || [" ", "{", "[", "true", "false", "inf", "base64:"].iter().any(|start| text.starts_with(start));
            if ambiguous { format!(" {text}") } else { text.clone() }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_cells_mark_strings_that_look_like_something_else_with_a_space() {
        let row = as_cells(r#"["123","true","name"," lead",5,true,{"a":[1]},"base64:x"]"#);
        #[allow(deprecated)]
        let cells = row.cell;
        assert_eq!(cells, [" 123", " true", "name", "  lead", "5", "true", "{\"a\":[1]}", " base64:x"]);
    }
}
