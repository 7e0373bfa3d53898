//! Putting a deployment together, starting it and stopping it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use velociraptor_proto::proto::api_server::ApiServer;

use crate::clock::Clock;
use crate::config::{Config, EndpointConfig, Tree};
use crate::control;
use crate::disk;
use crate::endpoint::{Endpoint, EndpointParts};
use crate::error::Error;
use crate::gui::Gui;
use crate::handle::{ClientSummary, Handle};
use crate::history;
use crate::identity::certificates::Authority;
use crate::identity::ids;
use crate::identity::users::Permissions;
use crate::seeded;
use crate::server::clients::{Client, Profile};
use crate::server::deployment::{Deployment, client_folder};
use crate::service::Service;
use crate::service::listener::{self, Connections};
use crate::tree::FileSystem;
use crate::tree::directory::RealDirectory;
use crate::tree::even::Even;
use crate::tree::overlay::{Overlay, Troubles};

/// The API user that every deployment has.
const GATEWAY_USER: &str = "raptorgate";

/// A running deployment. Dropping it stops everything at once.
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    api_config: PathBuf,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What handles share with the simulator.
pub(crate) struct Shared {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) connections: Connections,
    pub(crate) troubles: BTreeMap<String, Troubles>,
    pub(crate) gui: Option<Arc<Gui>>,
    authority: Authority,
    folder: PathBuf,
}

impl Simulator {
    /// Opens the state, enrols the endpoints and listens.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let clock = Clock::system();
        let folder = config.state.join("simulator");
        disk::make_folder(&folder)?;
        let authority = Authority::open(&folder.join("ca"), clock.clone())?;
        let tls = authority.server_config()?;
        let deployment = Arc::new(Deployment::open(&folder, clock)?);
        let mut troubles = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let mut endpoints = Vec::new();
        for endpoint in &config.endpoints {
            let parts = enrol(&deployment, &folder, &config, endpoint, &mut troubles)?;
            endpoints.push((parts, endpoint));
        }
        for (parts, config) in endpoints {
            let client_id = parts.parts.client_id.clone();
            if let (Tree::Generated(tree), true, false) = (&config.tree, parts.is_new, config.online) {
                history::make(*tree, parts.parts.clone(), &deployment).await;
            }
            let (parts, online) = (parts.parts, config.online);
            Endpoint::start(parts, &deployment, &mut tasks);
            if let Some(client) = deployment.lock().clients.get(&client_id) {
                client.online.send_replace(online);
            }
        }

        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| Error::Listen { address: config.listen, source })?;
        let address = listener.local_addr().map_err(|source| Error::Listen { address: config.listen, source })?;
        let connections = Connections::default();
        let accepted = listener::accept(listener, TlsAcceptor::from(Arc::new(tls)), connections.clone(), &mut tasks);
        let service = Service { deployment: Arc::clone(&deployment) };
        let gui = match &config.gui {
            Some(gui) => {
                let (gui, service) = (gui.clone(), service.clone());
                let gui = Gui::start(gui, GATEWAY_USER, &folder, service, &authority, connections.clone(), &mut tasks);
                Some(gui.await?)
            }
            None => None,
        };
        let (stop, mut stopped) = watch::channel(false);
        tasks.spawn(async move {
            let server = tonic::transport::Server::builder().add_service(ApiServer::new(service));
            let stopping = async move {
                // An error means that the simulator was dropped: stop as well.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            if let Err(error) = server.serve_with_incoming_shutdown(ReceiverStream::new(accepted), stopping).await {
                tracing::error!(%error, "the simulated server has stopped");
            }
        });

        let shared = Arc::new(Shared { deployment, connections, troubles, gui, authority, folder });
        let mut this = Self { shared, address, api_config: PathBuf::new(), stop, tasks };
        this.api_config = this.add_api_user(GATEWAY_USER, Permissions::investigator())?;
        let control_path = this.shared.folder.join("control.sock");
        let handle = this.handle();
        control::listen(&control_path, handle, &mut this.tasks)?;
        Ok(this)
    }

    /// Where the API listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `api_client.yaml` of the user `raptorgate`, who has the roles `investigator,api`.
    #[must_use]
    pub fn api_config(&self) -> &Path {
        &self.api_config
    }

    /// Where the GUI is, if the deployment has one: what goes before `app/index.html`.
    #[must_use]
    pub fn gui_url(&self) -> Option<String> {
        self.shared.gui.as_ref().map(|gui| gui.url())
    }

    /// The file with the GUI's password of the user `raptorgate`, if the deployment has one.
    #[must_use]
    pub fn gui_password_file(&self) -> Option<PathBuf> {
        self.shared.gui.as_ref().map(|gui| gui.password_file().to_path_buf())
    }

    /// The deployment's CA, PEM: that of the GUI's certificate too.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.shared.folder.join("ca").join("ca.pem")
    }

    /// Gives a user a password for the GUI, for as long as this deployment runs.
    pub fn set_gui_password(&self, user: &str, password: &str) {
        if let Some(gui) = &self.shared.gui {
            gui.set_password(user, password);
        }
    }

    /// From now on the GUI switches this user to another organisation, in which there is no client, without a word.
    pub fn switch_gui_org(&self, user: &str, org: &str) {
        if let Some(gui) = &self.shared.gui {
            gui.switch_org(user, org);
        }
    }

    /// Adds (or changes) an API user and writes its configuration file.
    pub fn add_api_user(&self, name: &str, permissions: Permissions) -> Result<PathBuf, Error> {
        let path = self.write_certificate(name)?;
        self.shared.deployment.lock().users.set(name, permissions)?;
        Ok(path)
    }

    /// Writes an API configuration whose certificate has no user record: every call but `Check` is NOT_FOUND (§1.5).
    pub fn write_certificate(&self, name: &str) -> Result<PathBuf, Error> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(good) {
            return Err(Error::Configuration(format!(
                "user name {name:?} must consist of letters, digits and . _ - @"
            )));
        }
        let folder = self.shared.folder.join("api");
        disk::make_folder(&folder)?;
        let path = if name == GATEWAY_USER {
            self.shared.folder.join("api_client.yaml")
        } else {
            folder.join(format!("{name}.yaml"))
        };
        self.shared.authority.write_api_client(&path, name, &self.address.to_string())?;
        Ok(path)
    }

    /// Switches and counters.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// All clients.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientSummary> {
        self.handle().clients()
    }

    /// Stops: connections end, endpoints with them. The state stays as it is.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        self.handle().drop_event_streams();
        self.shared.connections.restart(std::time::Duration::MAX / 4);
        self.tasks.shutdown().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.deployment.close();
        self.shared.connections.restart(std::time::Duration::MAX / 4);
    }
}

