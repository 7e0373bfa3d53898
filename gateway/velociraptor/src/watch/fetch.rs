//! Collecting flows: the table of uploads says what arrived, the flow's rows say what did not (docs/velociraptor-api.md §5.2).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use vfs::EndpointPath;
use vfs::backend::{Complaint, ContentLocation, Fetched, FetchedContent, FetchedRange, JobEvent, Outcome};

use super::pages::{Pages, is_last};
use super::uploads::{self, Upload};
use super::watcher::{Watcher, ended};
use super::{complaint, ranges};
use crate::artifacts;
use crate::flow::{FlowState, Kind, Phase};
use crate::server::CallResult;
use crate::table::{self, Field};

/// Tells the results of one collecting flow, each once.
pub(super) struct Reader {
    told: HashSet<usize>,
}

/// Pauses for an upload that the flow counts and its table does not have yet.
const LATE: [Duration; 4] =
    [Duration::from_millis(20), Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500)];

/// What a row of the flow says of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Said {
    /// Bytes of the content, as the endpoint counted them.
    size: Option<u64>,
    sha256: Option<String>,
    error: Option<String>,
}

/// `Upload`, as the endpoint's function gives it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct UploadColumn {
    #[serde(rename = "Size")]
    size: Option<u64>,
    sha256: Option<String>,
    #[serde(rename = "Error")]
    error: Option<String>,
    #[serde(rename = "Components")]
    components: Option<Vec<String>>,
}

const SILENT: &str = "the endpoint said nothing of the file: it does not exist, or its directory may not be searched";

impl Reader {
    pub(super) fn new() -> Reader {
        Reader { told: HashSet::new() }
    }

    /// Whether the flow brings files one by one, of which the first are here before the last.
    pub(super) fn comes_bit_by_bit(watcher: &Watcher) -> bool {
        matches!(&watcher.task.kind, Kind::FetchMany { .. })
    }

    /// Tells the files of a flow that still runs that are certain: their uploads are complete, and have all the bytes that the endpoint
    /// counted (docs/velociraptor-api.md §5.3, §6.6).
    pub(super) async fn read_early(&mut self, watcher: &Watcher, state: &FlowState) -> CallResult<()> {
        let (Kind::FetchMany { files }, source) = (&watcher.task.kind, artifacts::FETCH_MANY.name) else {
            return Ok(());
        };
        if self.told.len() == files.len() || !state.has_source(source) {
            return Ok(());
        }
        let (client_id, flow_id) = (&watcher.job.endpoint.client_id, &watcher.job.id);
        let (uploads, said) =
            tokio::try_join!(uploads::read(&watcher.shared.server, client_id, flow_id), said(watcher, source, true))?;
        let uploads: HashMap<Key, Upload> = uploads.into_iter().map(|upload| (Key::of(&upload), upload)).collect();
        for (index, wanted) in files.iter().map(Wanted::file).enumerate() {
            let (Some(upload), Some(said)) = (uploads.get(&wanted.key), said.get(wanted.said.as_str())) else {
                continue;
            };
            if said.error.is_none() && said.size == Some(upload.uploaded_size) && self.told.insert(index) {
                let content = content(watcher, Some(upload), Some(said), upload.uploaded_size, upload.sparse);
                self.tell(watcher, state, &wanted, Ok(content), None).await;
            }
        }
        Ok(())
    }

    async fn tell(
        &self,
        watcher: &Watcher,
        state: &FlowState,
        wanted: &Wanted,
        content: Result<FetchedContent, Complaint>,
        range: Option<FetchedRange>,
    ) {
        let observation = watcher.observation(state, 0);
        watcher.tell(JobEvent::Fetched(Fetched { file: wanted.file.clone(), content, observation, range })).await;
    }

