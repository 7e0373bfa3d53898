//! Uploading one file: read into the endpoint's buffer in blocks of 1 MiB, sent behind what is queued (§5.5).

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::endpoint::run::{Query, Run, Stop};
use crate::endpoint::sender::per_second;
use crate::server::filestore::{Body as Stored, Object, stored_runs};
use crate::server::receive::{Body, Uploaded};
use crate::tree::{Content, Opened, RecipeKind, Run as DataRun};

const BLOCK: usize = 1 << 20;
/// How well chunks of text compress on the wire.
const COMPRESSION: u64 = 20;

/// A file that is to be uploaded.
pub(super) struct Source {
    pub(super) opened: Opened,
    /// The accessor in the stored path.
    pub(super) accessor: String,
    /// The stored path's components.
    pub(super) components: Vec<String>,
    /// The path as the endpoint writes it.
    pub(super) vfs_path: String,
    /// The size that the uploads table tells: the listing's, not the content's.
    pub(super) file_size: u64,
    /// Whether hashes are asked for.
    pub(super) hash: bool,
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Upload {
    pub(super) size: u64,
    pub(super) stored_size: u64,
    pub(super) sha256: String,
    pub(super) md5: String,
}

/// Uploads a file; an error in the middle leaves what had been read.
pub(super) async fn upload(run: &Run, queries: &mut [Query], which: usize, source: Source) -> Result<Upload, Stop> {
    let started = run.endpoint.deployment.clock.now();
    let runs = source.opened.runs.clone();
    let recipe = source.opened.content.recipe().filter(|_| runs.is_none());
    let mut stored_components = vec![source.accessor.clone()];
    stored_components.extend(source.components.iter().cloned());
    let (object, folder) = register(run, stored_components, recipe.map(Stored::Generated), runs.as_deref())?;
    if let Some(query) = queries.get_mut(which) {
        query.uploaded_files += 1;
        query.expected_bytes += source.opened.size;
    }
    let spool = match (recipe, object) {
        (None, Some(index)) => Some(spool_file(&folder, index)?),
        _ => None,
    };
    let mut pump = Pump {
        content: source.opened.content,
        runs: runs.clone().unwrap_or_else(|| vec![DataRun { offset: 0, length: u64::MAX, hole: false }]),
        place: (0, 0),
        spool,
        hashes: source.hash.then(|| (Sha256::new(), Md5::new())),
        // Bytes that are made from a recipe and not hashed need not be made at all.
        skip: if source.hash { None } else { recipe.map(|recipe| recipe.length) },
        logical: 0,
    };
    let began = Instant::now();
    let mut stored = 0u64;
    loop {
        let (returned, block) = tokio::task::spawn_blocking(move || {
            let block = pump.next();
            (pump, block)
        })
        .await
        .map_err(|error| Stop::Failed(format!("upload: {error}")))?;
        pump = returned;
        let block = match block {
            Ok(Some(block)) => block,
            Ok(None) => break,
            Err(error) => return Err(Stop::Failed(format!("upload: {error}"))),
        };
        if let Some(query) = queries.get_mut(which) {
            query.uploaded_bytes += block.bytes;
        }
        run.count_upload(block.bytes)?;
        stored += block.bytes;
        if let Some(object) = object {
            let compresses = recipe.map_or(block.compresses, |recipe| recipe.kind == RecipeKind::Text);
            let wire = if compresses { block.bytes / COMPRESSION } else { block.bytes };
            let body = Body::Chunk { object, arrived: stored, bytes: block.bytes };
            run.endpoint.send(&run.task.flow_id, wire, body);
        }
        if let Some(rate) = run.endpoint.timing.read_rate {
            tokio::time::sleep_until(began + per_second(stored, rate)).await;
        } else if stored.is_multiple_of(64 << 20) {
            tokio::task::yield_now().await;
        }
        run.check(queries)?;
    }
    let size = if runs.is_some() { pump.logical } else { stored };
    let (sha256, md5) =
        pump.hashes.map_or_else(Default::default, |(sha256, md5)| (hex(&sha256.finalize()), hex(&md5.finalize())));
    if let Some(object) = object {
        let uploaded = Uploaded {
            object,
            accessor: source.accessor,
            components: source.components,
            vfs_path: source.vfs_path,
            file_size: if runs.is_some() { size } else { source.file_size },
            uploaded_size: stored,
            started,
            sparse: runs.is_some(),
        };
        run.endpoint.send(&run.task.flow_id, 300, Body::Uploaded(Box::new(uploaded)));
    }
    Ok(Upload { size, stored_size: stored, sha256, md5 })
}

fn register(
    run: &Run,
    components: Vec<String>,
    body: Option<Stored>,
    runs: Option<&[DataRun]>,
) -> Result<(Option<usize>, std::path::PathBuf), Stop> {
    let mut inner = run.endpoint.deployment.lock();
    let flow = inner.flow(&run.endpoint.client_id, &run.task.flow_id).ok_or(Stop::Cancelled)?;
    let name = format!("{:06}", flow.objects.len());
    let object = Object {
        components,
        body: body.unwrap_or(Stored::File(name)),
        arrived: 0,
        complete: false,
        runs: runs.map(stored_runs),
    };
    let index = flow.begin_upload(object).map_err(|error| Stop::Failed(error.to_string()))?;
    Ok((index, flow.uploads()))
}

fn spool_file(folder: &std::path::Path, index: usize) -> Result<File, Stop> {
    let failed = |error: std::io::Error| Stop::Failed(format!("upload: {error}"));
    std::fs::create_dir_all(folder).map_err(failed)?;
    File::create(folder.join(format!("{index:06}"))).map_err(failed)
}

struct Block {
    bytes: u64,
    compresses: bool,
}

/// Reads a file run by run.
struct Pump {
    content: Box<dyn Content>,
    runs: Vec<DataRun>,
    /// Which run, and how far inside it.
    place: (usize, u64),
    spool: Option<File>,
    hashes: Option<(Sha256, Md5)>,
    skip: Option<u64>,
    logical: u64,
}

impl Pump {
    fn next(&mut self) -> std::io::Result<Option<Block>> {
        if let Some(left) = self.skip.as_mut() {
            let bytes = (*left).min(BLOCK as u64);
            *left -= bytes;
            self.logical += bytes;
            return Ok((bytes > 0).then_some(Block { bytes, compresses: false }));
        }
        while let Some(run) = self.runs.get(self.place.0).copied() {
            let left = run.length - self.place.1;
            if run.hole || left == 0 {
                self.logical = self.logical.max(run.offset.saturating_add(run.length));
                self.place = (self.place.0 + 1, 0);
                continue;
            }
            let wanted = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            let mut buffer = vec![0; wanted];
            let mut filled = 0;
            while filled < wanted {
                let rest = buffer.get_mut(filled..).unwrap_or_default();
                let got = self.content.read(run.offset + self.place.1 + filled as u64, rest)?;
                if got == 0 {
                    break;
                }
                filled += got;
            }
            if filled == 0 {
                self.place = (self.place.0 + 1, 0);
                continue;
            }
            buffer.truncate(filled);
            if let Some((sha256, md5)) = self.hashes.as_mut() {
                sha256.update(&buffer);
                md5.update(&buffer);
            }
            if let Some(spool) = self.spool.as_mut() {
                spool.write_all(&buffer)?;
            }
            self.place.1 += filled as u64;
            self.logical = self.logical.max(run.offset + self.place.1);
            return Ok(Some(Block { bytes: filled as u64, compresses: compresses(&buffer) }));
        }
        Ok(None)
    }
}

/// Whether a block would shrink on the wire, judged by the entropy of its first bytes.
fn compresses(block: &[u8]) -> bool {
    let sample = block.get(..4096).unwrap_or(block);
    let mut counts = [0u32; 256];
    for byte in sample {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    #[allow(clippy::cast_precision_loss)]
    let length = sample.len().max(1) as f64;
    let entropy: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum();
    entropy < 7.0
}

/// Bytes as lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens a path for an upload.
pub(super) async fn open(
    run: &Run,
    accessor: &str,
    components: &[String],
) -> Result<Result<Opened, crate::tree::Failure>, Stop> {
    let files = Arc::clone(&run.endpoint.files);
    let (accessor, components) = (accessor.to_string(), components.to_vec());
    tokio::task::spawn_blocking(move || files.open(&accessor, &components))
        .await
        .map_err(|error| Stop::Failed(format!("upload: {error}")))
}

/// Tells a path; `None` if it is not there or its directory may not be searched: no log line in either case (§5.2).
pub(super) async fn stat(
    run: &Run,
    accessor: &str,
    components: &[String],
) -> Result<Option<crate::tree::entry::Entry>, Stop> {
    let files = Arc::clone(&run.endpoint.files);
    let (accessor, components) = (accessor.to_string(), components.to_vec());
    tokio::task::spawn_blocking(move || files.stat(&accessor, &components).ok())
        .await
        .map_err(|error| Stop::Failed(format!("stat: {error}")))
}
