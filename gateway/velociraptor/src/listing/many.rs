//! The table of `Custom.Raptorgate.ListMany`: a row with `Stats` closes a directory (docs/velociraptor-api.md §8.1).

use std::collections::HashMap;

use velociraptor_proto::proto;
use vfs::EndpointPath;
use vfs::snapshot::Rows;

use super::{Overflow, Whole};
use crate::row::{self, Columns, Refused};
use crate::table::{self, Field};

/// Assembles the directories of one flow.
pub(crate) struct Many {
    /// Those that were asked for and have not been given out, by their components.
    asked: HashMap<Vec<String>, EndpointPath>,
    next_row: u64,
    open: Option<Open>,
}

struct Open {
    /// The row's `Dir`, as JSON.
    text: String,
    directory: Option<EndpointPath>,
    rows: Rows,
    start: u64,
    count: u64,
}

#[derive(serde::Deserialize)]
struct Stats {
    #[serde(default)]
    start_idx: u64,
    #[serde(default)]
    end_idx: u64,
}

impl Many {
    pub(crate) fn new(directories: &[EndpointPath]) -> Many {
        let key = |path: &EndpointPath| path.components.iter().map(ToString::to_string).collect();
        Many { asked: directories.iter().map(|path| (key(path), path.clone())).collect(), next_row: 0, open: None }
    }

    /// The first row of the table that has not been read.
    pub(crate) fn next_row(&self) -> u64 {
        self.next_row
    }

    /// Directories that have not been given out.
    pub(crate) fn unlisted(&self) -> usize {
        self.asked.len()
    }

    /// Takes the rows that begin at [`Many::next_row`]; the directories that they complete.
    pub(crate) fn listing(&mut self, page: &proto::GetTableResponse) -> Result<Vec<Whole>, Overflow> {
        let columns = Columns::of(page);
        let mut ready = Vec::new();
        for row in &page.rows {
            let row_number = self.next_row;
            self.next_row += 1;
            // A row that cannot be read is missed by the count of its directory.
            let Some(fields) = table::fields(row) else { continue };
            let text = fields.get(columns.directory).and_then(Field::array).unwrap_or("[]");
            if self.open.as_ref().is_none_or(|open| open.text != text) {
                let components: Vec<String> = serde_json::from_str(text).unwrap_or_default();
                self.open = Some(Open {
                    text: text.to_owned(),
                    directory: self.asked.get(&components).cloned(),
                    rows: Rows::new(),
                    start: row_number,
                    count: 0,
                });
            }
            let Some(open) = &mut self.open else { continue };
            if let Some(stats) = fields.get(columns.stats).and_then(Field::object) {
                let counted = serde_json::from_str::<Stats>(stats)
                    .ok()
                    .and_then(|stats| stats.end_idx.checked_sub(stats.start_idx));
                let whole = counted == Some(open.count);
                if let (true, Some(open)) = (whole, self.open.take())
                    && let Some(directory) = open.directory
                {
                    let key: Vec<String> = directory.components.iter().map(ToString::to_string).collect();
                    self.asked.remove(&key);
                    ready.push(Whole { directory, rows: open.rows, first_row: open.start });
                }
                self.open = None;
                continue;
            }
            open.count += 1;
            let Some(directory) = &open.directory else { continue };
            if row::append(&columns, &fields, directory, &mut open.rows).is_err_and(|error| error == Refused::Full) {
                return Err(Overflow);
            }
        }
        Ok(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vfs::EndpointId;

    const COLUMNS: [&str; 5] = ["Dir", "Name", "Size", "Mode", "Stats"];

    fn page(rows: &[&str]) -> proto::GetTableResponse {
        proto::GetTableResponse {
            columns: COLUMNS.iter().map(ToString::to_string).collect(),
            rows: rows.iter().map(|row| proto::Row { json: (*row).to_owned(), ..Default::default() }).collect(),
            ..Default::default()
        }
    }

    fn path(name: &str) -> EndpointPath {
        EndpointPath::accessor_root(EndpointId::root_org("C.1"), "auto").child(name).unwrap()
    }

    #[test]
    fn a_directory_is_whole_when_its_stats_row_agrees_with_its_rows() {
        let mut many = Many::new(&[path("a"), path("b"), path("c"), path("d")]);
        let first = many
            .listing(&page(&[
                r#"[["a"],"x",1,"-rw-r--r--",null]"#,
                r#"[["a"],"y",1,"-rw-r--r--",null]"#,
                r#"[["a"],"",0,"",{"start_idx":0,"end_idx":2}]"#,
                r#"[["b"],"",0,"",{"start_idx":0,"end_idx":0}]"#,
                r#"[["c"],"x",1,"-rw-r--r--",null]"#,
            ]))
            .unwrap();
        let names: Vec<_> =
            first.iter().map(|whole| (whole.directory.name().unwrap(), whole.rows.len(), whole.first_row)).collect();
        assert_eq!(names, [("a", 2, 0), ("b", 0, 3)]);
        assert_eq!((many.next_row(), many.unlisted()), (5, 2));
        let rest = many.listing(&page(&[r#"[["c"],"",0,"",{"start_idx":0,"end_idx":3}]"#])).unwrap();
        assert!(rest.is_empty(), "rows of `c` are missing");
        assert_eq!(many.unlisted(), 2);
    }

    proptest! {
        #[test]
        fn no_table_makes_it_fail(rows in prop::collection::vec("\\PC{0,40}|\\[\\[\"[ab]\"\\],\"x\",1,\"\",(null|\\{\"end_idx\":[0-9]{1,25}\\})\\]", 0..12)) {
            let rows: Vec<_> = rows.iter().map(String::as_str).collect();
            let _ = Many::new(&[path("a"), path("b")]).listing(&page(&rows));
        }
    }
}
