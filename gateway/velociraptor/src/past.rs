//! What the server remembers of the flows of an endpoint and of their uploads, from whomever (docs/velociraptor-api.md §5.3, §6.6).

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use serde::Deserialize;
use velociraptor_proto::proto;
use vfs::backend::{ContentLocation, FetchedContent, Job, JobPage, JobSummary, Upload};
use vfs::{EndpointId, Error, Result, Timestamp};

use crate::flow;
use crate::server::{CallError, CallResult, Server};
use crate::table::{self, Field};
use crate::watch::{Pages, Shared, is_last, uploads as rows};

/// The part of a flow's context that the list does not have as columns of its own.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    total_uploaded_files: u64,
    total_uploaded_bytes: u64,
    status: String,
}

/// Times that the list is read from its beginning because flows were deleted under the reader.
const TRIES: u32 = 3;

/// A list that is being read.
struct List {
    pages: Pages,
    next: u64,
    /// Flows when reading began, and how often it began again.
    total: Option<u64>,
    again: u32,
}

/// The flows of an endpoint.
pub(crate) fn jobs(shared: Arc<Shared>, endpoint: &EndpointId) -> BoxStream<'static, Result<JobPage>> {
    let pages = Pages::of_flows(&shared.server, &endpoint.client_id);
    let list = List { pages, next: 0, total: None, again: 0 };
    let read = move |list: Option<List>| {
        let shared = shared.clone();
        async move {
            let mut list = list?;
            match list.read(&shared).await {
                Ok((page, more)) => Some((Ok(page), more.then_some(list))),
                Err(error) => Some((Err(error.into()), None)),
            }
        }
    };
    unfold(Some(list), read).boxed()
}

impl List {
    /// The next page, and whether there are more.
    async fn read(&mut self, shared: &Shared) -> CallResult<(JobPage, bool)> {
        let page = self.pages.page(self.next).await?;
        if table::column(&page, "FlowId").is_none() {
            // Servers before 0.7.0 answer with something else (§2.1): no rows are no proof there.
            return Err(CallError::Failed(
                "it does not tell the flows of an endpoint as servers from 0.7 on do".into(),
            ));
        }
        let total = u64::try_from(page.total_rows).unwrap_or(0);
        let before = *self.total.get_or_insert(total);
        self.next += page.rows.len() as u64;
        let jobs = page.rows.iter().map(|row| summary(shared, &page, row)).collect::<CallResult<Vec<_>>>()?;
        if total < before && self.again < TRIES {
            // Rows moved up over the page's border: one may have slipped through.
            self.again += 1;
            self.total = Some(total);
            self.next = 0;
            return Ok((JobPage { jobs, total }, true));
        }
        let more = !is_last(&page, self.next);
        Ok((JobPage { jobs, total }, more))
    }
}

fn summary(shared: &Shared, page: &proto::GetTableResponse, row: &proto::Row) -> CallResult<JobSummary> {
    let odd = || CallError::Failed("a row of its list of flows is not understood".into());
    let fields = table::fields(row).ok_or_else(odd)?;
    let field = |name| fields.get(table::column(page, name));
    let text = |name| field(name).and_then(Field::words).map(|text| text.into_owned());
    let ours = |time| shared.server_clock.ours(time);
    let time = |name| {
        let micros = field(name).and_then(Field::unsigned).filter(|micros| *micros != 0)?;
        Some(ours(Timestamp::from_micros(micros)))
    };
    let id = text("FlowId").ok_or_else(odd)?;
    let context = field("_Flow").and_then(Field::object).ok_or_else(odd)?;
    let context: Context = serde_json::from_str(context).map_err(|_| odd())?;
    let started = time("Created").or_else(|| flow::started(&id).map(ours)).unwrap_or_default();
    let state = text("State").unwrap_or_default();
    let ended =
        matches!(state.as_str(), "FINISHED" | "ERROR").then(|| time("Last Active").unwrap_or(started).max(started));
    Ok(JobSummary {
        named: field("Artifacts").and_then(Field::strings).unwrap_or_default(),
        by: text("Creator").unwrap_or_default().into(),
        started,
        ended,
        failed: (state == "ERROR").then(|| context.status.trim().into()),
        files: context.total_uploaded_files,
        bytes: context.total_uploaded_bytes,
        id: id.into(),
    })
}

