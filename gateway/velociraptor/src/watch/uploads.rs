//! The table of a flow's uploads (docs/velociraptor-api.md §5.3).

use std::collections::HashSet;
use std::sync::Arc;

use super::pages::{Pages, is_last};
use crate::server::{CallResult, Server};
use crate::table::{self, Field};

/// One complete upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upload {
    /// Path in the server's file store.
    pub(crate) components: Vec<String>,
    /// Path on the endpoint, below the accessor.
    pub(crate) client_components: Vec<String>,
    pub(crate) accessor: String,
    /// Size when the endpoint opened the file; of a sparse one the logical size.
    pub(crate) file_size: u64,
    /// Bytes that arrived.
    pub(crate) uploaded_size: u64,
    /// It has an index of its holes.
    pub(crate) sparse: bool,
}

/// More rows than any delivery has files.
const MAX_ROWS: u64 = 1_000_000;

/// All complete uploads of a flow.
pub(super) async fn read(server: &Arc<dyn Server>, client_id: &str, flow_id: &str) -> CallResult<Vec<Upload>> {
    let mut pages = Pages::of_type(server, client_id, flow_id, "uploads");
    let mut uploads = Vec::new();
    let mut indexes = HashSet::new();
    let mut row = 0;
    while row < MAX_ROWS {
        let page = pages.page(row).await?;
        row += page.rows.len() as u64;
        parse(&page, &mut uploads, &mut indexes);
        if is_last(&page, row) {
            break;
        }
    }
    for upload in &mut uploads {
        upload.sparse = indexes.contains(&upload.components);
    }
    Ok(uploads)
}

/// The uploads of a page, and the paths of those that have an index, which may be on another page.
pub(crate) fn parse(
    page: &velociraptor_proto::proto::GetTableResponse,
    uploads: &mut Vec<Upload>,
    indexes: &mut HashSet<Vec<String>>,
) {
    let column = |name| table::column(page, name);
    let (kind, components, client_components) = (column("Type"), column("_Components"), column("_client_components"));
    let (accessor, file_size, uploaded_size) = (column("_accessor"), column("file_size"), column("uploaded_size"));
    for row in &page.rows {
        let Some(fields) = table::fields(row) else { continue };
        let Some(mut path) = fields.get(components).and_then(Field::strings) else { continue };
        match fields.get(kind).and_then(Field::text).as_deref() {
            Some("idx") => {
                if let Some(last) = path.last_mut()
                    && fields
                        .get(client_components)
                        .and_then(Field::strings)
                        .is_some_and(|client| client.last() != Some(last))
                    && let Some(stem) = last.strip_suffix(".idx")
                {
                    *last = stem.to_owned();
                }
                indexes.insert(path);
            }
            None | Some("") => {
                let number = |column| fields.get(column).and_then(Field::unsigned).unwrap_or(0);
                uploads.push(Upload {
                    components: path,
                    client_components: fields.get(client_components).and_then(Field::strings).unwrap_or_default(),
                    accessor: fields.get(accessor).and_then(Field::text).unwrap_or_default().into_owned(),
                    file_size: number(file_size),
                    uploaded_size: number(uploaded_size),
                    sparse: false,
                });
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use velociraptor_proto::proto;

    #[test]
    fn an_index_makes_its_file_sparse() {
        let columns =
            ["vfs_path", "Type", "_Components", "file_size", "_accessor", "_client_components", "uploaded_size"];
        let rows = [
            r#"["/r","",["clients","C","uploads","sparse","r"],1048640,"sparse",["r"],128]"#,
            r#"["/r.idx","idx",["clients","C","uploads","sparse","r"],1048640,"sparse",["r"],128]"#,
            r#"["/e","",["clients","C","uploads","auto","e"],0,"auto",["e"]]"#,
        ];
        let page = proto::GetTableResponse {
            columns: columns.map(String::from).to_vec(),
            rows: rows.map(|row| proto::Row { json: row.to_owned(), ..Default::default() }).to_vec(),
            ..Default::default()
        };
        let (mut uploads, mut indexes) = (Vec::new(), HashSet::new());
        parse(&page, &mut uploads, &mut indexes);
        assert_eq!(uploads.len(), 2);
        assert!(indexes.contains(&uploads[0].components) && !indexes.contains(&uploads[1].components));
        assert_eq!((uploads[0].file_size, uploads[0].uploaded_size, uploads[1].uploaded_size), (1_048_640, 128, 0));
        assert_eq!(uploads[0].client_components, ["r"]);
    }

    proptest! {
        #[test]
        fn no_table_makes_it_fail(rows in prop::collection::vec("\\PC{0,40}|\\[(\"idx\"|\"\"|7),\\[(\"a.idx\")?\\],[0-9]{0,25}\\]", 0..10)) {
            let page = proto::GetTableResponse {
                columns: ["Type", "_Components", "uploaded_size"].map(String::from).to_vec(),
                rows: rows.into_iter().map(|json| proto::Row { json, ..Default::default() }).collect(),
                ..Default::default()
            };
            parse(&page, &mut Vec::new(), &mut HashSet::new());
        }
    }
}
