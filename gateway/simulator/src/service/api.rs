//! `/proto.API/…`: each call enters, is handled in its own file, and is answered.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use velociraptor_proto::proto::api_server::Api;
use velociraptor_proto::proto::health_check_response::ServingStatus;
use velociraptor_proto::proto::{
    ApiClient, ApiFlowRequest, ApiResponse, ApiUser, ArtifactCollectorArgs, ArtifactCollectorResponse,
    ArtifactDescriptors, ClientMetadata, EventRequest, EventResponse, FlowDetails, GetArtifactsRequest,
    GetClientRequest, GetTableRequest, GetTableResponse, HealthCheckRequest, HealthCheckResponse, LabelClientsRequest,
    NotificationRequest, PushEventRequest, SearchClientsRequest, SearchClientsResponse, SearchFileRequest,
    SearchFileResponse, SetArtifactRequest, SetArtifactResponse, StartFlowResponse, VfsDownloadInfo, VfsFileBuffer,
    VfsListRequest, VfsListResponse, VfsRefreshDirectoryRequest, VfsStatDownloadRequest, VqlCollectorArgs, VqlResponse,
};

use crate::server::refusal;
use crate::service::Service;

type Answer<T> = Result<Response<T>, Status>;
/// A server stream.
pub(crate) type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Api for Service {
    async fn vfs_list_directory(&self, request: Request<VfsListRequest>) -> Answer<VfsListResponse> {
        let (caller, request) = self.enter("VFSListDirectory", request)?;
        self.answer(self.list_directory(&caller, &request)?)
    }

    async fn vfs_list_directory_files(&self, request: Request<GetTableRequest>) -> Answer<GetTableResponse> {
        let (caller, request) = self.enter("VFSListDirectoryFiles", request)?;
        self.answer(self.list_directory_files(&caller, &request).await?)
    }

    async fn vfs_refresh_directory(
        &self,
        request: Request<VfsRefreshDirectoryRequest>,
    ) -> Answer<ArtifactCollectorResponse> {
        let (caller, request) = self.enter("VFSRefreshDirectory", request)?;
        self.answer(self.refresh_directory(&caller, &request).await?)
    }

    async fn vfs_stat_directory(&self, request: Request<VfsListRequest>) -> Answer<VfsListResponse> {
        let (caller, request) = self.enter("VFSStatDirectory", request)?;
        self.answer(self.stat_directory(&caller, &request)?)
    }

    async fn vfs_stat_download(&self, request: Request<VfsStatDownloadRequest>) -> Answer<VfsDownloadInfo> {
        let (caller, _) = self.enter("VFSStatDownload", request)?;
        caller.must_read()?;
        // Nothing writes the object that it reads any more (§5.2).
        Err(refusal::not_found())
    }

    async fn vfs_download_file(&self, request: Request<VfsStatDownloadRequest>) -> Answer<StartFlowResponse> {
        let (caller, request) = self.enter("VFSDownloadFile", request)?;
        self.answer(self.download_file(&caller, &request).await?)
    }

    async fn vfs_get_buffer(&self, request: Request<VfsFileBuffer>) -> Answer<VfsFileBuffer> {
        let (caller, request) = self.enter("VFSGetBuffer", request)?;
        self.answer(self.get_buffer(&caller, &request).await?)
    }

    async fn get_table(&self, request: Request<GetTableRequest>) -> Answer<GetTableResponse> {
        let (caller, request) = self.enter("GetTable", request)?;
        self.answer(self.table(&caller, &request).await?)
    }

    async fn search_file(&self, request: Request<SearchFileRequest>) -> Answer<SearchFileResponse> {
        let (caller, request) = self.enter("SearchFile", request)?;
        self.answer(self.search_in_file(&caller, request).await?)
    }

    async fn list_clients(&self, request: Request<SearchClientsRequest>) -> Answer<SearchClientsResponse> {
        let (caller, request) = self.enter("ListClients", request)?;
        self.answer(self.search_clients(&caller, request)?)
    }

    async fn get_client(&self, request: Request<GetClientRequest>) -> Answer<ApiClient> {
        let (caller, request) = self.enter("GetClient", request)?;
        self.answer(self.one_client(&caller, &request)?)
    }

    async fn get_client_metadata(&self, request: Request<GetClientRequest>) -> Answer<ClientMetadata> {
        let (caller, request) = self.enter("GetClientMetadata", request)?;
        caller.must_read()?;
        self.answer(ClientMetadata { client_id: request.client_id, items: Vec::new() })
    }

    async fn label_clients(&self, request: Request<LabelClientsRequest>) -> Answer<ApiResponse> {
        let (caller, request) = self.enter("LabelClients", request)?;
        self.answer(self.label(&caller, &request)?)
    }

    async fn notify_clients(&self, request: Request<NotificationRequest>) -> Answer<()> {
        let (caller, request) = self.enter("NotifyClients", request)?;
        self.notify(&caller, &request)?;
        Ok(Response::new(()))
    }

    async fn get_client_flows(&self, request: Request<GetTableRequest>) -> Answer<GetTableResponse> {
        let (caller, request) = self.enter("GetClientFlows", request)?;
        self.answer(self.client_flows(&caller, &request)?)
    }

    async fn collect_artifact(&self, request: Request<ArtifactCollectorArgs>) -> Answer<ArtifactCollectorResponse> {
        let (caller, request) = self.enter("CollectArtifact", request)?;
        self.answer(self.collect(&caller, &request).await?)
    }

    async fn cancel_flow(&self, request: Request<ApiFlowRequest>) -> Answer<StartFlowResponse> {
        let (caller, request) = self.enter("CancelFlow", request)?;
        self.answer(self.cancel(&caller, request)?)
    }

    async fn resume_flow(&self, request: Request<ApiFlowRequest>) -> Answer<()> {
        let (caller, _) = self.enter("ResumeFlow", request)?;
        caller.must(caller.permissions.collect_client, "User is not allowed to resume flows.")?;
        Err(refusal::unavailable("Resuming a flow is not simulated"))
    }

    async fn get_flow_details(&self, request: Request<ApiFlowRequest>) -> Answer<FlowDetails> {
        let (caller, request) = self.enter("GetFlowDetails", request)?;
        self.answer(self.flow_details(&caller, &request)?)
    }

    async fn get_user_ui_traits(&self, request: Request<()>) -> Answer<ApiUser> {
        let (caller, ()) = self.enter("GetUserUITraits", request)?;
        self.answer(self.traits(&caller))
    }

    async fn get_artifacts(&self, request: Request<GetArtifactsRequest>) -> Answer<ArtifactDescriptors> {
        let (caller, request) = self.enter("GetArtifacts", request)?;
        self.answer(self.artifacts(&caller, &request)?)
    }

    async fn set_artifact_file(&self, request: Request<SetArtifactRequest>) -> Answer<SetArtifactResponse> {
        let (caller, request) = self.enter("SetArtifactFile", request)?;
        self.answer(self.set_artifact(&caller, &request)?)
    }

    type QueryStream = Streamed<VqlResponse>;

    async fn query(&self, request: Request<VqlCollectorArgs>) -> Answer<Self::QueryStream> {
        let (caller, request) = self.enter("Query", request)?;
        Ok(Response::new(self.run_query(&caller, request)?))
    }

    type WatchEventStream = Streamed<EventResponse>;

    async fn watch_event(&self, request: Request<EventRequest>) -> Answer<Self::WatchEventStream> {
        let (caller, request) = self.enter("WatchEvent", request)?;
        Ok(Response::new(self.watch(&caller, &request)?))
    }

    async fn push_events(&self, request: Request<PushEventRequest>) -> Answer<()> {
        let (caller, _) = self.enter("PushEvents", request)?;
        caller.must(caller.permissions.server_admin, "User is not allowed to publish to this queue.")?;
        Ok(Response::new(()))
    }

    async fn write_event(&self, request: Request<VqlResponse>) -> Answer<()> {
        self.enter("WriteEvent", request)?;
        Err(refusal::unavailable("WriteEvent is deprecated"))
    }

    async fn check(&self, _: Request<HealthCheckRequest>) -> Answer<HealthCheckResponse> {
        self.deployment.counters.call("Check");
        // Even a certificate without a user record is told SERVING (§1.5).
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }
}