    /// Reads the results of a flow that is over, and judges it.
    pub(super) async fn finish(&mut self, watcher: &Watcher, state: &FlowState) -> CallResult<Outcome> {
        let (wanted, source) = match &watcher.task.kind {
            Kind::Fetch { file } => (vec![Wanted::file(file)], artifacts::DOWNLOAD_FILE),
            Kind::FetchMany { files } => (files.iter().map(Wanted::file).collect(), artifacts::FETCH_MANY.name),
            Kind::Ranges { file, ranges } => {
                let wanted = ranges.iter().map(|(offset, length)| Wanted::range(file, *offset, *length));
                (wanted.collect(), artifacts::READ_RANGES_DATA)
            }
            _ => return Ok(ended(state)),
        };
        let (client_id, flow_id) = (&watcher.job.endpoint.client_id, &watcher.job.id);
        let server = &watcher.shared.server;
        let (uploads, said) =
            tokio::join!(uploads::read(server, client_id, flow_id), said(watcher, source, state.has_source(source)));
        let (mut uploads, said) = (uploads?, said?);
        for pause in LATE {
            if state.phase != Phase::Finished || uploads.len() as u64 >= state.uploaded_files {
                break;
            }
            tokio::time::sleep(pause).await;
            uploads = uploads::read(server, client_id, flow_id).await?;
        }
        let file_state = match &watcher.task.kind {
            Kind::Ranges { .. } => Some(ranges::file_state(watcher, state).await?),
            _ => None,
        };
        let uploads: HashMap<Key, Upload> = uploads.into_iter().map(|upload| (Key::of(&upload), upload)).collect();
        let single = wanted.len() == 1;
        let mut missing = 0;
        for (index, wanted) in wanted.iter().enumerate() {
            // With one file and one upload it is that one, whatever the endpoint calls it (raw NTFS names the volume).
            let upload =
                uploads.get(&wanted.key).or_else(|| uploads.values().next().filter(|_| single && uploads.len() == 1));
            let said =
                said.get(wanted.said.as_str()).or_else(|| said.values().next().filter(|_| single && said.len() == 1));
            let content = match judge(upload, said) {
                Judgement::Content { size, sparse } => Ok(content(watcher, upload, said, size, sparse)),
                Judgement::Complaint(complaint) => Err(complaint),
            };
            let (content, range) = match (&file_state, wanted.range) {
                (Some(Ok(state)), Some((offset, length))) => {
                    (content, Some(FetchedRange { offset, length, state: *state }))
                }
                (Some(Err(complaint)), _) => (content.and(Err(complaint.clone())), None),
                _ => (content, None),
            };
            missing += usize::from(content.is_err());
            // A failed flow says nothing certain of what it did not bring.
            let certain = content.is_ok() || state.phase == Phase::Finished;
            if certain && self.told.insert(index) {
                self.tell(watcher, state, wanted, content, range).await;
            }
        }
        // A flow also counts as failed for a line in its log; if everything is here, it did what it should (§5.2).
        Ok(if missing == 0 { Outcome::Finished { complaint: None } } else { ended(state) })
    }
}

/// A content that has arrived.
fn content(watcher: &Watcher, upload: Option<&Upload>, said: Option<&Said>, size: u64, sparse: bool) -> FetchedContent {
    FetchedContent {
        size,
        location: ContentLocation {
            org: watcher.job.endpoint.org.clone(),
            components: upload.map(|upload| upload.components.clone()).unwrap_or_default(),
        },
        sparse,
        sha256_endpoint: said.and_then(|said| said.sha256.clone()).filter(|hash| is_sha256(hash)),
    }
}

/// One content that the flow should bring.
struct Wanted {
    file: EndpointPath,
    key: Key,
    /// How the flow's row names it: see [`said`].
    said: String,
    /// Offset and length, of a range.
    range: Option<(u64, u64)>,
}

/// An upload by accessor and path on the endpoint.
#[derive(PartialEq, Eq, Hash)]
struct Key(String, Vec<String>);

impl Key {
    fn of(upload: &Upload) -> Key {
        Key(upload.accessor.clone(), upload.client_components.clone())
    }
}

impl Wanted {
    fn file(file: &EndpointPath) -> Wanted {
        let components: Vec<String> = file.components.iter().map(ToString::to_string).collect();
        let said = name_of(&components);
        Wanted { file: file.clone(), key: Key(file.accessor.to_string(), components), said, range: None }
    }

    fn range(file: &EndpointPath, offset: u64, length: u64) -> Wanted {
        let components = vec![format!("range-{offset}-{length}")];
        let said = name_of(&components);
        Wanted { file: file.clone(), key: Key("scope".to_owned(), components), said, range: Some((offset, length)) }
    }
}

