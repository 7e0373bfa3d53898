//! The ledger: an append-only file of JSON lines, each with the hash of the one before, written by a thread of its own.

mod line;
mod tail;
mod verify;
mod writer;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use vfs::principal::{Event, Recorder};
use vfs::{Clock, EndpointId, Principal, Timestamp};

pub use verify::{Verified, verify};
use writer::{Chain, Note, Writer};

use crate::private_file;

/// Why a ledger cannot be used. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The chain does not hold.
    #[error("{} is broken at line {line}: {reason}", path.display())]
    Broken {
        /// The ledger.
        path: PathBuf,
        /// The first line that does not fit, from 1.
        line: u64,
        /// Why.
        reason: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// A flow that stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFlow {
    /// For whom.
    pub principal: Principal,
    /// Where.
    pub endpoint: EndpointId,
    /// When.
    pub at: Timestamp,
}

/// The ledger of one state directory. What is recorded is on the disk a moment later, and when this is dropped.
pub struct Ledger {
    path: PathBuf,
    notes: Mutex<Option<Sender<Note>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    recent: Vec<RecordedFlow>,
}

impl Ledger {
    /// Goes on with `STATE/ledger/ledger.jsonl`, or begins it. What a killed process left unfinished behind the last whole line is
    /// put aside as `STATE/ledger/torn-<n>`, and the next line says so.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn open(state: &Path, clock: Arc<dyn Clock>) -> Result<Ledger, LedgerError> {
        let directory = state.join("ledger");
        let path = directory.join("ledger.jsonl");
        Ledger::start(&directory, &path, clock.as_ref()).map_err(|source| LedgerError::Io { path, source })
    }

    fn start(directory: &Path, path: &Path, clock: &dyn Clock) -> io::Result<Ledger> {
        private_file::make_directory(directory)?;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let tail = tail::read(&mut file)?;
        let mut first = vec![Note::Started { at: clock.now(), version: env!("CARGO_PKG_VERSION") }];
        if !tail.torn.is_empty() {
            let kept = free_name(directory)?;
            private_file::write(&directory.join(&kept), &tail.torn)?;
            tracing::warn!(bytes = tail.torn.len(), kept, "the ledger's end was unfinished and is put aside");
            first.insert(0, Note::Torn { at: clock.now(), bytes: tail.torn.len() as u64, kept });
        }
        let chain = Chain::after(tail.last.as_ref(), tail.good);
        let (notes, received) = mpsc::channel();
        let mut writer = Writer::new(file, chain)?;
        // The first lines are written here: a gateway that cannot write its ledger must not start.
        writer.write(&first)?;
        let writer = thread::Builder::new().name("ledger".into()).spawn(move || writer.run(&received))?;
        let recent = tail.recent.iter().filter_map(|line| recorded_flow(&line.event)).collect();
        Ok(Ledger { path: path.into(), notes: Mutex::new(Some(notes)), writer: Mutex::new(Some(writer)), recent })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The flows among the last lines before this start, oldest first.
    pub fn recent_flows(&self) -> &[RecordedFlow] {
        &self.recent
    }

    /// Writes what was recorded so far and ends the thread. Later events are lost, and said to be.
    pub fn close(&self) {
        drop(self.notes.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It only fails if it panicked, which was reported.
            let _ = writer.join();
        }
    }
}

impl Recorder for Ledger {
    fn record(&self, event: Event) {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = notes.as_ref().is_some_and(|notes| notes.send(Note::Event(Box::new(event))).is_ok());
        if !sent {
            tracing::error!("an event came after the ledger was closed and is not in it");
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
    }
}

/// The first of `torn-1`, `torn-2`, … that is free.
fn free_name(directory: &Path) -> io::Result<String> {
    for number in 1..u32::MAX {
        let name = format!("torn-{number}");
        if !fs::exists(directory.join(&name))? {
            return Ok(name);
        }
    }
    Err(io::Error::other("too many torn ends were put aside"))
}

fn recorded_flow(event: &serde_json::Value) -> Option<RecordedFlow> {
    let text = |name: &str| event.get(name)?.as_str();
    if text("event")? != "flow_started" {
        return None;
    }
    let at = serde_json::from_value(event.get("at")?.clone()).ok()?;
    Some(RecordedFlow {
        principal: Principal::new(text("principal")?),
        endpoint: EndpointId::of_client_id(text("endpoint")?),
        at,
    })
}

#[cfg(test)]
mod tests;
