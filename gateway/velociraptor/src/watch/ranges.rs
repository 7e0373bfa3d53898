//! Of which state of a file ranges were read: its size and time before the first read and after the last (docs/velociraptor-api.md §8.1).

use vfs::backend::{Complaint, FileState};

use super::complaint;
use super::pages::Pages;
use super::watcher::Watcher;
use crate::artifacts;
use crate::flow::FlowState;
use crate::row::time;
use crate::server::CallResult;
use crate::table::{self, Field};

const CHANGED: &str = "the file changed while it was read";
const OLD: &str = "the server has an old edition of our artifact for ranges: run `raptorgate install-artifacts` again";

/// The one state that the file had all the time.
pub(super) async fn file_state(watcher: &Watcher, state: &FlowState) -> CallResult<Result<FileState, Complaint>> {
    let (before, after) = tokio::try_join!(
        stat(watcher, state, artifacts::READ_RANGES_STAT),
        stat(watcher, state, artifacts::READ_RANGES_AFTER)
    )?;
    Ok(match (before, after) {
        (Some(before), Some(after)) if before == after => Ok(before),
        (Some(_), Some(_)) => Err(complaint::silence(CHANGED)),
        (Some(_), None) => Err(complaint::silence(OLD)),
        (None, _) => Err(complaint::silence("the endpoint did not find the file")),
    })
}

async fn stat(watcher: &Watcher, state: &FlowState, source: &str) -> CallResult<Option<FileState>> {
    if !state.has_source(source) {
        return Ok(None);
    }
    let mut pages = Pages::of_source(&watcher.shared.server, &watcher.job.endpoint.client_id, &watcher.job.id, source);
    Ok(parse(&pages.page(0).await?))
}

fn parse(page: &velociraptor_proto::proto::GetTableResponse) -> Option<FileState> {
    let (size, modified) = (table::column(page, "Size"), table::column(page, "Mtime"));
    let fields = table::fields(page.rows.first()?)?;
    let modified = fields.get(modified).and_then(Field::text);
    Some(FileState {
        size: fields.get(size).and_then(Field::unsigned)?,
        modified: modified.and_then(|text| time::parse(&text)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use velociraptor_proto::proto;

    fn page(json: String) -> proto::GetTableResponse {
        proto::GetTableResponse {
            columns: ["OSPath", "Size", "Mtime"].map(String::from).to_vec(),
            rows: vec![proto::Row { json, ..Default::default() }],
            ..Default::default()
        }
    }

    #[test]
    fn size_and_time_are_read_exactly() {
        let state = parse(&page(r#"["/f",10737418240,"2026-11-24T13:21:57.182183236Z"]"#.into())).unwrap();
        assert_eq!(state.size, 10 << 30);
        assert_eq!(state.modified.unwrap().nanos, 182_183_236);
        assert!(parse(&page(r#"["/f",null,null]"#.into())).is_none(), "no size: no state");
    }

    proptest! {
        #[test]
        fn no_row_makes_it_fail(json in "\\PC{0,60}|\\[\"f\",[0-9.e-]{0,30},(\"\\PC{0,30}\"|null)\\]") {
            parse(&page(json));
        }
    }
}
