//! The gateway: all rooms put together, started in order, ended in reverse.

mod settings;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use access::{Credentials, Ledger, LocalAdmission};
use anyhow::Context;
use nfs::PortmapStatus;
use serde_json::{Value, json};
use store::DiskStore;
use velociraptor::Driver;
use vfs::backend::Metrics;
use vfs::store::Store;
use vfs::{Clock, Keys, Principal, SystemClock, Vfs};

use crate::announce::{self, Reach};
use crate::configuration::{GatewayKeys, Listen};
use crate::{descriptors, exposition, ports, state};

/// What endpoints a person worked on in this time are no new ones (D16).
const FAMILIAR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the gateway may take to hear of the server's endpoints.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where everything listens.
#[derive(Debug, Clone)]
pub struct Listeners {
    /// NFS and what belongs to it.
    pub nfs: Vec<Listen>,
    /// WebDAV and browsers.
    pub webdav: Vec<Listen>,
}

/// A gateway whose state is open, not yet serving.
pub struct Prepared {
    state: PathBuf,
    store: Arc<DiskStore>,
    keys: Keys,
    credentials: Option<Credentials>,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    principal: Principal,
}

/// A gateway that serves.
pub struct Gateway {
    /// The model.
    pub vfs: Vfs,
    /// How it can be reached.
    pub reach: Reach,
    store: Arc<DiskStore>,
    ledger: Arc<Ledger>,
    nfs: nfs::Server,
    webdav: webdav::Server,
}

impl Prepared {
    /// Opens the state.
    ///
    /// # Errors
    /// If another gateway uses it, if it is damaged, or if the disk refuses; the text says what to do.
    pub fn open(state: &Path, keys: &GatewayKeys) -> anyhow::Result<Prepared> {
        keys.check_exposure().map_err(anyhow::Error::msg)?;
        let store = Arc::new(DiskStore::open(state, store::Options::default())?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Ok(Prepared {
            state: state.to_owned(),
            store,
            keys: Keys::new(&store::secret(state)?),
            credentials: if keys.no_auth { None } else { Some(Credentials::load_or_create(state)?) },
            ledger: Arc::new(Ledger::open(state, clock.clone())?),
            clock,
            principal: access::local_principal(),
        })
    }

    /// Endpoints were seen before: there is something to serve even if the server does not answer.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn knows_endpoints(&self) -> anyhow::Result<bool> {
        Ok(!self.store.endpoints()?.is_empty())
    }

    /// Starts to serve. `origin` says in the status where the endpoints come from.
    ///
    /// # Errors
    /// If an address cannot be listened on.
    pub async fn serve(
        self,
        keys: &GatewayKeys,
        listeners: &Listeners,
        driver: Driver,
        origin: Value,
    ) -> anyhow::Result<Gateway> {
        let calls = Metrics::default();
        let vfs = Vfs::new(vfs::Parts {
            backend: vfs::backend::layers(Arc::new(driver), &calls),
            store: self.store.clone(),
            clock: self.clock.clone(),
            keys: self.keys.clone(),
            admission: Arc::new(self.admission(keys)),
            recorder: self.ledger.clone(),
            settings: settings::of_model(keys),
        })?;
        descriptors::raise();
        let nfs_config = settings::of_nfs(keys, self.principal.clone(), ports::usable(&listeners.nfs));
        let nfs = nfs::Server::start(vfs.clone(), nfs_config).await.context("the NFS service cannot start")?;
        let mut reach = Reach {
            nfs: nfs.addresses().to_vec(),
            portmapped: is_portmapped(nfs.portmap()),
            xprtsec: settings::xprtsec(keys),
            webdav: ports::usable(&listeners.webdav),
            webdav_tls: keys.webdav_certificate.is_some(),
            name: keys.host.first().cloned(),
            credentials: self.credentials.clone(),
        };
        let webdav =
            webdav::Server::start(vfs.clone(), self.webdav_config(keys, &reach, nfs.view(), (origin, calls))).await;
        let webdav = webdav.context("the WebDAV service cannot start")?;
        reach.webdav = webdav.addresses().to_vec();
        Ok(Gateway { vfs, reach, store: self.store, ledger: self.ledger, nfs, webdav })
    }