/// An endpoint ready to start.
struct Enrolled {
    parts: EndpointParts,
    is_new: bool,
}

/// Opens or enrols one client, and makes what its endpoint needs.
fn enrol(
    deployment: &Arc<Deployment>,
    folder: &Path,
    config: &Config,
    endpoint: &EndpointConfig,
    troubles: &mut BTreeMap<String, Troubles>,
) -> Result<Enrolled, Error> {
    let client_id = match &endpoint.client_id {
        Some(client_id) if ids::is_client_id(client_id) && client_id != "server" => client_id.clone(),
        Some(client_id) => {
            return Err(Error::Configuration(format!(
                "client id {client_id:?} must be C. and lower-case letters or digits"
            )));
        }
        None => ids::client_id(config.seed, &endpoint.hostname),
    };
    let seed = seeded::hash(config.seed, client_id.as_bytes());
    let timing = endpoint.timing.clone().unwrap_or_else(|| config.timing.clone());
    let (files, root): (Arc<dyn FileSystem>, Option<PathBuf>) = match &endpoint.tree {
        Tree::Directory(path) => {
            let tree = RealDirectory::new(path, endpoint.system).map_err(Error::state(path))?;
            (Arc::new(tree), Some(path.clone()))
        }
        Tree::Even { directories, files } => (Arc::new(Even::new(*directories, *files)), None),
        Tree::Generated(tree) => (crate::tree::generated_file_system(*tree, seed, deployment.clock.apart()), None),
    };
    let own = Troubles::default();
    let files = Arc::new(Overlay::new(files, endpoint.system, own.clone()));
    if troubles.insert(client_id.clone(), own).is_some() {
        return Err(Error::Configuration(format!("two endpoints have the client id {client_id}")));
    }
    let profile = Profile {
        client_id: client_id.clone(),
        hostname: endpoint.hostname.clone(),
        system: endpoint.system,
        root,
        timing: timing.clone(),
    };
    let mut inner = deployment.lock();
    let inner = &mut *inner;
    let (mut client, is_new) =
        Client::open(&client_folder(folder, &client_id), profile, &endpoint.labels, &deployment.clock, &mut inner.ids)?;
    let lost = client.resume();
    inner.clients.insert(client_id.clone(), client);
    for flow_id in lost {
        // The process that ran it is gone: the server will learn so.
        let (deployment, client_id, after) = (Arc::clone(deployment), client_id.clone(), timing.lost_after);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            deployment.lose(&client_id, &flow_id);
        });
    }
    let parts = EndpointParts { client_id, system: endpoint.system, timing, seed, files };
    Ok(Enrolled { parts, is_new })
}
