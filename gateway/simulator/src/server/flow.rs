//! One flow on the server: its context, its tables and its uploads, kept in a folder of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use prost::Message as _;
use serde::{Deserialize, Serialize};
use velociraptor_proto::proto::ArtifactCollectorContext;
use velociraptor_proto::proto::artifact_collector_context::State;

use crate::disk::{self, Journal};
use crate::error::Error;
use crate::server::filestore::{Object, Reader, index_text, uploads_folder};
use crate::server::table::{Table, file_name};

const CONTEXT: &str = "flow.bin";
const OBJECTS: &str = "objects.jsonl";

/// Columns of the log table.
pub(crate) const LOG_COLUMNS: [&str; 3] = ["client_time", "level", "message"];
/// Columns of the uploads table, in the order of the wire.
pub(crate) const UPLOAD_COLUMNS: [&str; 9] = [
    "Timestamp",
    "started",
    "vfs_path",
    "Type",
    "_Components",
    "file_size",
    "_accessor",
    "_client_components",
    "uploaded_size",
];

/// A flow with everything that it has produced.
#[derive(Debug)]
pub(crate) struct Flow {
    /// What `GetFlowDetails` answers, with the whole request.
    pub(crate) context: ArtifactCollectorContext,
    /// Uploads, in the order in which they began.
    pub(crate) objects: Vec<Object>,
    /// Set when the endpoint must stop working on it.
    pub(crate) cancelled: Arc<AtomicBool>,
    /// When the endpoint was last heard of in this flow, microseconds since 1970.
    pub(crate) heard: u64,
    tables: BTreeMap<String, Table>,
    folder: PathBuf,
    journal: Option<Journal>,
}

#[derive(Serialize, Deserialize)]
struct ObjectLine {
    index: usize,
    object: Object,
}

impl Flow {
    /// A new flow; its folder appears with it.
    pub(crate) fn create(folder: &Path, context: ArtifactCollectorContext) -> Result<Self, Error> {
        disk::make_folder(folder)?;
        let flow = Self {
            heard: context.create_time,
            context,
            objects: Vec::new(),
            cancelled: Arc::default(),
            tables: BTreeMap::new(),
            folder: folder.to_path_buf(),
            journal: None,
        };
        flow.save()?;
        Ok(flow)
    }

    /// Reads a flow back; its tables follow when they are asked for.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(CONTEXT);
        let Ok(bytes) = std::fs::read(&path) else {
            // A kill between the folder and its context: the flow never was.
            return Ok(None);
        };
        let context =
            ArtifactCollectorContext::decode(bytes.as_slice()).map_err(|reason| Error::damaged(&path, reason))?;
        let mut objects: Vec<Object> = Vec::new();
        let objects_path = folder.join(OBJECTS);
        if objects_path.exists() {
            let (_, lines) = Journal::open::<ObjectLine>(&objects_path)?;
            for line in lines {
                match objects.get_mut(line.index) {
                    Some(object) => *object = line.object,
                    None => objects.push(line.object),
                }
            }
        }
        Ok(Some(Self {
            heard: context.active_time.max(context.create_time),
            context,
            objects,
            cancelled: Arc::default(),
            tables: BTreeMap::new(),
            folder: folder.to_path_buf(),
            journal: None,
        }))
    }

    /// Writes the context.
    pub(crate) fn save(&self) -> Result<(), Error> {
        disk::replace(&self.folder.join(CONTEXT), &self.context.encode_to_vec())
    }

    pub(crate) fn id(&self) -> &str {
        &self.context.session_id
    }

    pub(crate) fn state(&self) -> State {
        self.context.state()
    }

    /// FINISHED or ERROR.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state(), State::Finished | State::Error)
    }

    /// The table of a source, if it has rows.
    pub(crate) fn table(&mut self, source: &str) -> Option<&mut Table> {
        if !self.tables.contains_key(source) {
            let path = self.folder.join(file_name(source));
            if !path.exists() {
                return None;
            }
            match Table::open(&path) {
                Ok(table) => self.tables.insert(source.to_string(), table),
                Err(error) => {
                    tracing::error!(%error, flow = %self.context.session_id, "a table cannot be read");
                    return None;
                }
            };
        }
        self.tables.get_mut(source)
    }

    /// Appends rows to a source's table.
    pub(crate) fn append(&mut self, source: &str, columns: &[String], rows: &[String]) -> std::io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.table(source).is_none() {
            let table = Table::new(&self.folder, source, columns);
            self.tables.insert(source.to_string(), table);
        }
        match self.tables.get_mut(source) {
            Some(table) => table.append(rows),
            None => Ok(()),
        }
    }

    /// Closes the files of a flow that has ended.
    pub(crate) fn close(&mut self) {
        for table in self.tables.values_mut() {
            table.close();
        }
        self.journal = None;
    }

    /// Where the endpoint's uploaded files are spooled.
    pub(crate) fn uploads(&self) -> PathBuf {
        uploads_folder(&self.folder)
    }

    /// Registers an upload that begins. `None` if the same stored name was uploaded before: it is dropped (§5.5).
    pub(crate) fn begin_upload(&mut self, object: Object) -> Result<Option<usize>, Error> {
        if self.objects.iter().any(|known| known.components == object.components) {
            return Ok(None);
        }
        let index = self.objects.len();
        self.objects.push(object);
        self.note_object(index)?;
        Ok(Some(index))
    }

    /// Writes down the present state of an upload.
    pub(crate) fn note_object(&mut self, index: usize) -> Result<(), Error> {
        let path = self.folder.join(OBJECTS);
        if self.journal.is_none() {
            let (journal, _) = Journal::open::<ObjectLine>(&path)?;
            self.journal = Some(journal);
        }
        if let (Some(journal), Some(object)) = (self.journal.as_mut(), self.objects.get(index)) {
            journal.append(&ObjectLine { index, object: object.clone() }).map_err(Error::state(&path))?;
        }
        Ok(())
    }

    /// What `VFSGetBuffer` finds at a path below `uploads`.
    pub(crate) fn find(&self, components: &[String]) -> Found {
        for object in &self.objects {
            let visible = object.complete || object.arrived > 0;
            if object.components == components && visible {
                return Found::Object(Reader {
                    body: object.body.clone(),
                    folder: self.uploads(),
                    arrived: object.arrived,
                    runs: object.runs.clone(),
                });
            }
            if let (Some(runs), true) = (&object.runs, object.complete)
                && is_index_of(components, &object.components)
            {
                let text = index_text(runs);
                return Found::Object(Reader {
                    arrived: text.len() as u64,
                    body: crate::server::filestore::Body::Inline(text),
                    folder: PathBuf::new(),
                    runs: None,
                });
            }
            if visible && object.components.len() > components.len() && object.components.starts_with(components) {
                return Found::Directory;
            }
        }
        if components.is_empty() { Found::Directory } else { Found::Nothing }
    }
}

/// What lies at a path of the file store.
pub(crate) enum Found {
    Object(Reader),
    Directory,
    Nothing,
}

fn is_index_of(asked: &[String], object: &[String]) -> bool {
    match (asked.split_last(), object.split_last()) {
        (Some((asked_name, asked_parent)), Some((name, parent))) => {
            asked_parent == parent && asked_name.strip_suffix(".idx") == Some(name)
        }
        _ => false,
    }
}