    fn admission(&self, keys: &GatewayKeys) -> LocalAdmission {
        let admission = LocalAdmission::new(settings::of_admission(keys), self.clock.clone());
        let now = self.clock.now();
        for flow in self.ledger.recent_flows().iter().filter(|flow| now.since(flow.at) < FAMILIAR) {
            admission.remember(&flow.principal, &flow.endpoint, flow.at);
        }
        admission
    }

    fn webdav_config(
        &self,
        keys: &GatewayKeys,
        reach: &Reach,
        nfs: nfs::View,
        (origin, calls): (Value, Metrics),
    ) -> webdav::Config {
        let credentials = self.credentials.as_ref();
        let credentials = credentials.map(|credentials| webdav::Credentials {
            user: credentials.user().to_owned(),
            password: credentials.password().to_owned(),
        });
        let metrics = {
            let (nfs, calls) = (nfs.clone(), calls.clone());
            move || exposition::text(&nfs.metrics(), &json!(calls.figures()))
        };
        let commands = announce::commands(reach, "CLIENT_ID", "NAME").into_iter();
        webdav::Config {
            listen: reach.webdav.clone(),
            credentials,
            control_socket: Some(state::control_socket(&self.state)),
            status: Arc::new(self.status(reach.clone(), keys.nfs_require_tls_for.clone(), origin, calls)),
            connections: Arc::new(move || json!(nfs.connections())),
            metrics: Arc::new(metrics),
            connect: commands.map(|(title, command)| (title.to_owned(), command)).collect(),
            ..settings::of_webdav(keys, self.principal.clone())
        }
    }

    /// What the status page and the verb say of the program itself.
    fn status(
        &self,
        reach: Reach,
        tls_for: Vec<String>,
        origin: Value,
        calls: Metrics,
    ) -> impl Fn() -> Value + Send + Sync + 'static {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let (started, state) = (self.clock.now(), self.state.clone());
        let ledger = self.ledger.path().to_owned();
        move || {
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "process": std::process::id(),
                "running_seconds": clock.now().since(started).as_secs(),
                "started": started.to_rfc3339(),
                "server": origin,
                "nfs": reach.nfs,
                "portmapped": reach.portmapped,
                "nfs_xprtsec": reach.xprtsec,
                "nfs_tls_for": tls_for,
                "webdav": reach.webdav_url(),
                "state": state,
                "ledger": ledger,
                "cache": store.usage().ok(),
                "calls": calls.figures(),
            })
        }
    }
}

/// Whether clients learn the ports by themselves; tells the log why not.
fn is_portmapped(status: &PortmapStatus) -> bool {
    match status {
        PortmapStatus::OwnPort { .. } => true,
        PortmapStatus::Registered { conflicts } => {
            for conflict in conflicts {
                tracing::warn!("rpcbind: {conflict}");
            }
            conflicts.is_empty()
        }
        PortmapStatus::None { why, options } => {
            tracing::info!("NFS mounts need the options {options}: {why}");
            false
        }
    }
}

impl Gateway {
    /// Waits until all of these endpoints are known, or patience is over; whether they are.
    pub async fn until_known(&self, client_ids: &BTreeSet<String>) -> bool {
        let all_known = async {
            loop {
                let known = self.vfs.endpoints();
                let known: BTreeSet<&str> = known.iter().map(|status| &*status.endpoint.id.client_id).collect();
                if client_ids.iter().all(|wanted| known.contains(wanted.as_str())) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all_known).await.is_ok()
    }

    /// Ends: no new calls, those under way finish, everything is on the disk.
    pub async fn stop(self) {
        self.nfs.stop().await;
        self.webdav.stop().await;
        drop(self.vfs);
        self.ledger.close();
        if let Err(error) = self.store.sync() {
            tracing::error!(%error, "the state could not be synced");
        }
        tracing::info!("ended");
    }
}
