//! The thread that writes: whole lines only, in order, on the disk before it waits for the next.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::json;
use vfs::Timestamp;
use vfs::principal::Event;

use super::line::{self, BEGINNING, Line, MAX_LINE};

/// How long to wait before a failed write is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Lines that are written together.
const BATCH: usize = 1_024;
/// Room for number and hashes beside the event.
const LARGEST_EVENT: usize = MAX_LINE - 1_024;

/// What comes into the ledger.
#[derive(Debug)]
pub(super) enum Note {
    /// Something that the gateway did or refused.
    Event(Box<Event>),
    /// The gateway began.
    Started { at: Timestamp, version: &'static str },
    /// The end of the ledger was unfinished and is kept in a file of its own.
    Torn { at: Timestamp, bytes: u64, kept: String },
}

impl Note {
    fn text(&self) -> io::Result<String> {
        let text = match self {
            Note::Event(event) => serde_json::to_string(event)?,
            Note::Started { at, version } => {
                json!({ "event": "gateway_started", "at": at, "version": version }).to_string()
            }
            Note::Torn { at, bytes, kept } => {
                json!({ "event": "torn_line", "at": at, "bytes": bytes, "kept": kept }).to_string()
            }
        };
        if text.len() <= LARGEST_EVENT {
            return Ok(text);
        }
        let beginning: String = text.chars().take(4_096).collect();
        Ok(json!({ "event": "oversized", "beginning": beginning }).to_string())
    }
}

/// Where the chain stands.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    next: u64,
    previous: String,
    length: u64,
}

impl Chain {
    /// The chain after `last`, in a file whose good part has `length` bytes.
    pub(super) fn after(last: Option<&Line>, length: u64) -> Chain {
        match last {
            Some(last) => Chain { next: last.number.saturating_add(1), previous: last.hash.clone(), length },
            None => Chain { next: 1, previous: BEGINNING.into(), length },
        }
    }
}

/// The file and where it ends.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    chain: Chain,
}

impl Writer {
    /// Goes on in `file` after `chain`; what is behind it there is cut off.
    pub(super) fn new(file: File, chain: Chain) -> io::Result<Writer> {
        file.set_len(chain.length)?;
        Ok(Writer { file, chain })
    }

    /// Writes all of `notes`, or none.
    pub(super) fn write(&mut self, notes: &[Note]) -> io::Result<()> {
        let mut chain = self.chain.clone();
        let mut text = String::new();
        for note in notes {
            let (line, hash) = line::seal(chain.next, &chain.previous, &note.text()?);
            text.push_str(&line);
            text.push('\n');
            chain.next = chain.next.saturating_add(1);
            chain.previous = hash;
        }
        let written = self.file.write_all_at(text.as_bytes(), self.chain.length).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a batch must not stay: it would be continued by other lines.
            self.file.set_len(self.chain.length)?;
            return Err(error);
        }
        chain.length = chain.length.saturating_add(text.len() as u64);
        self.chain = chain;
        Ok(())
    }

    /// Writes what comes until nobody can send any more.
    pub(super) fn run(mut self, notes: &Receiver<Note>) {
        let mut waiting: Vec<Note> = Vec::new();
        let mut failing = false;
        loop {
            let received = if failing {
                notes.recv_timeout(PAUSE)
            } else {
                notes.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            let ended = matches!(received, Err(RecvTimeoutError::Disconnected));
            waiting.extend(received);
            waiting.extend(notes.try_iter().take(BATCH));
            let result = if waiting.is_empty() { Ok(()) } else { self.write(&waiting) };
            match result {
                Ok(()) => {
                    if failing {
                        tracing::warn!(
                            lines = waiting.len(),
                            "the ledger can be written again; nothing is missing in it"
                        );
                    }
                    failing = false;
                    waiting.clear();
                }
                Err(error) if ended => {
                    tracing::error!(%error, lost = waiting.len(), "the ledger cannot be written: these events are lost");
                }
                Err(error) => {
                    if !failing {
                        tracing::error!(%error, "the ledger cannot be written: its events wait in memory");
                    }
                    failing = true;
                }
            }
            if ended {
                return;
            }
        }
    }
}
