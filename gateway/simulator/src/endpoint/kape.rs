//! A triage collection as colleagues run it (`Windows.KapeFiles.Targets`): uploads of another artifact, which the
//! server holds all the same.

use crate::endpoint::run::{Query, Run, Stop};
use crate::endpoint::upload::{self, Source};
use crate::server::artifacts::TRIAGE;
use crate::tree::entry::write_string;

const COLUMNS: [&str; 8] = [
    "CopiedOnTimestamp",
    "SourceFile",
    "DestinationFile",
    "FileSize",
    "SourceFileSha256",
    "Created",
    "Modified",
    "LastAccessed",
];

/// What the collection takes, below the volume.
const TARGETS: [&[&str]; 8] = [
    &["$MFT"],
    &["Windows", "System32", "config", "SAM"],
    &["Windows", "System32", "config", "SYSTEM"],
    &["Windows", "System32", "winevt", "Logs", "System.evtx"],
    &["Windows", "appcompat", "Programs", "Amcache.hve"],
    &["Windows", "System32", "sru", "SRUDB.dat"],
    &["Users", "alice", "NTUSER.DAT"],
    &["Users", "alice", "AppData", "Local", "Google", "Chrome", "User Data", "Default", "History"],
];

pub(super) async fn triage(run: &Run, queries: &mut Vec<Query>) -> Result<(), Stop> {
    run.work().await;
    let device = run.parameter(TRIAGE, "Device", "\\\\.\\C:");
    let which = queries.len();
    queries.push(Query::new(&format!("{TRIAGE}/Uploads")));
    for target in TARGETS {
        let mut components = vec![device.clone()];
        components.extend(target.iter().map(ToString::to_string));
        let Some(entry) = upload::stat(run, "ntfs", &components).await? else {
            continue;
        };
        let Ok(opened) = upload::open(run, "ntfs", &components).await? else {
            continue;
        };
        let path = run.endpoint.files.display("ntfs", &components);
        let source = Source {
            opened,
            accessor: "ntfs".to_string(),
            components,
            vfs_path: path.clone(),
            file_size: entry.size,
            hash: false,
        };
        let uploaded = upload::upload(run, queries, which, source).await?;
        let mut row = format!("[{},", run.endpoint.deployment.clock.seconds());
        write_string(&mut row, &path);
        row.push(',');
        write_string(&mut row, &path);
        row.push_str(&format!(",{},null,\"{}\",\"{}\",\"{}\"]", uploaded.size, entry.btime, entry.mtime, entry.atime));
        if let Some(query) = queries.get_mut(which) {
            run.send_rows(query, &COLUMNS, vec![row])?;
        }
    }
    Ok(())
}
