//! The simulated deployment, its endpoints with the timing of default clients, and the real program on it.

use std::path::Path;
use std::time::Duration;

use simulator::{Config, EndpointConfig, Generated, Simulator, Timing};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use velociraptor::{ApiConfig, Driver, Options};

use crate::support::gateway::{Client, Gateway, Start};
use crate::support::http::Http;
use crate::support::propfind;

/// A deployment with a gateway on it; everything ends with the value, the gateway first.
pub struct Deployment {
    pub gateway: Gateway,
    pub server: Server,
}

/// The simulated server with its endpoints, and a driver to start flows by hand.
pub struct Server {
    pub runtime: Runtime,
    pub driver: Driver,
    simulator: Option<Simulator>,
    pub state: TempDir,
}

/// What an endpoint was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Deliveries of tasks: each cost a receive token.
    pub deliveries: u64,
    pub flows: u64,
    pub rows: u64,
}

impl Server {
    /// Starts the endpoints; those without a timing of their own are default clients with a full bucket.
    pub fn start(endpoints: Vec<EndpointConfig>, artifacts: bool) -> Server {
        let runtime = Runtime::new().unwrap();
        let state = tempfile::Builder::new().prefix("flows-").tempdir().unwrap();
        let config = Config { endpoints, timing: Timing::measured(), ..Config::new(state.path()) };
        let simulator = runtime.block_on(Simulator::start(config)).unwrap();
        for artifact in velociraptor::artifacts::ALL.iter().filter(|_| artifacts) {
            simulator.handle().install_artifact(artifact.yaml).unwrap();
        }
        let config = ApiConfig::load(simulator.api_config()).unwrap();
        let driver = runtime.block_on(async { Driver::connect(&config, Options::default()) }).unwrap();
        Server { runtime, driver, simulator: Some(simulator), state }
    }

    fn simulator(&self) -> &Simulator {
        self.simulator.as_ref().expect("it runs")
    }

    /// The id of the endpoint with this host name.
    #[track_caller]
    pub fn client_id(&self, hostname: &str) -> String {
        let mut clients = self.simulator().clients().into_iter();
        clients.find(|client| client.hostname == hostname).expect("an endpoint of this name").client_id
    }

    /// Bytes that the endpoint has uploaded since its start.
    pub fn uploaded(&self, hostname: &str) -> u64 {
        let client = self.client_id(hostname);
        self.simulator().handle().counters().uploaded_bytes.get(&client).copied().unwrap_or(0)
    }

    /// What the endpoint was asked to do since its start.
    pub fn spent(&self, hostname: &str) -> Spent {
        let client = self.client_id(hostname);
        let counts = self.simulator().handle().counters();
        let of = |counts: &std::collections::BTreeMap<String, u64>| counts.get(&client).copied().unwrap_or_default();
        Spent { deliveries: of(&counts.deliveries), flows: counts.flows_on(&client), rows: of(&counts.rows) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(simulator) = self.simulator.take() {
            self.runtime.block_on(simulator.stop());
        }
    }
}

impl Deployment {
    /// Starts the endpoints and a gateway with default settings, but that one user may begin with all endpoints.
    pub fn start(endpoints: Vec<EndpointConfig>, artifacts: bool) -> Deployment {
        let server = Server::start(endpoints, artifacts);
        let start = Start::serve(server.simulator().api_config(), &server.state.path().join("gateway"));
        let gateway = Gateway::start(start.with(["--fan-out", "1000"]));
        Deployment { gateway, server }
    }

    /// The endpoint with this host name.
    #[track_caller]
    pub fn client(&self, hostname: &str) -> Client {
        let mut clients = self.gateway.ready().clients.iter();
        clients.find(|client| client.hostname == hostname).expect("an endpoint of this name").clone()
    }
}

/// A default client whose file system is this directory.
pub fn directory(hostname: &str, root: &Path) -> EndpointConfig {
    EndpointConfig::directory(hostname, root)
}

/// A generated Windows machine.
pub fn windows(hostname: &str, timing: Timing) -> EndpointConfig {
    EndpointConfig { timing: Some(timing), ..EndpointConfig::generated(hostname, Generated::Windows) }
}

impl Spent {
    /// What was spent since `before`.
    pub fn since(self, before: Spent) -> Spent {
        Spent {
            deliveries: self.deliveries - before.deliveries,
            flows: self.flows - before.flows,
            rows: self.rows - before.rows,
        }
    }
}

impl std::fmt::Display for Spent {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{} deliveries, {} flows", self.deliveries, self.flows)
    }
}

/// A look into a directory through WebDAV: how long until all its names were there, and how many. "Later" is asked again as told.
pub fn look(http: &Http, path: &str) -> (Duration, Vec<propfind::Resource>) {
    let started = std::time::Instant::now();
    loop {
        let response = propfind::ask(http, path, "1").unwrap();
        if response.status == 207 {
            let took = started.elapsed();
            let mut resources = propfind::parse(&response.body);
            resources.remove(0);
            return (took, resources);
        }
        assert!(response.status == 503, "PROPFIND {path}: {}: {}", response.status, response.text());
        let after = response.header("retry-after").and_then(|seconds| seconds.parse().ok()).unwrap_or(1);
        std::thread::sleep(Duration::from_secs(after));
    }
}
