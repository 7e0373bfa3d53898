//! A deployment with one real directory, and a client of the generated gRPC code over real mutual TLS.

use std::path::{Path, PathBuf};
use std::time::Duration;

use raptorgate_simulator::{Config, EndpointConfig, Handle, Simulator, Timing};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use velociraptor_proto::proto::api_client::ApiClient;
use velociraptor_proto::proto::artifact_collector_context::State;
use velociraptor_proto::proto::{
    ApiFlowRequest, ArtifactCollectorArgs, ArtifactCollectorContext, ArtifactParameters, ArtifactSpec, GetTableRequest,
    GetTableResponse, VfsFileBuffer, VfsListRequest, VfsListResponse, VqlEnv,
};

pub const LIST: &str = "System.VFS.ListDirectory";
pub const DOWNLOAD: &str = "System.VFS.DownloadFile";
pub const LISTING: &str = "System.VFS.ListDirectory/Listing";
pub const STATS: &str = "System.VFS.ListDirectory/Stats";

pub type Api = ApiClient<Channel>;

/// A running deployment, its folders, and a connected API client of the user `raptorgate`.
pub struct Rig {
    pub simulator: Simulator,
    pub handle: Handle,
    pub api: Api,
    pub client_id: String,
    pub root: tempfile::TempDir,
    pub state: tempfile::TempDir,
}

impl Rig {
    /// One instant endpoint whose `/` is a fresh directory.
    pub async fn start() -> Self {
        Self::with(Timing::instant(), |_| {}).await
    }

    /// The same with other timing, and a chance to fill the directory before the start.
    pub async fn with(timing: Timing, fill: impl FnOnce(&Path)) -> Self {
        let root = tempfile::tempdir().unwrap();
        fill(root.path());
        let state = tempfile::tempdir().unwrap();
        let mut config = Config::new(state.path());
        config.timing = timing;
        config.endpoints = vec![EndpointConfig::directory("host1", root.path())];
        let simulator = Simulator::start(config).await.unwrap();
        let api = connect(simulator.api_config()).await;
        let client_id = simulator.clients()[0].client_id.clone();
        Self { handle: simulator.handle(), simulator, api, client_id, root, state }
    }

    pub async fn start_flow(&mut self, artifact: &str, env: &[(&str, &str)]) -> String {
        let request = collection(&self.client_id, artifact, env);
        self.api.collect_artifact(request).await.unwrap().into_inner().flow_id
    }

    /// Starts a flow and waits for its end.
    pub async fn run(&mut self, artifact: &str, env: &[(&str, &str)]) -> ArtifactCollectorContext {
        let flow_id = self.start_flow(artifact, env).await;
        self.wait(&flow_id).await
    }

    /// Lists a directory the way a gateway does: without `Path`.
    pub async fn list(&mut self, path: &[&str]) -> ArtifactCollectorContext {
        let components = serde_json::to_string(path).unwrap();
        self.run(LIST, &[("Components", &components), ("Accessor", "auto"), ("Depth", "0")]).await
    }

    pub async fn download(&mut self, path: &[&str]) -> ArtifactCollectorContext {
        let components = serde_json::to_string(path).unwrap();
        self.run(DOWNLOAD, &[("Components", &components), ("Accessor", "auto")]).await
    }

    pub async fn details(&mut self, flow_id: &str) -> ArtifactCollectorContext {
        details(&mut self.api, &self.client_id, flow_id).await
    }

