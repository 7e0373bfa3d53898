//! Reading tables page by page: as large as the answers' limit allows (docs/velociraptor-api.md §1.4, §4.5).

use std::sync::Arc;

use tokio::task::JoinHandle;
use velociraptor_proto::proto;

use crate::server::{CallError, CallResult, Server};

/// Rows per page: a page of listing rows takes some 1.6 MB and 0.3 s of the server.
const PAGE_ROWS: u64 = 5_000;
/// Flows per page: some 2 kB each, and 20 where one failed with a trace of the endpoint's stack.
const PAGE_FLOWS: u64 = 250;

/// Which call gives the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// A table of a flow.
    Flow,
    /// A directory of the server's VFS.
    Directory,
    /// The flows of a client.
    Flows,
}

/// The pages of one table. Reads one page ahead while it is known that there is more.
pub(crate) struct Pages {
    server: Arc<dyn Server>,
    table: Table,
    request: Box<proto::GetTableRequest>,
    page_rows: u64,
    ahead: Option<(u64, u64, JoinHandle<CallResult<proto::GetTableResponse>>)>,
}

impl Pages {
    pub(crate) fn new(server: Arc<dyn Server>, table: Table, request: proto::GetTableRequest) -> Pages {
        let page_rows = if table == Table::Flows { PAGE_FLOWS } else { PAGE_ROWS };
        Pages { server, table, request: Box::new(request), page_rows, ahead: None }
    }

    /// The pages of the list of a client's flows.
    pub(crate) fn of_flows(server: &Arc<dyn Server>, client_id: &str) -> Pages {
        let request = proto::GetTableRequest { client_id: client_id.to_owned(), ..Default::default() };
        Pages::new(server.clone(), Table::Flows, request)
    }

    /// The pages of one source of a flow.
    pub(crate) fn of_source(server: &Arc<dyn Server>, client_id: &str, flow_id: &str, source: &str) -> Pages {
        let request = proto::GetTableRequest {
            client_id: client_id.to_owned(),
            flow_id: flow_id.to_owned(),
            artifact: source.to_owned(),
            ..Default::default()
        };
        Pages::new(server.clone(), Table::Flow, request)
    }

    /// The pages of a table that every flow has: `uploads`, `log`.
    pub(crate) fn of_type(server: &Arc<dyn Server>, client_id: &str, flow_id: &str, kind: &str) -> Pages {
        let request = proto::GetTableRequest {
            client_id: client_id.to_owned(),
            flow_id: flow_id.to_owned(),
            r#type: kind.to_owned(),
            ..Default::default()
        };
        Pages::new(server.clone(), Table::Flow, request)
    }

    /// The page that begins at `row`: what there is of it. Empty at the end of the table, and if there is none.
    pub(crate) async fn page(&mut self, row: u64) -> CallResult<proto::GetTableResponse> {
        let page = match self.ahead.take() {
            Some((start, rows, task)) if start == row => match task.await {
                Ok(Ok(page)) => Ok((page, rows)),
                Ok(Err(CallError::TooLong)) => self.ask(row).await,
                Ok(Err(error)) => Err(error),
                Err(_) => self.ask(row).await,
            },
            _ => self.ask(row).await,
        };
        let (page, asked) = page?;
        let got = page.rows.len() as u64;
        let total = u64::try_from(page.total_rows).unwrap_or(0);
        // Of the list of flows more than one page is seldom read.
        if got == asked && row + got < total && (self.table != Table::Flows || row > 0) {
            let mut request = proto::GetTableRequest::clone(&self.request);
            request.start_row = row + got;
            request.rows = self.page_rows;
            let task = tokio::spawn(call(self.server.clone(), self.table, request));
            self.ahead = Some((row + got, self.page_rows, task));
        }
        Ok(page)
    }

    async fn ask(&mut self, row: u64) -> CallResult<(proto::GetTableResponse, u64)> {
        loop {
            let mut request = proto::GetTableRequest::clone(&self.request);
            request.start_row = row;
            request.rows = self.page_rows;
            match call(self.server.clone(), self.table, request).await {
                Err(CallError::TooLong) if self.page_rows > 1 => {
                    self.page_rows /= 2;
                    tracing::debug!(rows = self.page_rows, "the page was too long: smaller ones from here on");
                }
                answer => return answer.map(|page| (page, self.page_rows)),
            }
        }
    }
}

/// Whether a page that ends before row `next` is the last one of its table.
pub(crate) fn is_last(page: &proto::GetTableResponse, next: u64) -> bool {
    // A negative total is a table without rows, or one without an index: then only an empty page is its end.
    page.rows.is_empty() || u64::try_from(page.total_rows).is_ok_and(|total| next >= total)
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Some((_, _, task)) = &self.ahead {
            task.abort();
        }
    }
}

async fn call(
    server: Arc<dyn Server>,
    table: Table,
    request: proto::GetTableRequest,
) -> CallResult<proto::GetTableResponse> {
    match table {
        Table::Flow => server.table(request).await,
        Table::Directory => server.directory(request).await,
        Table::Flows => server.flows(request).await,
    }
}
