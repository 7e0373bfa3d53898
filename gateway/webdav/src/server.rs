//! Sockets: listeners, connections and their limits, and the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use access::{TlsError, TlsIdentity, TlsTerms};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use vfs::Vfs;

use crate::config::Config;
use crate::seats::{Guest, Seats};
use crate::service::{Addresses, Service};
use crate::{connection, unix};

/// Time for answers under way when the service stops.
const GRACE: Duration = Duration::from_secs(5);
/// Time to wait when the operating system has no descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(200);

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another address, or stop what uses it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A file of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The control socket cannot be made.
    #[error("cannot make the control socket {path}: {source}")]
    Control {
        /// Its path.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The running service. Dropping it stops it at once; [`Server::stop`] lets answers finish.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Listens and serves.
    ///
    /// # Errors
    /// If an address or the control socket cannot be had; nothing is served then.
    pub async fn start(vfs: Vfs, config: Config) -> Result<Server, Error> {
        let tls = match &config.tls {
            Some(files) => Some(Arc::new(TlsIdentity::load(files.clone(), terms())?)),
            None => None,
        };
        let exposed = config.listen.iter().find(|address| !address.ip().to_canonical().is_loopback());
        if let (None, Some(_), Some(address)) = (&tls, &config.credentials, exposed) {
            tracing::warn!(%address, "passwords and evidence travel unencrypted to this address: give it a certificate");
        }
        let mut listeners = Vec::new();
        for address in &config.listen {
            let listener =
                TcpListener::bind(address).await.map_err(|source| Error::Listen { address: *address, source })?;
            listeners.push(listener);
        }
        let control = match &config.control_socket {
            Some(path) => {
                let bound = unix::Control::bind(path).await;
                Some(bound.map_err(|source| Error::Control { path: path.clone(), source })?)
            }
            None => None,
        };
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let (stop, stopped) = watch::channel(false);
        let seats = Seats::new(config.max_connections);
        let service = Arc::new(Service::new(vfs, config));
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(accept(listener, (service.clone(), tls.clone()), seats.clone(), stopped.clone()));
        }
        if let Some(control) = control {
            tasks.spawn(control.serve(service, stopped));
        }
        Ok(Server { addresses, stop, tasks })
    }

    /// The addresses that are listened on, with the ports that were taken.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops listening, lets answers under way finish for a few seconds, then cuts them off.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What answers at a listener, and with which certificate.
type Front = (Arc<Service>, Option<Arc<TlsIdentity>>);

/// Windows' client knows no TLS 1.3 before Windows 11, and every client comes back often.
fn terms() -> TlsTerms {
    TlsTerms {
        old_clients: true,
        certificate_required: false,
        protocols: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        resumption: true,
    }
}

/// Serves a listener until the end.
async fn accept(listener: TcpListener, front: Front, seats: Arc<Seats>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match seats.take() {
                    Some(guest) => spawn(&mut connections, &front, stream, peer, guest, &stopped),
                    None => tracing::warn!(%peer, "a connection was refused: all that there may be wait for answers"),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(EXHAUSTED).await;
                }
            },
            () = ended(&mut stopped) => break,
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    finish(connections).await;
}

fn spawn(
    connections: &mut JoinSet<()>,
    (service, tls): &Front,
    stream: TcpStream,
    peer: SocketAddr,
    guest: Guest,
    stopped: &watch::Receiver<bool>,
) {
    // Without it, small answers wait for the peer's acknowledgement (docs/webdav-clients.md §4.4).
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let (peer, local, seat) = (peer.ip().to_canonical(), local.ip().to_canonical(), guest.seat.clone());
    let addresses = Addresses { peer, local, seat };
    let (service, tls, stopped) = (service.clone(), tls.clone(), stopped.clone());
    connections.spawn(async move {
        let served = async {
            match tls {
                Some(identity) => connection::serve_protected(service, stream, addresses, &identity, stopped).await,
                None => connection::serve_plain(service, stream, addresses, stopped).await,
            }
        };
        tokio::select! {
            () = served => {}
            () = guest.has_to_leave() => {}
        }
    });
}

/// Lets connections finish.
pub(crate) async fn finish(mut connections: JoinSet<()>) {
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, all).await;
    connections.shutdown().await;
}

/// Waits for the end of the service.
pub(crate) async fn ended(stopped: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