    pub async fn wait(&mut self, flow_id: &str) -> ArtifactCollectorContext {
        for _ in 0..6000 {
            let context = self.details(flow_id).await;
            if matches!(context.state(), State::Finished | State::Error) {
                return context;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("flow {flow_id} does not end");
    }

    /// The server's record of a directory, once `flow_id` has written it: that comes after the flow's end.
    pub async fn record(&mut self, of: &VfsListRequest, flow_id: &str) -> VfsListResponse {
        for _ in 0..6000 {
            let record = self.api.vfs_stat_directory(of.clone()).await.unwrap().into_inner();
            if record.flow_id == flow_id {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("flow {flow_id} does not write its record");
    }

    pub async fn table(&mut self, flow_id: &str, artifact: &str) -> GetTableResponse {
        let request = GetTableRequest {
            client_id: self.client_id.clone(),
            flow_id: flow_id.to_string(),
            artifact: artifact.to_string(),
            rows: 100_000,
            ..GetTableRequest::default()
        };
        self.api.get_table(request).await.unwrap().into_inner()
    }

    pub async fn typed_table(&mut self, flow_id: &str, kind: &str) -> GetTableResponse {
        let request = GetTableRequest {
            client_id: self.client_id.clone(),
            flow_id: flow_id.to_string(),
            r#type: kind.to_string(),
            ..GetTableRequest::default()
        };
        self.api.get_table(request).await.unwrap().into_inner()
    }

    pub fn store_path(&self, flow_id: &str, accessor: &str, path: &[&str]) -> Vec<String> {
        let mut components: Vec<String> =
            ["clients", &self.client_id, "collections", flow_id, "uploads", accessor].map(String::from).to_vec();
        components.extend(path.iter().map(ToString::to_string));
        components
    }

    pub async fn buffer(
        &mut self,
        components: Vec<String>,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, tonic::Status> {
        let request = VfsFileBuffer { components, offset, length, ..VfsFileBuffer::default() };
        Ok(self.api.vfs_get_buffer(request).await?.into_inner().data.into())
    }
}

pub async fn details(api: &mut Api, client_id: &str, flow_id: &str) -> ArtifactCollectorContext {
    let request =
        ApiFlowRequest { client_id: client_id.to_string(), flow_id: flow_id.to_string(), ..ApiFlowRequest::default() };
    api.get_flow_details(request).await.unwrap().into_inner().context.unwrap()
}

pub fn collection(client_id: &str, artifact: &str, env: &[(&str, &str)]) -> ArtifactCollectorArgs {
    ArtifactCollectorArgs {
        client_id: client_id.to_string(),
        artifacts: vec![artifact.to_string()],
        urgent: true,
        specs: vec![ArtifactSpec {
            artifact: artifact.to_string(),
            parameters: Some(ArtifactParameters {
                env: env
                    .iter()
                    .map(|(key, value)| VqlEnv {
                        key: (*key).to_string(),
                        value: (*value).to_string(),
                        ..VqlEnv::default()
                    })
                    .collect(),
            }),
            ..ArtifactSpec::default()
        }],
        ..ArtifactCollectorArgs::default()
    }
}

/// The values of `api_client.yaml`.
pub fn read_config(path: &Path) -> std::collections::BTreeMap<String, String> {
    let mut values = std::collections::BTreeMap::new();
    let mut block: Option<String> = None;
    for line in std::fs::read_to_string(path).unwrap().lines() {
        if let Some(text) = line.strip_prefix("  ") {
            let key = block.clone().unwrap();
            let value: &mut String = values.entry(key).or_default();
            value.push_str(text);
            value.push('\n');
        } else {
            let (key, value) = line.split_once(": ").unwrap();
            if value == "|" {
                block = Some(key.to_string());
            } else {
                values.insert(key.to_string(), value.to_string());
            }
        }
    }
    values
}

pub async fn connect(config: &Path) -> Api {
    try_connect(config, true).await.unwrap()
}

pub async fn try_connect(config: &Path, with_certificate: bool) -> Result<Api, tonic::transport::Error> {
    let values = read_config(config);
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&values["ca_certificate"]))
        .domain_name("VelociraptorServer");
    if with_certificate {
        tls = tls.identity(Identity::from_pem(&values["client_cert"], &values["client_private_key"]));
    }
    let channel = Endpoint::from_shared(format!("https://{}", values["api_connection_string"]))
        .unwrap()
        .tls_config(tls)?
        .connect()
        .await?;
    Ok(ApiClient::new(channel).max_decoding_message_size(256 << 20))
}

/// Rows of an answer as JSON arrays.
pub fn rows(table: &GetTableResponse) -> Vec<Vec<serde_json::Value>> {
    table.rows.iter().map(|row| serde_json::from_str(&row.json).unwrap()).collect()
}

/// One column of an answer, by name.
pub fn column(table: &GetTableResponse, name: &str) -> Vec<serde_json::Value> {
    let place = table.columns.iter().position(|column| column == name).unwrap();
    rows(table).into_iter().map(|row| row[place].clone()).collect()
}

/// A recorded answer of the measured server.
pub fn fixture(name: &str) -> serde_json::Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
