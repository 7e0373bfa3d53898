//! The deployment, simulated or real, its endpoints default clients, and the real program on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use simulator::{Config, EndpointConfig, Generated, Simulator, Timing};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use velociraptor::{ApiConfig, Driver, Options};

use crate::real::Real;
use crate::support::gateway::{Client, Gateway, Start};
use crate::support::http::Http;
use crate::support::propfind;

/// A deployment with a gateway on it; everything ends with the value, the gateway first.
pub struct Deployment {
    pub gateway: Gateway,
    pub server: Server,
}

/// The server with its endpoints, and a driver to start flows by hand.
pub struct Server {
    pub runtime: Runtime,
    pub driver: Driver,
    kind: Kind,
    pub state: TempDir,
}

enum Kind {
    Simulated(Option<Simulator>),
    Real(Real),
}

/// Whether the deployments are real ones.
pub static REAL: AtomicBool = AtomicBool::new(false);

/// What an endpoint was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Deliveries of tasks: each cost a receive token. A real server does not tell.
    pub deliveries: Option<u64>,
    pub flows: u64,
    pub rows: u64,
}

impl Server {
    /// Starts the endpoints; those without a timing of their own are default clients with a full bucket.
    pub fn start(endpoints: Vec<EndpointConfig>, artifacts: bool) -> Server {
        let runtime = Runtime::new().unwrap();
        let state = tempfile::Builder::new().prefix("flows-").tempdir().unwrap();
        let kind = if REAL.load(Ordering::Relaxed) {
            Kind::Real(Real::start(&endpoints, artifacts))
        } else {
            let config = Config { endpoints, timing: Timing::measured(), ..Config::new(state.path()) };
            let simulator = runtime.block_on(Simulator::start(config)).unwrap();
            for artifact in velociraptor::artifacts::ALL.iter().filter(|_| artifacts) {
                simulator.handle().install_artifact(artifact.yaml).unwrap();
            }
            Kind::Simulated(Some(simulator))
        };
        let config = ApiConfig::load(&kind.api_config()).unwrap();
        let driver = runtime.block_on(async { Driver::connect(&config, Options::default()) }).unwrap();
        Server { runtime, driver, kind, state }
    }

    /// The id of the endpoint with this name.
    #[track_caller]
    pub fn client_id(&self, name: &str) -> String {
        match &self.kind {
            Kind::Simulated(simulator) => {
                let clients = simulator.as_ref().expect("it runs").clients();
                let client = clients.into_iter().find(|client| client.hostname == name);
                client.expect("an endpoint of this name").client_id
            }
            Kind::Real(real) => real.client_id(name),
        }
    }

    /// Bytes that the endpoint has uploaded since its start.
    pub fn uploaded(&self, name: &str) -> u64 {
        let client = self.client_id(name);
        match &self.kind {
            Kind::Simulated(simulator) => {
                let counts = simulator.as_ref().expect("it runs").handle().counters();
                counts.uploaded_bytes.get(&client).copied().unwrap_or(0)
            }
            Kind::Real(real) => real.flows(&client).uploaded,
        }
    }

    /// What the endpoint was asked to do since its start.
    pub fn spent(&self, name: &str) -> Spent {
        let client = self.client_id(name);
        match &self.kind {
            Kind::Simulated(simulator) => {
                let counts = simulator.as_ref().expect("it runs").handle().counters();
                let of = |counts: &BTreeMap<String, u64>| counts.get(&client).copied().unwrap_or_default();
                let (deliveries, rows) = (Some(of(&counts.deliveries)), of(&counts.rows));
                Spent { deliveries, flows: counts.flows_on(&client), rows }
            }
            Kind::Real(real) => {
                let flows = real.flows(&client);
                Spent { deliveries: None, flows: flows.count, rows: flows.rows }
            }
        }
    }
}

impl Kind {
    fn api_config(&self) -> PathBuf {
        match self {
            Kind::Simulated(simulator) => simulator.as_ref().expect("it runs").api_config().to_owned(),
            Kind::Real(real) => real.api_config(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Kind::Simulated(simulator) = &mut self.kind
            && let Some(simulator) = simulator.take()
        {
            self.runtime.block_on(simulator.stop());
        }
    }
}

impl Deployment {
    /// Starts the endpoints and a gateway with default settings, but that one user may begin with all endpoints.
    pub fn start(endpoints: Vec<EndpointConfig>, artifacts: bool) -> Deployment {
        let server = Server::start(endpoints, artifacts);
        let start = Start::serve(&server.kind.api_config(), &server.state.path().join("gateway"));
        let gateway = Gateway::start(start.with(["--fan-out", "1000"]));
        Deployment { gateway, server }
    }

    /// The endpoint with this name.
    #[track_caller]
    pub fn client(&self, name: &str) -> Client {
        let id = self.server.client_id(name);
        let mut clients = self.gateway.ready().clients.iter();
        clients.find(|client| client.client_id == id).expect("an endpoint of this name").clone()
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
            deliveries: self.deliveries.zip(before.deliveries).map(|(now, before)| now - before),
            flows: self.flows - before.flows,
            rows: self.rows - before.rows,
        }
    }
}

impl std::fmt::Display for Spent {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(deliveries) = self.deliveries {
            write!(to, "{deliveries} deliveries, ")?;
        }
        write!(to, "{} flows", self.flows)
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
