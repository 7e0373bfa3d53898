//! `GetArtifacts` and `SetArtifactFile`: enough to find a helper artifact and to install it.

use tonic::Status;
use velociraptor_proto::proto::set_artifact_request::Operation;
use velociraptor_proto::proto::{
    Artifact, ArtifactDescriptors, GetArtifactsRequest, SetArtifactRequest, SetArtifactResponse,
};

use crate::server::artifacts::Artifacts;
use crate::server::refusal;
use crate::service::{Caller, Service};

const DEFAULT_RESULTS: u64 = 100;

impl Service {
    pub(super) fn artifacts(
        &self,
        caller: &Caller,
        request: &GetArtifactsRequest,
    ) -> Result<ArtifactDescriptors, Status> {
        caller.must(caller.permissions.read_results, "User is not allowed to view custom artifacts.")?;
        let inner = self.deployment.lock();
        let limit = match request.number_of_results {
            0 => DEFAULT_RESULTS,
            limit => limit,
        };
        let term = request.search_term.to_lowercase();
        let items = inner
            .artifacts
            .all()
            .filter(|known| request.names.is_empty() || request.names.contains(&known.name))
            .filter(|known| known.name.to_lowercase().contains(&term))
            .filter(|known| request.r#type.is_empty() || known.kind.eq_ignore_ascii_case(&request.r#type))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .map(|known| Artifact {
                name: known.name.clone(),
                description: known.description.clone(),
                raw: known.raw.clone(),
                r#type: known.kind.clone(),
                built_in: known.built_in,
                ..Artifact::default()
            })
            .collect();
        Ok(ArtifactDescriptors { items, tags: Vec::new() })
    }

    pub(super) fn set_artifact(
        &self,
        caller: &Caller,
        request: &SetArtifactRequest,
    ) -> Result<SetArtifactResponse, Status> {
        caller
            .must(caller.permissions.artifact_writer, "User is not allowed to modify artifacts (ARTIFACT_WRITER).")?;
        let definition = Artifacts::parse(&request.artifact).map_err(refusal::unavailable)?;
        let mut inner = self.deployment.lock();
        match request.op() {
            Operation::Check => {}
            Operation::Set | Operation::CheckAndSet => {
                if inner.artifacts.get(&definition.name).is_some_and(|known| known.built_in) {
                    return Err(refusal::unavailable(format!(
                        "Unable to override built in artifact {}",
                        definition.name
                    )));
                }
                tracing::info!(principal = %caller.name, artifact = %definition.name, "SetArtifactFile");
                inner.artifacts.install(definition).map_err(refusal::disk)?;
            }
            Operation::Delete => {
                inner.artifacts.remove(&definition.name).map_err(refusal::disk)?;
            }
        }
        Ok(SetArtifactResponse::default())
    }
}