/// A table of uploads that is being read.
struct Table {
    pages: Pages,
    next: u64,
    /// Uploads that may have an index further on.
    waiting: Vec<rows::Upload>,
    indexes: HashSet<Vec<String>>,
}

/// The complete uploads of a flow.
pub(crate) fn uploads(server: Arc<dyn Server>, job: &Job) -> BoxStream<'static, Result<Vec<Upload>>> {
    let pages = Pages::of_type(&server, &job.endpoint.client_id, &job.id, "uploads");
    let table = Table { pages, next: 0, waiting: Vec::new(), indexes: HashSet::new() };
    let org = job.endpoint.org.clone();
    let read = move |table: Option<Table>| {
        let org = org.clone();
        async move {
            let mut table = table?;
            match table.read().await {
                Ok((uploads, more)) => {
                    let uploads = uploads.into_iter().map(|upload| of_row(&org, upload)).collect();
                    Some((Ok(uploads), more.then_some(table)))
                }
                Err(error) => Some((Err(Error::from(error)), None)),
            }
        }
    };
    unfold(Some(table), read).boxed()
}

impl Table {
    /// The uploads that the next page makes certain, and whether there is more.
    async fn read(&mut self) -> CallResult<(Vec<rows::Upload>, bool)> {
        let page = self.pages.page(self.next).await?;
        self.next += page.rows.len() as u64;
        let mut read = Vec::new();
        rows::parse(&page, &mut read, &mut self.indexes);
        // Only what is stored in another size than it has can be stored with holes; all others are what they seem.
        let (certain, doubtful): (Vec<_>, Vec<_>) =
            read.into_iter().partition(|upload| upload.file_size == upload.uploaded_size);
        self.waiting.extend(doubtful);
        if !is_last(&page, self.next) {
            return Ok((certain, true));
        }
        let mut uploads = certain;
        for upload in self.waiting.drain(..) {
            let sparse = self.indexes.contains(&upload.components);
            uploads.push(rows::Upload { sparse, ..upload });
        }
        Ok((uploads, false))
    }
}

