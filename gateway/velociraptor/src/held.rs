//! Listings that the server already holds, from whomever (docs/velociraptor-api.md §4.4, §4.5, §4.8).

use std::sync::Arc;

use serde::Deserialize;
use velociraptor_proto::proto;
use vfs::EndpointPath;
use vfs::Timestamp;
use vfs::backend::{ContentLocation, Fetched, FetchedContent, Listed, Observation};
use vfs::snapshot::Rows;

use crate::flow::{self, Task};
use crate::row::{self, Columns, Refused};
use crate::server::{CallError, CallResult};
use crate::table::{self, Field};
use crate::watch::{Pages, Shared, Table};

/// The download state of a file (§4.5 (b)).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Download {
    size: u64,
    mtime: u64,
    sparse: bool,
    #[serde(rename = "SHA256")]
    sha256: String,
    components: Vec<String>,
    flow_id: String,
    in_flight: bool,
    error: String,
}

/// Tries while the record changes under the reader.
const TRIES: usize = 3;

/// The listing of `directory` that the server holds; `None` if it holds none that is good.
pub(crate) async fn listing(shared: &Shared, directory: &EndpointPath) -> CallResult<Option<Listed>> {
    for _ in 0..TRIES {
        let record = shared.server.directory_record(&directory.endpoint.client_id, place(directory)).await?;
        // Never listed; or the last refresh failed, which leaves a record without an artifact and without rows.
        if record.flow_id.is_empty() || (record.artifact.is_empty() && record.total_rows == 0) {
            tracing::trace!(%directory, flow = record.flow_id, "the server holds no good listing");
            return Ok(None);
        }
        let Some((rows, collected)) = rows(shared, directory, record.total_rows).await? else {
            tracing::debug!(%directory, flow = record.flow_id, rows = record.total_rows, "the server's rows do not agree with its record");
            continue;
        };
        let after = shared.server.directory_record(&directory.endpoint.client_id, place(directory)).await?;
        if after.flow_id != record.flow_id || after.start_idx != record.start_idx {
            tracing::debug!(%directory, flow = record.flow_id, after = after.flow_id, "the record changed under the reader");
            continue;
        }
        let observation = observation(shared, directory, &record).await?;
        return Ok(Some(Listed { directory: directory.clone(), rows, observation, collected }));
    }
    Ok(None)
}

fn place(directory: &EndpointPath) -> Vec<String> {
    std::iter::once(&directory.accessor).chain(directory.components.iter()).map(ToString::to_string).collect()
}

/// All rows; `None` if there are not as many as the record says.
async fn rows(
    shared: &Shared,
    directory: &EndpointPath,
    total: u64,
) -> CallResult<Option<(Rows, Vec<(u32, Fetched)>)>> {
    let request = proto::GetTableRequest {
        client_id: directory.endpoint.client_id.to_string(),
        vfs_components: place(directory),
        ..Default::default()
    };
    let mut pages = Pages::new(shared.server.clone(), Table::Directory, request);
    // Nothing was seen in the future, whatever the server's clock says.
    let ours = |time| shared.server_clock.ours(time).min(shared.clock.now());
    let (mut rows, mut collected, mut next) = (Rows::new(), Vec::new(), 0);
    while next < total {
        let page = pages.page(next).await?;
        if page.rows.is_empty() {
            return Ok(None);
        }
        next += page.rows.len() as u64;
        let columns = Columns::of(&page);
        for row in &page.rows {
            let Some(fields) = table::fields(row) else { return Ok(None) };
            // A row without a name comes without the leading Download field: everything in it is shifted (§4.5 (b)).
            if columns.download.is_some()
                && fields.len() + 1 == page.columns.len()
                && fields.get(columns.download).is_some_and(is_shifted)
            {
                continue;
            }
            let ordinal = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            match row::append(&columns, &fields, directory, &mut rows) {
                Ok(entry) => {
                    let download = fields.get(columns.download).and_then(Field::object);
                    if let Some(fetched) = download.and_then(|download| fetched(directory, &entry.name, download, ours))
                    {
                        collected.push((ordinal, fetched));
                    }
                }
                Err(Refused::Nameless) => {}
                Err(Refused::Full) => {
                    return Err(CallError::Invalid("a directory has more than 4 GiB of names".into()));
                }
            }
        }
    }
    Ok((next == total).then_some((rows, collected)))
}

/// The Download field is empty text or an object; anything else is the field that should come after it.
fn is_shifted(field: Field<'_>) -> bool {
    field.object().is_none() && field.words().is_some()
}

/// A file that the server holds, if it does.
fn fetched(
    directory: &EndpointPath,
    name: &str,
    download: &str,
    ours: impl Fn(Timestamp) -> Timestamp,
) -> Option<Fetched> {
    let download: Download = serde_json::from_str(download).ok()?;
    if download.in_flight || !download.error.is_empty() || download.components.is_empty() || download.flow_id.is_empty()
    {
        return None;
    }
    let seen = ours(Timestamp::from_micros(download.mtime));
    let started = ours(flow::started(&download.flow_id)?);
    Some(Fetched {
        file: directory.child(name).ok()?,
        content: Ok(FetchedContent {
            size: download.size,
            location: ContentLocation { org: directory.endpoint.org.clone(), components: download.components },
            sparse: download.sparse,
            sha256_endpoint: Some(download.sha256).filter(|hash| hash.len() == 64),
        }),
        observation: Observation { job: Arc::from(download.flow_id), by: Arc::from(""), started, seen, first_row: 0 },
        range: None,
    })
}

async fn observation(
    shared: &Shared,
    directory: &EndpointPath,
    record: &proto::VfsListResponse,
) -> CallResult<Observation> {
    let ours = |time| shared.server_clock.ours(time);
    let seen = Timestamp { seconds: i64::try_from(record.timestamp).unwrap_or(i64::MAX), nanos: 0 };
    // Nothing was seen in the future, whatever the server's clock says.
    let seen = ours(seen).min(shared.clock.now());
    let (by, started) = match shared.server.flow(&directory.endpoint.client_id, &record.flow_id).await {
        Ok(context) => {
            let task = Task::of(&directory.endpoint, &context.request.unwrap_or_default(), &shared.user);
            (task.by, Some(context.create_time).filter(|time| *time != 0).map(Timestamp::from_micros))
        }
        Err(CallError::NotFound) => (Arc::from(""), None),
        Err(error) => return Err(error),
    };
    let started = started.or_else(|| flow::started(&record.flow_id)).map_or(seen, ours);
    Ok(Observation { job: Arc::from(record.flow_id.as_str()), by, started, seen, first_row: record.start_idx })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vfs::EndpointId;

    proptest! {
        #[test]
        fn no_download_state_makes_it_fail(text in "\\PC{0,60}|\\{\"size\":-?[0-9.]{1,25},\"flow_id\":\"F[.A-Z0-9]{0,20}\",\"components\":\\[\"a\"\\]\\}") {
            let directory = EndpointPath::accessor_root(EndpointId::root_org("C.1"), "auto");
            fetched(&directory, "x", &text, |time| time);
            fetched(&directory, "..", &text, |time| time);
        }
    }
}
