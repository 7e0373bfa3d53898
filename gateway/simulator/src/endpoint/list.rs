//! The stock listing artifact, `System.VFS.ListDirectory` (§4.3).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::System;
use crate::endpoint::run::{Query, Run, Stop};
use crate::endpoint::sender::per_second;
use crate::endpoint::walker::{Step, Walker};
use crate::server::artifacts::LIST_DIRECTORY;
use crate::server::vfs::{LISTING, STATS, split_path};
use crate::tree::entry::{LISTING_COLUMNS, Place, string_array, write_string};
use crate::tree::mode::Kind;

/// Rows leave the endpoint in batches of this size, or at the end.
pub(super) const BATCH: usize = 1000;

pub(super) async fn list_directory(run: &Run, queries: &mut Vec<Query>) -> Result<(), Stop> {
    let accessor = run.parameter(LIST_DIRECTORY, "Accessor", "auto");
    let mut components = run.components(LIST_DIRECTORY);
    if components.is_empty() {
        components = split_path(&run.parameter(LIST_DIRECTORY, "Path", ""));
    }
    let depth = run.parameter(LIST_DIRECTORY, "Depth", "0").parse().unwrap_or(0);
    let first = queries.len();
    queries.push(skipped_query(run));
    queries.push(Query::new(LISTING));
    queries.push(Query::new(STATS));
    let flow = &run.task.flow_id;
    for source in [LISTING, STATS] {
        note(queries, first + 1, run.log_line("INFO", &format!("Starting query execution for {source}.\n")));
    }
    note(queries, first + 2, run.log_line("DEFAULT", &format!("generate: registered new query for vfs-{flow}\n")));
    tokio::time::sleep(run.endpoint.timing.list_delay).await;

    let started = Instant::now();
    let switches = run.endpoint.deployment.faults.lock().clone();
    let mut walker = Walker::new(Arc::clone(&run.endpoint.files), &accessor, components, depth)
        .with_nameless_rows(switches.nameless_rows);
    let mut rows = Vec::with_capacity(BATCH);
    let mut stats = Vec::new();
    let mut listed = 0u64;
    let mut failed = false;
    loop {
        let (returned, steps) = walk(walker).await?;
        walker = returned;
        if steps.is_empty() {
            break;
        }
        for step in steps {
            match step {
                Step::Entry { directory, mut entry, index } => {
                    if entry.kind == Kind::File {
                        entry.size = entry.size.saturating_add_signed(switches.size_error);
                    }
                    let place = Place {
                        accessor: &accessor,
                        components: &directory,
                        windows: run.endpoint.system == System::Windows,
                    };
                    rows.push(entry.row(&place, index));
                    listed += 1;
                }
                Step::Stats { directory, start, end } => stats.push(stats_row(&directory, &accessor, start, end)),
                Step::Failed(text) => {
                    failed = true;
                    note(queries, first + 1, run.log_line("DEFAULT", &text));
                }
            }
            if rows.len() >= BATCH {
                flush(run, queries, first + 1, &LISTING_COLUMNS, &mut rows)?;
            }
            if stats.len() >= BATCH {
                flush(run, queries, first + 2, &STATS_COLUMNS, &mut stats)?;
            }
        }
        if let Some(rate) = run.endpoint.timing.rows_per_second {
            tokio::time::sleep_until(started + per_second(listed, u64::from(rate))).await;
        }
        run.check(queries)?;
    }
    flush(run, queries, first + 1, &LISTING_COLUMNS, &mut rows)?;
    flush(run, queries, first + 2, &STATS_COLUMNS, &mut stats)?;
    closing_lines(run, queries, first, failed);
    Ok(())
}

const STATS_COLUMNS: [&str; 3] = ["Components", "Accessor", "Stats"];

/// One batch of the walk, away from the threads that serve calls.
pub(super) async fn walk(mut walker: Walker) -> Result<(Walker, Vec<Step>), Stop> {
    tokio::task::spawn_blocking(move || {
        let steps = walker.next(BATCH);
        (walker, steps)
    })
    .await
    .map_err(|error| Stop::Failed(format!("vfs_ls: {error}")))
}

fn flush(run: &Run, queries: &mut [Query], which: usize, columns: &[&str], rows: &mut Vec<String>) -> Result<(), Stop> {
    match queries.get_mut(which) {
        Some(query) => run.send_rows(query, columns, std::mem::take(rows)),
        None => Ok(()),
    }
}

fn note(queries: &mut [Query], which: usize, line: String) {
    if let Some(query) = queries.get_mut(which) {
        query.logs.push(line);
    }
}

/// The source of clients before 0.6.8: its precondition is not met.
fn skipped_query(run: &Run) -> Query {
    let mut query = Query::new(LIST_DIRECTORY);
    for text in [
        format!("Starting query execution for {LIST_DIRECTORY}.\n"),
        format!("{LIST_DIRECTORY}: Skipping query due to preconditions\n"),
        format!("Collection {LIST_DIRECTORY} is done after {}\n", go_duration(run.elapsed())),
    ] {
        query.logs.push(run.log_line("INFO", &text));
    }
    query.logs.push(run.log_line("DEBUG", "Query Stats: {\"RowsScanned\":1,\"PluginsCalled\":1}\n"));
    query
}

fn closing_lines(run: &Run, queries: &mut [Query], first: usize, failed: bool) {
    for which in [first + 1, first + 2] {
        let Some(query) = queries.get_mut(which) else {
            continue;
        };
        let source = query.source.clone();
        if query.rows > 0 {
            let text = format!("{source}: Time 0: {source}: Sending response part 0 ({} rows).", query.rows);
            query.logs.push(run.log_line("DEFAULT", &text));
        }
        let text = format!("Collection {source} is done after {}\n", go_duration(run.elapsed()));
        query.logs.push(run.log_line("INFO", &text));
        query.logs.push(run.log_line("DEBUG", "Query Stats: {\"RowsScanned\":1,\"PluginsCalled\":1}\n"));
    }
    if failed {
        let text = format!("generate: Removing generator vfs-{}\n", run.task.flow_id);
        note(queries, first + 1, run.log_line("DEFAULT", &text));
    }
}

/// A duration as Go prints it.
pub(super) fn go_duration(duration: Duration) -> String {
    #[allow(clippy::cast_precision_loss)]
    let millis = duration.as_micros() as f64 / 1000.0;
    format!("{millis}ms")
}

fn stats_row(directory: &[String], accessor: &str, start: u64, end: u64) -> String {
    let mut row = format!("[{},", string_array(directory));
    write_string(&mut row, accessor);
    row.push_str(&format!(",{{\"start_idx\":{start},\"end_idx\":{end}}}]"));
    row
}
