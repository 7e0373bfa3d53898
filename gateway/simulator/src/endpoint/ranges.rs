//! The custom artifact that reads byte ranges of one file, by its three transports (§8.1).

use base64::Engine as _;
use serde::Deserialize;

use crate::endpoint::many::upload_value;
use crate::endpoint::run::{Query, Run, Stop};
use crate::endpoint::upload::{self, Source, Upload};
use crate::server::artifacts::READ_RANGES;
use crate::tree::entry::{Entry, write_string};
use crate::tree::{Content, Opened, Run as DataRun};

const STAT_COLUMNS: [&str; 6] = ["OSPath", "Size", "Mode", "Mtime", "Ctime", "Btime"];
/// `read_file` without a length, and the most that one range may take of the endpoint's memory.
const DEFAULT_LENGTH: u64 = 4 << 20;
const MAX_LENGTH: u64 = 64 << 20;

#[derive(Clone, Copy, Deserialize)]
struct Range {
    #[serde(rename = "Offset", alias = "offset", default)]
    offset: u64,
    #[serde(rename = "Length", alias = "length", default)]
    length: u64,
}

pub(super) async fn read_ranges(run: &Run, queries: &mut Vec<Query>) -> Result<(), Stop> {
    run.work().await;
    let accessor = run.parameter(READ_RANGES, "Accessor", "auto");
    let transport = run.parameter(READ_RANGES, "Transport", "base64");
    let components = run.components(READ_RANGES);
    let ranges: Vec<Range> = serde_json::from_str(&run.parameter(READ_RANGES, "Ranges", "[]")).unwrap_or_default();
    let stat_query = queries.len();
    queries.push(Query::new(&format!("{READ_RANGES}/Stat")));
    queries.push(Query::new(&format!("{READ_RANGES}/Data")));
    queries.push(Query::new(&format!("{READ_RANGES}/After")));
    let (data_query, after_query) = (stat_query + 1, stat_query + 2);
    // A missing file: no rows in either source, no log.
    let Some(entry) = upload::stat(run, &accessor, &components).await? else {
        return Ok(());
    };
    let path = run.endpoint.files.display(&accessor, &components);
    if let Some(query) = queries.get_mut(stat_query) {
        run.send_rows(query, &STAT_COLUMNS, vec![stat_row(&path, &entry)])?;
    }
    if transport == "sparse" {
        sparse(run, queries, data_query, &accessor, &components, &ranges).await?;
    } else {
        each(run, queries, data_query, &accessor, &components, &ranges, &transport).await?;
    }
    match (upload::stat(run, &accessor, &components).await?, queries.get_mut(after_query)) {
        (Some(entry), Some(query)) => run.send_rows(query, &STAT_COLUMNS, vec![stat_row(&path, &entry)]),
        _ => Ok(()),
    }
}

/// One row, and by the scope transport one upload, for each range.
async fn each(
    run: &Run,
    queries: &mut [Query],
    data_query: usize,
    accessor: &str,
    components: &[String],
    ranges: &[Range],
    transport: &str,
) -> Result<(), Stop> {
    for &range in ranges {
        let chunk = read(run, queries, data_query, accessor, components, range).await?;
        let mut row = format!("[{},{},", range.offset, chunk.len());
        let columns: [&str; 3] = if transport == "scope" {
            let name = format!("range-{}-{}", range.offset, range.length);
            let length = chunk.len() as u64;
            let source = Source {
                opened: Opened { content: Box::new(Chunk(chunk)), size: length, runs: None },
                accessor: "scope".to_string(),
                components: vec![name.clone()],
                vfs_path: format!("/{name}"),
                file_size: length,
                hash: true,
            };
            let uploaded = upload::upload(run, queries, data_query, source).await?;
            row.push_str(&upload_value("Chunk", "scope", &[name], &uploaded));
            ["Offset", "Got", "Upload"]
        } else {
            write_string(&mut row, &base64::engine::general_purpose::STANDARD.encode(&chunk));
            ["Offset", "Got", "Data"]
        };
        row.push(']');
        if let Some(query) = queries.get_mut(data_query) {
            run.send_rows(query, &columns, vec![row])?;
        }
        run.check(queries)?;
    }
    Ok(())
}

