//! The server: sockets, programs, portmapper, start and stop.

mod bind;

use std::net::SocketAddr;
use std::sync::Arc;

use access::{TlsIdentity, TlsTerms};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use vfs::Vfs;

use crate::config::{self, Config, PortmapMode, Require};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::mount::{self, Mount, Mounts};
use crate::nfs3::{self, Nfs3};
use crate::nlm::{self, Locks, Nlm};
use crate::nsm::{self, Nsm};
use crate::peer::Policies;
use crate::portmap::{self, Families, Mapping, Portmap, PortmapStatus, Protocol, Registered, Registry};
use crate::requirements::Requirements;
use crate::rpc::{self, Admission, ConnectionReport, Engine, Programs, Service, Table, accept, serve_datagrams};
use bind::Sockets;

/// What a running server can tell of itself.
#[derive(Clone)]
pub struct View {
    engine: Arc<Engine>,
    mounts: Arc<Mounts>,
}

impl View {
    /// All connections, oldest first.
    pub fn connections(&self) -> Vec<ConnectionReport> {
        self.engine.table.report(|address| self.mounts.of(address))
    }

    /// Counters since the start.
    pub fn metrics(&self) -> Metrics {
        Metrics { connections: self.engine.table.totals(), procedures: self.engine.programs.metrics() }
    }
}

/// A running NFS server. [`Server::stop`] ends it well; dropping it cuts everything off.
pub struct Server {
    engine: Arc<Engine>,
    mounts: Arc<Mounts>,
    addresses: Vec<SocketAddr>,
    mount_addresses: Vec<SocketAddr>,
    portmap: PortmapStatus,
    registered: Option<Registered>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// TLS 1.3 alone. The protocol name `sunrpc` (RFC 9289 §7.2) is offered and not required: Linux' `tlshd` sends none. Nothing is
/// remembered from one connection for the next, so that every connection is judged by the files as they are now.
fn tls_terms(require: Require) -> TlsTerms {
    TlsTerms {
        old_clients: false,
        certificate_required: require == Require::Certificate,
        protocols: vec![b"sunrpc".to_vec()],
        resumption: false,
    }
}

impl Server {
    /// Listens, registers, serves.
    ///
    /// # Errors
    /// If an address cannot be listened on, or TLS cannot be done as configured. Lacking a portmapper is no error but told by [`Server::portmap`], unless
    /// [`PortmapMode::Own`] asks for it.
    pub async fn start(vfs: Vfs, config: Config) -> Result<Server, Error> {
        let requirements = Requirements::new(&vfs, &config)?;
        let tls = match &config.tls {
            Some(files) => Some(Arc::new(TlsIdentity::load(files.clone(), tls_terms(config.require))?)),
            None => None,
        };
        let nfs = bind::streams(&config.listen, "NFS")?;
        let addresses = nfs.addresses();
        let port = addresses.first().map(SocketAddr::port).ok_or(Error::NoAddress)?;
        let mount_port = config.mount_port.unwrap_or(port);
        let at = |port: u16| -> Vec<SocketAddr> {
            addresses.iter().map(|address| SocketAddr::new(address.ip(), port)).collect()
        };
        let datagrams = bind::datagrams(&addresses, "MOUNT and locks")?;
        let mount = if mount_port == port { Sockets::default() } else { bind::both(&at(mount_port), "MOUNT")? };
        let mount_addresses = if mount_port == port { addresses.clone() } else { mount.addresses() };
        let actual_mount_port = mount_addresses.first().map_or(mount_port, SocketAddr::port);

        let families = families(&addresses);
        let mut own = own_programs(port, actual_mount_port, families);
        let portmapper = match config.portmap {
            PortmapMode::Own => Some(bind::both(&at(config.portmap_port), "the portmapper")?),
            PortmapMode::Auto => bind::both(&at(config.portmap_port), "the portmapper").ok(),
            PortmapMode::Register | PortmapMode::Off => None,
        };
        if let Some(sockets) = &portmapper {
            let port = sockets.addresses().first().map_or(config.portmap_port, SocketAddr::port);
            own.extend(both_protocols(portmap::PROGRAM, &portmap::VERSIONS, port, families));
        }
        let registry = Arc::new(Registry::new(own));
        let limits = config::descriptors().map_or(config.limits, |count| config.limits.within_descriptors(count));
        let mounted = Arc::new(Notify::new());
        let mounts = Arc::new(Mounts::default());
        let engine = Arc::new(Engine {
            programs: programs(&vfs, &config, requirements, registry.clone(), mounted.clone(), mounts.clone()),
            table: Table::new(limits),
            limits,
            policies: Policies::new(config.principal.clone(), config.hold, config.limits.reading_bytes, &config.peers),
            tls,
        });

        let (stop, stopped) = watch::channel(false);
        let mut server = Server {
            engine,
            mounts,
            addresses,
            mount_addresses,
            portmap: portmap::without("the portmapper is switched off".to_owned(), port, actual_mount_port),
            registered: None,
            stop,
            tasks: JoinSet::new(),
        };
        let portmap_addresses = portmapper.as_ref().map(Sockets::addresses);
        for sockets in [nfs, datagrams, mount].into_iter().chain(portmapper) {
            server.serve(sockets, &stopped);
        }
        match (portmap_addresses, config.portmap) {
            (Some(addresses), _) => server.portmap = PortmapStatus::OwnPort { addresses },
            (None, PortmapMode::Auto | PortmapMode::Register) => {
                server.register(config.portmap_port, registry.own(), mounted).await;
            }
            (None, PortmapMode::Own | PortmapMode::Off) => {}
        }
        Ok(server)
    }