fn name_of(components: &[String]) -> String {
    serde_json::to_string(components).unwrap_or_default()
}

#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Content { size: u64, sparse: bool },
    Complaint(Complaint),
}

fn judge(upload: Option<&Upload>, said: Option<&Said>) -> Judgement {
    let error = said.and_then(|said| said.error.as_deref());
    let size = said.and_then(|said| said.size);
    match (upload, error) {
        (_, Some(error)) => Judgement::Complaint(complaint::complaint(error)),
        (Some(upload), None) if upload.sparse => {
            Judgement::Content { size: size.unwrap_or(upload.file_size), sparse: true }
        }
        (Some(upload), None) if size.is_some_and(|size| size > upload.uploaded_size) => {
            Judgement::Complaint(complaint::silence(&format!(
                "only {} of {} bytes arrived on the server",
                upload.uploaded_size,
                size.unwrap_or_default()
            )))
        }
        (Some(upload), None) => Judgement::Content { size: upload.uploaded_size, sparse: false },
        (None, None) if said.is_some() => {
            Judgement::Complaint(complaint::silence("the endpoint read the file, but its upload is not on the server"))
        }
        (None, None) => Judgement::Complaint(complaint::silence(SILENT)),
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
}

/// What the flow's rows say, by the JSON of the file's components, or of the name under which a range was uploaded.
async fn said(watcher: &Watcher, source: &str, has_rows: bool) -> CallResult<HashMap<Arc<str>, Said>> {
    let mut all = HashMap::new();
    if !has_rows {
        return Ok(all);
    }
    let mut pages = Pages::of_source(&watcher.shared.server, &watcher.job.endpoint.client_id, &watcher.job.id, source);
    let mut next = 0;
    loop {
        let page = pages.page(next).await?;
        next += page.rows.len() as u64;
        parse(&page, &mut all);
        if is_last(&page, next) {
            return Ok(all);
        }
    }
}

fn parse(page: &velociraptor_proto::proto::GetTableResponse, all: &mut HashMap<Arc<str>, Said>) {
    let column = |name| table::column(page, name);
    let (upload, file, components) = (column("Upload"), column("File"), column("_Components"));
    let (size, sha256, error) = (column("Size"), column("Sha256"), column("Error"));
    for row in &page.rows {
        let Some(fields) = table::fields(row) else { continue };
        let number = |column| fields.get(column).and_then(Field::unsigned);
        // Servers before 0.74 send display text: nothing is the word "null" there (§4.5).
        let words = |column| {
            let text = fields.get(column).and_then(Field::words)?;
            (!text.is_empty() && text != "null").then(|| text.into_owned())
        };
        let named = fields.get(file).or_else(|| fields.get(components)).and_then(Field::strings);
        let (named, said) = match fields.get(upload).and_then(Field::object) {
            Some(json) => {
                let upload: UploadColumn = serde_json::from_str(json).unwrap_or_default();
                let said = Said {
                    size: upload.size,
                    sha256: upload.sha256,
                    error: upload.error.filter(|error| !error.is_empty()),
                };
                (named.or(upload.components), said)
            }
            None => (named, Said { size: number(size), sha256: words(sha256), error: words(error) }),
        };
        let Some(name) = named.map(|components| name_of(&components)) else { continue };
        all.insert(Arc::from(name), said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use velociraptor_proto::proto;

    proptest! {
        #[test]
        fn no_table_makes_it_fail(rows in prop::collection::vec("\\PC{0,40}|\\[(\\[\"a\"\\]|null|7),(\\{(\"Size\":[0-9.e-]{0,25})?\\}|7),[0-9]{0,25}\\]", 0..10)) {
            let page = proto::GetTableResponse {
                columns: ["File", "Upload", "Size"].map(String::from).to_vec(),
                rows: rows.into_iter().map(|json| proto::Row { json, ..Default::default() }).collect(),
                ..Default::default()
            };
            parse(&page, &mut HashMap::new());
        }

        #[test]
        fn only_lower_case_hexadecimal_text_of_64_digits_is_a_hash(text in "[0-9a-gA-F]{60,68}") {
            let digits = text.chars().all(|digit| "0123456789abcdef".contains(digit));
            prop_assert_eq!(is_sha256(&text), text.len() == 64 && digits);
        }
    }
}