/// `read_file`: the bytes that exist; an open error is a log line and an empty string.
async fn read(
    run: &Run,
    queries: &mut [Query],
    which: usize,
    accessor: &str,
    components: &[String],
    range: Range,
) -> Result<Vec<u8>, Stop> {
    let length = if range.length == 0 { DEFAULT_LENGTH } else { range.length.min(MAX_LENGTH) };
    let opened = upload::open(run, accessor, components).await?;
    let text = match opened {
        Ok(mut opened) => {
            let read = tokio::task::spawn_blocking(move || read_fully(&mut *opened.content, range.offset, length))
                .await
                .map_err(|error| Stop::Failed(format!("read_file: {error}")))?;
            match read {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error.to_string(),
            }
        }
        Err(failure) if failure.text.contains("Directories not supported") => {
            format!("read {}: is a directory", run.endpoint.files.display(accessor, components))
        }
        Err(failure) => failure.text,
    };
    let line = run.log_line("DEFAULT", &format!("read_file: {text}\n"));
    if let Some(query) = queries.get_mut(which) {
        query.logs.push(line);
    }
    Ok(Vec::new())
}

fn read_fully(content: &mut dyn Content, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = bytes.get_mut(filled..).unwrap_or_default();
        let got = content.read(offset.saturating_add(filled as u64), rest)?;
        if got == 0 {
            break;
        }
        filled += got;
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The sparse accessor uploads only the ranges, and silently pads what it could not read with zeros.
async fn sparse(
    run: &Run,
    queries: &mut [Query],
    which: usize,
    accessor: &str,
    components: &[String],
    ranges: &[Range],
) -> Result<(), Stop> {
    let content: Box<dyn Content> = match upload::open(run, accessor, components).await? {
        Ok(opened) => Box::new(Padded(opened.content)),
        Err(_) => Box::new(Chunk(Vec::new())),
    };
    let mut runs = Vec::new();
    let mut end = 0;
    for range in ranges {
        if range.offset > end {
            runs.push(DataRun { offset: end, length: range.offset - end, hole: true });
        }
        runs.push(DataRun { offset: range.offset, length: range.length.min(MAX_LENGTH), hole: false });
        end = range.offset.saturating_add(range.length);
    }
    let source = Source {
        opened: Opened { content, size: end, runs: Some(runs) },
        accessor: "sparse".to_string(),
        components: vec!["ranges".to_string()],
        vfs_path: "/ranges".to_string(),
        file_size: end,
        hash: true,
    };
    let uploaded: Upload = upload::upload(run, queries, which, source).await?;
    let row = format!("[{}]", upload_value("/ranges", "sparse", &["ranges".to_string()], &uploaded));
    match queries.get_mut(which) {
        Some(query) => run.send_rows(query, &["Upload"], vec![row]),
        None => Ok(()),
    }
}

fn stat_row(path: &str, entry: &Entry) -> String {
    let mut row = String::from("[");
    write_string(&mut row, path);
    row.push_str(&format!(",{},", entry.size));
    write_string(&mut row, &entry.mode);
    row.push_str(&format!(",\"{}\",\"{}\",\"{}\"]", entry.mtime, entry.ctime, entry.btime));
    row
}

/// Bytes in memory.
struct Chunk(Vec<u8>);

impl Content for Chunk {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.0.get(start..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer.get_mut(..count).unwrap_or_default().copy_from_slice(rest.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// A file whose reads past its end are zeros: the hazard of the sparse transport.
struct Padded(Box<dyn Content>);

impl Content for Padded {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.0.read(offset, buffer).unwrap_or(0);
        if got == 0 {
            buffer.fill(0);
            return Ok(buffer.len());
        }
        Ok(got)
    }
}