    /// Where NFS (and, unless it has a port of its own, everything else) listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where MOUNT listens.
    pub fn mount_addresses(&self) -> &[SocketAddr] {
        &self.mount_addresses
    }

    /// How clients find the ports.
    pub fn portmap(&self) -> &PortmapStatus {
        &self.portmap
    }

    /// What it can tell of itself, for whoever shows that.
    pub fn view(&self) -> View {
        View { engine: self.engine.clone(), mounts: self.mounts.clone() }
    }

    /// All connections, oldest first.
    pub fn connections(&self) -> Vec<ConnectionReport> {
        self.view().connections()
    }

    /// Counters since the start.
    pub fn metrics(&self) -> Metrics {
        self.view().metrics()
    }

    /// Takes no more connections and calls, answers what is at hand (at most for `limits.drain`), closes, and unregisters. Clients
    /// go on with whoever listens there next.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        if let Some(registered) = &self.registered {
            registered.remove().await;
        }
    }

    fn serve(&mut self, sockets: Sockets, stopped: &watch::Receiver<bool>) {
        for listener in sockets.streams {
            self.tasks.spawn(accept(listener, self.engine.clone(), stopped.clone()));
        }
        for socket in sockets.datagrams {
            self.tasks.spawn(serve_datagrams(socket, self.engine.clone(), stopped.clone()));
        }
    }

    async fn register(&mut self, portmap_port: u16, own: &[Mapping], mounted: Arc<Notify>) {
        let [port, mount_port] =
            [&self.addresses, &self.mount_addresses].map(|at| at.first().map_or(0, SocketAddr::port));
        let is_local = self.addresses.iter().all(|address| address.ip().is_loopback());
        // A status monitor is only for clients on other machines; here it would keep this machine's own from starting.
        let mappings: Vec<Mapping> =
            own.iter().filter(|mapping| !is_local || mapping.program != nsm::PROGRAM).copied().collect();
        match portmap::register(portmap_port, &mappings).await {
            Ok((registered, guard, conflicts)) => {
                self.registered = Some(registered);
                self.tasks.spawn(guard.watch(mounted, self.stop.subscribe()));
                self.portmap = PortmapStatus::Registered { conflicts };
            }
            Err(why) => self.portmap = portmap::without(why, port, mount_port),
        }
    }
}

fn programs(
    vfs: &Vfs,
    config: &Config,
    requirements: Requirements,
    registry: Arc<Registry>,
    mounted: Arc<Notify>,
    mounts: Arc<Mounts>,
) -> Programs {
    let locks = Arc::new(Locks::default());
    let services: Vec<Box<dyn Service>> = vec![
        Box::new(Nfs3::new(vfs.clone(), config.limits.reading_bytes_total, mounted, requirements)),
        Box::new(Mount::new(vfs.clone(), mounts, config.require)),
        Box::new(Portmap::new(registry)),
        // Clients' portmappers listen where ours would.
        Box::new(Nlm::new(vfs.clone(), locks.clone(), config.portmap_port)),
        Box::new(Nsm::new(locks)),
    ];
    Programs::new(services, Admission::new(config.loopback_any, rpc::owner()), config.tls.is_some())
}

fn own_programs(port: u16, mount_port: u16, families: Families) -> Vec<Mapping> {
    let nfs = Mapping { program: nfs3::PROGRAM, version: nfs3::VERSION, protocol: Protocol::Tcp, port, families };
    let mut own = vec![nfs];
    own.extend(both_protocols(mount::PROGRAM, &[mount::VERSION], mount_port, families));
    own.extend(both_protocols(nlm::PROGRAM, &nlm::VERSIONS, port, families));
    own.extend(both_protocols(nsm::PROGRAM, &[nsm::VERSION], port, families));
    own
}

/// TCP comes first: replacing what a killed server left behind depends on it.
fn both_protocols(program: u32, versions: &[u32], port: u16, families: Families) -> Vec<Mapping> {
    let mapping = |version, protocol| Mapping { program, version, protocol, port, families };
    versions.iter().flat_map(|version| [mapping(*version, Protocol::Tcp), mapping(*version, Protocol::Udp)]).collect()
}

/// The families that can reach these addresses.
fn families(addresses: &[SocketAddr]) -> Families {
    let v6 = addresses.iter().any(SocketAddr::is_ipv6);
    let v4 = addresses.iter().any(|address| address.is_ipv4() || address.ip().is_unspecified());
    Families { v4, v6 }
}
