//! Taking connections, for ever: no error of one connection, and no shortage of descriptors, ends the loop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use access::TlsIdentity;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::dispatch::Programs;
use super::peer::{Peer, Transport};
use super::table::{Slot, Table};
use super::{connection, upgrade};
use crate::config::Limits;
use crate::peer::Policies;

/// What all sockets share.
pub(crate) struct Engine {
    pub programs: Programs,
    pub table: Arc<Table>,
    pub limits: Limits,
    pub policies: Policies,
    /// Who we are where TLS is done.
    pub tls: Option<Arc<TlsIdentity>>,
}

/// How long to wait when the machine is out of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until `stop` turns true, then waits until those it took have ended.
pub(crate) async fn accept(listener: TcpListener, engine: Arc<Engine>, stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut stopping = stop.clone();
    let mut has_complained = false;
    loop {
        tokio::select! {
            () = stopped(&mut stopping) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    has_complained = false;
                    open(stream, address, &engine, &stop, &mut connections);
                }
                Err(error) if is_about_the_connection(&error) => {}
                Err(error) => {
                    if !has_complained {
                        tracing::warn!(%error, "cannot take connections; trying on");
                        has_complained = true;
                    }
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Waits until the server is told to stop, or is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn open(
    stream: TcpStream,
    address: SocketAddr,
    engine: &Arc<Engine>,
    stop: &watch::Receiver<bool>,
    connections: &mut JoinSet<()>,
) {
    let Ok(local) = stream.local_addr() else { return };
    let peer = Arc::new(Peer::new(address, local, Transport::Tcp, &engine.policies));
    let Some(slot) = engine.table.admit(&peer) else {
        if engine.table.may_complain() {
            let refused = engine.table.totals().refused;
            tracing::info!(peer = %peer.address, refused, reason = "too many connections", "connection refused");
        }
        return;
    };
    let place = slot.place();
    // Both only make things better; a socket that refuses is about to fail anyway.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_keepalive(true);
    let task = connections.spawn(serve(stream, peer, slot, engine.clone(), stop.clone()));
    engine.table.can_be_evicted(place, task);
}

/// Serves a connection in clear, and then, if the client asks for it, what comes through TLS.
async fn serve(stream: TcpStream, peer: Arc<Peer>, slot: Slot, engine: Arc<Engine>, mut stop: watch::Receiver<bool>) {
    let served = connection::serve(stream, peer.clone(), slot, engine.clone(), stop.clone()).await;
    let Some((stream, slot)) = served else { return };
    let Some((stream, peer)) = upgrade::shake_hands(stream, &peer, &slot, &engine, &mut stop).await else { return };
    connection::serve(stream, peer, slot, engine, stop).await;
}

/// The peer went away between its SYN and our accept: nothing of ours is wrong.
fn is_about_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
