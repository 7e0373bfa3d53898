//! `VFSGetBuffer`: bytes of the file store, with all its rules (§5.4), and `SearchFile`.

use tonic::Status;
use velociraptor_proto::proto::{SearchFileRequest, SearchFileResponse, VfsFileBuffer};

use crate::server::filestore::Reader;
use crate::server::flow::Found;
use crate::server::refusal;
use crate::service::{Caller, Service};

/// First components that nobody may read.
const FORBIDDEN: [&str; 6] = ["acl", "backups", "config", "orgs", "secrets", "users"];
/// The server allocates what it is asked for; the simulator does not go beyond this.
const MAX_LENGTH: usize = 256 << 20;
/// With the switch, reads end at multiples of this.
const SHORT_BLOCK: u64 = 64 << 10;
/// `SearchFile` looks so far from its offset.
const SEARCH_LIMIT: usize = 64 << 20;

impl Service {
    pub(super) async fn get_buffer(&self, caller: &Caller, request: &VfsFileBuffer) -> Result<VfsFileBuffer, Status> {
        caller.must(caller.permissions.read_results, "User is not allowed to view the VFS.")?;
        if !matches!(request.org_id.as_str(), "" | "root") {
            return Err(refusal::unavailable("Org not found"));
        }
        let Some(reader) = self.open_object(&request.client_id, &request.components)? else {
            // A directory: OK, and empty.
            return Ok(VfsFileBuffer::default());
        };
        let short = self.deployment.faults.lock().short_reads;
        let mut length = usize::try_from(request.length).unwrap_or(MAX_LENGTH).min(MAX_LENGTH);
        if short {
            let to_boundary = SHORT_BLOCK - request.offset % SHORT_BLOCK;
            length = length.min(usize::try_from(to_boundary).unwrap_or(length));
        }
        let (offset, padding) = (request.offset, request.padding.unwrap_or(true));
        let read = tokio::task::spawn_blocking(move || reader.read(offset, length, padding, short))
            .await
            .map_err(refusal::disk)?;
        match read {
            Ok(data) => Ok(VfsFileBuffer { data: data.into(), ..VfsFileBuffer::default() }),
            Err(error) => {
                // Every read error looks like a short read to the caller.
                tracing::error!(%error, "an upload cannot be read");
                Ok(VfsFileBuffer::default())
            }
        }
    }

    /// The object at a full file store path; `None` for a directory.
    pub(crate) fn open_object(&self, client_id: &str, components: &[String]) -> Result<Option<Reader>, Status> {
        let Some(first) = components.first() else {
            return Err(Status::invalid_argument("Invalid pathspec"));
        };
        if FORBIDDEN.contains(&first.as_str()) {
            return Err(refusal::denied("No access to filesystem path"));
        }
        // With a client id the server looks for a JSON result file of that name: uploads are never found (§5.4).
        if !client_id.is_empty() || first != "clients" {
            return Err(refusal::not_found());
        }
        let inner = self.deployment.lock();
        let at = |place: usize| components.get(place).map(String::as_str);
        let Some(client) = at(1) else {
            return Ok(None);
        };
        let client = inner.clients.get(client).ok_or_else(refusal::not_found)?;
        match at(2) {
            None => return Ok(None),
            Some("collections") => {}
            Some(_) => return Err(refusal::not_found()),
        }
        let Some(flow) = at(3) else {
            return Ok(None);
        };
        let flow = client.flows.get(flow).ok_or_else(refusal::not_found)?;
        match at(4) {
            None => return Ok(None),
            Some("uploads") => {}
            Some(_) => return Err(refusal::not_found()),
        }
        match flow.find(components.get(5..).unwrap_or_default()) {
            Found::Object(reader) => Ok(Some(reader)),
            Found::Directory => Ok(None),
            Found::Nothing => Err(refusal::not_found()),
        }
    }

    pub(super) async fn search_in_file(
        &self,
        caller: &Caller,
        request: SearchFileRequest,
    ) -> Result<SearchFileResponse, Status> {
        caller.must_read()?;
        let term = request.term.into_bytes();
        if !matches!(request.r#type.as_str(), "" | "string") || term.is_empty() {
            return Err(refusal::unavailable("Only searches for a string are simulated"));
        }
        let hit = match self.open_object("", &request.vfs_components)? {
            None => None,
            Some(reader) => {
                let (offset, padding) = (request.offset, request.padding);
                tokio::task::spawn_blocking(move || {
                    let data = reader.read(offset, SEARCH_LIMIT, padding, false)?;
                    Ok::<_, std::io::Error>(
                        data.windows(term.len()).position(|window| window == term).map(|at| offset + at as u64),
                    )
                })
                .await
                .map_err(refusal::disk)?
                .map_err(refusal::disk)?
            }
        };
        Ok(SearchFileResponse { vfs_components: request.vfs_components, hit: hit.unwrap_or_default() })
    }
}