fn of_row(org: &Arc<str>, upload: rows::Upload) -> Upload {
    let size = if upload.sparse { upload.file_size } else { upload.uploaded_size };
    Upload {
        accessor: upload.accessor,
        components: upload.client_components,
        opened_size: upload.file_size,
        content: FetchedContent {
            size,
            location: ContentLocation { org: org.clone(), components: upload.components },
            sparse: upload.sparse,
            sha256_endpoint: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::fake::{CLIENT, FLOWS, FakeServer};
    use proptest::prelude::*;
    use vfs::SystemClock;

    const COLUMNS: [&str; 7] = ["State", "FlowId", "Artifacts", "Created", "Last Active", "Creator", "_Flow"];

    fn page(columns: &[&str], rows: impl IntoIterator<Item = String>) -> proto::GetTableResponse {
        let rows = rows.into_iter().map(|json| proto::Row { json, ..Default::default() }).collect();
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        proto::GetTableResponse { columns, rows, ..Default::default() }
    }

    fn shared(server: &Arc<FakeServer>) -> Arc<Shared> {
        Arc::new(Shared::new(server.clone(), Arc::new(SystemClock), "gateway".into()))
    }

    async fn read(server: &Arc<FakeServer>) -> Result<Vec<JobSummary>> {
        let pages: Vec<_> = jobs(shared(server), &EndpointId::root_org(CLIENT)).collect().await;
        let mut all = Vec::new();
        for page in pages {
            all.extend(page?.jobs);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn a_flow_is_told_as_the_server_has_it() {
        let server = Arc::new(FakeServer::new());
        let rows = [
            r#"["ERROR","F.3",["A","B"],1795800401176229,1795800402082758,"admin",{"total_uploaded_files":4,"total_uploaded_bytes":9,"status":"Upload bytes"}]"#,
            r#"["IN_PROGRESS","F.2",["A"],1795800401051872,1795800401254188,"admin",{"total_uploaded_files":1}]"#,
            r#"["FINISHED","F.1",["A"],1795800375720058,0,"admin",{}]"#,
        ];
        server.set_table(FLOWS, FLOWS, page(&COLUMNS, rows.map(String::from)));
        let jobs = read(&server).await.unwrap();
        assert_eq!(jobs.iter().map(|job| &*job.id).collect::<Vec<_>>(), ["F.3", "F.2", "F.1"]);
        assert_eq!((jobs[0].files, jobs[0].bytes, jobs[0].failed.as_deref()), (4, 9, Some("Upload bytes")));
        assert_eq!(jobs[0].ended, Some(Timestamp::from_micros(1_795_800_402_082_758)));
        assert_eq!((jobs[1].ended, jobs[1].files), (None, 1));
        assert_eq!(jobs[2].ended, Some(jobs[2].started), "an end before the beginning is none");
    }

    #[tokio::test]
    async fn what_is_not_understood_is_an_error_and_never_no_flows() {
        let server = Arc::new(FakeServer::new());
        assert!(read(&server).await.is_err(), "an answer without columns");
        server.set_table(FLOWS, FLOWS, page(&COLUMNS, []));
        assert_eq!(read(&server).await.unwrap(), []);
        server.set_table(FLOWS, FLOWS, page(&COLUMNS, ["nonsense".to_owned()]));
        assert!(read(&server).await.is_err());
        server.set_table(FLOWS, FLOWS, page(&COLUMNS, [r#"["FINISHED","F.1",["A"],1,1,"x",null]"#.to_owned()]));
        assert!(read(&server).await.is_err(), "whether it uploaded anything is not known");
    }

    #[tokio::test]
    async fn a_long_list_comes_whole_in_pages_that_fit() {
        let server = Arc::new(FakeServer::new());
        let rows = (0..1_003).map(|index| format!(r#"["FINISHED","F.{index}",["A"],1,1,"x",{{}}]"#));
        server.set_table(FLOWS, FLOWS, page(&COLUMNS, rows));
        server.most_rows.store(100, std::sync::atomic::Ordering::Relaxed);
        let jobs = read(&server).await.unwrap();
        assert_eq!(jobs.len(), 1_003);
        assert_eq!(&*jobs[1_002].id, "F.1002");
        let mut pages = super::jobs(shared(&server), &EndpointId::root_org(CLIENT));
        let calls = server.calls("flows");
        assert_eq!(pages.next().await.unwrap().unwrap().total, 1_003);
        drop(pages);
        tokio::task::yield_now().await;
        assert!(server.calls("flows") <= calls + 3, "who stops reading asks for no more");
    }

    #[tokio::test]
    async fn an_index_on_another_page_makes_its_file_sparse_all_the_same() {
        let server = Arc::new(FakeServer::new());
        let columns = ["Type", "_Components", "file_size", "_accessor", "_client_components", "uploaded_size"];
        let mut rows = vec![r#"["",["s","holes"],1048640,"ntfs",["holes"],128]"#.to_owned()];
        rows.push(r#"["",["s","short"],10,"ntfs",["short"],7]"#.to_owned());
        rows.extend((0..9).map(|index| format!(r#"["",["s","{index}"],5,"auto",["{index}"],5]"#)));
        rows.push(r#"["idx",["s","holes"],1048640,"ntfs",["holes"],128]"#.to_owned());
        server.set_table("F.1", "uploads", page(&columns, rows));
        server.most_rows.store(2, std::sync::atomic::Ordering::Relaxed);
        let job = Job { endpoint: EndpointId::root_org(CLIENT), id: "F.1".into() };
        let pages: Vec<_> = uploads(server, &job).collect().await;
        let all: Vec<Upload> = pages.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(all.len(), 11);
        let one = |name: &str| all.iter().find(|upload| upload.components == [name]).unwrap();
        assert_eq!((one("holes").content.size, one("holes").content.sparse), (1_048_640, true));
        assert_eq!((one("short").content.size, one("short").content.sparse, one("short").opened_size), (7, false, 10));
        assert_eq!((one("3").content.size, one("3").accessor.as_str()), (5, "auto"));
    }

    proptest! {
        #[test]
        fn no_list_makes_it_fail(rows in prop::collection::vec("\\PC{0,40}|\\[\"(FINISHED|ERROR)?\",\"F[.A-Z0-9]{0,20}\",\\[(\"A\")?\\],[0-9e]{0,25},-?[0-9]{0,25},(\"\"|7),\\{(\"total_uploaded_files\":[0-9]{1,25})?\\}\\]", 0..6)) {
            let page = page(&COLUMNS, rows);
            let shared = shared(&Arc::new(FakeServer::new()));
            for row in &page.rows {
                let _ = summary(&shared, &page, row);
            }
        }
    }
}
