//! The stock download artifact, `System.VFS.DownloadFile` (§5.1, §5.2).

use std::sync::Arc;

use crate::endpoint::list::walk;
use crate::endpoint::run::{Query, Run, Stop};
use crate::endpoint::upload::{self, Source};
use crate::endpoint::walker::{Step, Walker};
use crate::server::artifacts::DOWNLOAD_FILE;
use crate::tree::entry::{string_array, write_string};
use crate::tree::mode::Kind;

const COLUMNS: [&str; 8] = ["Path", "Accessor", "Size", "StoredSize", "Sha256", "Md5", "Error", "_Components"];

/// How deep `Recursively` goes.
const MAX_DEPTH: u64 = 1000;

pub(super) async fn download_file(run: &Run, queries: &mut Vec<Query>) -> Result<(), Stop> {
    run.work().await;
    let accessor = run.parameter(DOWNLOAD_FILE, "Accessor", "file");
    let components = run.components(DOWNLOAD_FILE);
    let recursively = matches!(run.parameter(DOWNLOAD_FILE, "Recursively", "").as_str(), "Y" | "TRUE" | "true" | "1");
    let which = queries.len();
    queries.push(Query::new(DOWNLOAD_FILE));
    for (level, text) in [
        ("INFO", format!("Starting query execution for {DOWNLOAD_FILE}.\n")),
        ("INFO", format!("Collection {DOWNLOAD_FILE} is done after 5ms\n")),
        ("DEBUG", "Query Stats: {\"RowsScanned\":1,\"PluginsCalled\":1}\n".to_string()),
    ] {
        let line = run.log_line(level, &text);
        if let Some(query) = queries.get_mut(which) {
            query.logs.push(line);
        }
    }
    if !recursively {
        return one(run, queries, which, &accessor, components).await;
    }
    let mut walker = Walker::new(Arc::clone(&run.endpoint.files), &accessor, components, MAX_DEPTH);
    loop {
        let (returned, steps) = walk(walker).await?;
        walker = returned;
        if steps.is_empty() {
            return Ok(());
        }
        for step in steps {
            if let Step::Entry { directory, entry, .. } = step
                && entry.kind == Kind::File
            {
                let mut path = directory.to_vec();
                path.push(entry.name.clone());
                one(run, queries, which, &accessor, path).await?;
            }
        }
    }
}

async fn one(
    run: &Run,
    queries: &mut [Query],
    which: usize,
    accessor: &str,
    components: Vec<String>,
) -> Result<(), Stop> {
    let Some(entry) = upload::stat(run, accessor, &components).await? else {
        return Ok(());
    };
    let path = run.endpoint.files.display(accessor, &components);
    let mut row = String::from("[");
    write_string(&mut row, &path);
    row.push(',');
    write_string(&mut row, accessor);
    match upload::open(run, accessor, &components).await? {
        Ok(opened) => {
            let source = Source {
                opened,
                accessor: accessor.to_string(),
                components: components.clone(),
                vfs_path: path,
                file_size: entry.size,
                hash: false,
            };
            let uploaded = upload::upload(run, queries, which, source).await?;
            let stored = if uploaded.stored_size == 0 { "null".to_string() } else { uploaded.stored_size.to_string() };
            row.push_str(&format!(",{},{stored},null,null,null,", uploaded.size));
        }
        Err(failure) => {
            if let Some(query) = queries.get_mut(which) {
                query.logs.push(run.log_line("DEFAULT", &format!("upload: {}\n", failure.text)));
            }
            row.push_str(",0,0,\"\",\"\",");
            write_string(&mut row, &failure.text);
            row.push(',');
        }
    }
    row.push_str(&string_array(&components));
    row.push(']');
    match queries.get_mut(which) {
        Some(query) => run.send_rows(query, &COLUMNS, vec![row]),
        None => Ok(()),
    }
}
