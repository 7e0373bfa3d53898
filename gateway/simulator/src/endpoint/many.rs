//! The custom artifacts for many directories and many files in one flow (§8.1).

use std::sync::Arc;

use serde::Deserialize;
use tokio::time::Instant;

use crate::config::System;
use crate::endpoint::list::{BATCH, walk};
use crate::endpoint::run::{Query, Run, Stop};
use crate::endpoint::sender::per_second;
use crate::endpoint::upload::{self, Source, Upload};
use crate::endpoint::walker::{Step, Walker};
use crate::server::artifacts::{FETCH_MANY, LIST_MANY};
use crate::tree::entry::{Entry, Place, string_array, write_string};

const LIST_COLUMNS: [&str; 14] = [
    "Dir",
    "_OSPath",
    "_Components",
    "_Accessor",
    "_Data",
    "Name",
    "Size",
    "Mode",
    "mtime",
    "atime",
    "ctime",
    "btime",
    "_Idx",
    "Stats",
];
const FETCH_COLUMNS: [&str; 5] = ["File", "OSPath", "Size", "Mtime", "Upload"];

#[derive(Deserialize)]
struct Directory {
    #[serde(rename = "Dir", alias = "dir")]
    components: Vec<String>,
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(rename = "File", alias = "file")]
    components: Vec<String>,
}

/// `Custom.Raptorgate.ListMany`: rows with `Stats` close a directory; one without such a row failed.
pub(super) async fn list_many(run: &Run, queries: &mut Vec<Query>) -> Result<(), Stop> {
    run.work().await;
    let accessor = run.parameter(LIST_MANY, "Accessor", "auto");
    let depth = run.parameter(LIST_MANY, "Depth", "0").parse().unwrap_or(0);
    let directories: Vec<Directory> = serde_json::from_str(&run.parameter(LIST_MANY, "Dirs", "[]")).unwrap_or_default();
    let which = queries.len();
    queries.push(Query::new(&format!("{LIST_MANY}/Listing")));
    let started = Instant::now();
    let mut listed = 0u64;
    let mut rows = Vec::new();
    for asked in directories {
        let asked_text = string_array(&asked.components);
        let mut walker = Walker::new(Arc::clone(&run.endpoint.files), &accessor, asked.components, depth);
        loop {
            let (returned, steps) = walk(walker).await?;
            walker = returned;
            if steps.is_empty() {
                break;
            }
            for step in steps {
                match step {
                    Step::Entry { directory, entry, index } => {
                        let place = Place {
                            accessor: &accessor,
                            components: &directory,
                            windows: run.endpoint.system == System::Windows,
                        };
                        let mut row = format!("[{asked_text},");
                        entry.write_columns(&mut row, &place, index);
                        row.push_str(",null]");
                        rows.push(row);
                        listed += 1;
                    }
                    Step::Stats { directory, start, end } => {
                        let mut row = format!("[{asked_text},null,{},", string_array(&directory));
                        write_string(&mut row, &accessor);
                        row.push_str(",null,null,null,null,null,null,null,null,null,");
                        row.push_str(&format!("{{\"start_idx\":{start},\"end_idx\":{end}}}]"));
                        rows.push(row);
                    }
                    Step::Failed(text) => {
                        let line = run.log_line("DEFAULT", &text);
                        if let Some(query) = queries.get_mut(which) {
                            query.logs.push(line);
                        }
                    }
                }
                if rows.len() >= BATCH {
                    send(run, queries, which, &LIST_COLUMNS, &mut rows)?;
                }
            }
            if let Some(rate) = run.endpoint.timing.rows_per_second {
                tokio::time::sleep_until(started + per_second(listed, u64::from(rate))).await;
            }
            run.check(queries)?;
        }
    }
    send(run, queries, which, &LIST_COLUMNS, &mut rows)
}

/// `Custom.Raptorgate.FetchMany`: a missing file gives no row; `Upload` has the hashes.
pub(super) async fn fetch_many(run: &Run, queries: &mut Vec<Query>) -> Result<(), Stop> {
    run.work().await;
    let accessor = run.parameter(FETCH_MANY, "Accessor", "auto");
    let files: Vec<Wanted> = serde_json::from_str(&run.parameter(FETCH_MANY, "Files", "[]")).unwrap_or_default();
    let which = queries.len();
    queries.push(Query::new(FETCH_MANY));
    for wanted in files {
        let components = wanted.components;
        let Some(entry) = upload::stat(run, &accessor, &components).await? else {
            continue;
        };
        let upload = match upload::open(run, &accessor, &components).await? {
            Ok(opened) => {
                let source = Source {
                    opened,
                    accessor: accessor.clone(),
                    components: components.clone(),
                    vfs_path: run.endpoint.files.display(&accessor, &components),
                    file_size: entry.size,
                    hash: true,
                };
                let uploaded = upload::upload(run, queries, which, source).await?;
                let path = run.endpoint.files.display(&accessor, &components);
                upload_value(&path, &accessor, &components, &uploaded)
            }
            Err(failure) => {
                let line = run.log_line("DEFAULT", &format!("upload: {}\n", failure.text));
                if let Some(query) = queries.get_mut(which) {
                    query.logs.push(line);
                }
                let mut value = String::from("{\"Error\":");
                write_string(&mut value, &failure.text);
                value.push('}');
                value
            }
        };
        let mut rows = vec![fetch_row(run, &accessor, &components, &entry, &upload)];
        send(run, queries, which, &FETCH_COLUMNS, &mut rows)?;
    }
    Ok(())
}

fn fetch_row(run: &Run, accessor: &str, components: &[String], entry: &Entry, upload: &str) -> String {
    let mut row = format!("[{},", string_array(components));
    write_string(&mut row, &run.endpoint.files.display(accessor, components));
    row.push_str(&format!(",{},\"{}\",{upload}]", entry.size, entry.mtime));
    row
}

/// The dict that VQL's `upload()` returns.
pub(super) fn upload_value(path: &str, accessor: &str, components: &[String], uploaded: &Upload) -> String {
    let mut value = String::from("{\"Path\":");
    write_string(&mut value, path);
    value.push_str(&format!(",\"Size\":{},\"UploadId\":0,", uploaded.size));
    if uploaded.stored_size > 0 {
        value.push_str(&format!("\"StoredSize\":{},", uploaded.stored_size));
    }
    value.push_str(&format!("\"sha256\":\"{}\",\"md5\":\"{}\",\"StoredName\":", uploaded.sha256, uploaded.md5));
    write_string(&mut value, path);
    value.push_str(&format!(",\"Components\":{},\"Accessor\":", string_array(components)));
    write_string(&mut value, accessor);
    value.push('}');
    value
}

fn send(run: &Run, queries: &mut [Query], which: usize, columns: &[&str], rows: &mut Vec<String>) -> Result<(), Stop> {
    match queries.get_mut(which) {
        Some(query) => run.send_rows(query, columns, std::mem::take(rows)),
        None => Ok(()),
    }
}
