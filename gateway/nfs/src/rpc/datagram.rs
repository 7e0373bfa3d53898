//! Calls in datagrams: portmap, MOUNT, NLM and NSM. One datagram is one call, without record marker.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::dispatch::Dispatched;
use super::listener::{Engine, stopped};
use super::peer::{Peer, Transport};
use super::reply::{Finished, MARKER, Reply};
use crate::metrics::Laps;

/// The largest payload of a datagram over IPv4.
const MAX_DATAGRAM: usize = 65_507;

/// A call that is being worked on: asked again, it needs no second worker, because the answer goes to the same place.
type Asked = (SocketAddr, u32);

/// Answers datagrams until `stop` turns true.
pub(crate) async fn serve_datagrams(socket: UdpSocket, engine: Arc<Engine>, mut stop: watch::Receiver<bool>) {
    let Ok(local) = socket.local_addr() else { return };
    let slot = engine.table.datagrams(Peer::new(local, local, Transport::Udp, &engine.policies));
    let mut buffer = vec![0; engine.limits.record_bytes.min(MAX_DATAGRAM) + 1];
    let mut working: HashSet<Asked> = HashSet::new();
    let mut held: JoinSet<(Asked, Option<Reply>)> = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            Some(joined) = held.join_next(), if !held.is_empty() => match joined {
                Ok((asked, reply)) => {
                    working.remove(&asked);
                    if let Some(reply) = reply {
                        send(&socket, asked.0, &reply.finish()).await;
                    }
                }
                Err(error) => {
                    // Which call it was is lost; it may be asked again.
                    working.clear();
                    tracing::error!(%error, "a call ended in a panic; please report this");
                }
            },
            received = socket.recv_from(&mut buffer) => {
                // Errors here tell of earlier sends (port unreachable); the socket itself stays good.
                let Ok((length, from)) = received else { continue };
                if length >= buffer.len() {
                    continue;
                }
                let Some(record) = buffer.get(..length) else { continue };
                let asked = (from, record.first_chunk().map_or(0, |xid| u32::from_be_bytes(*xid)));
                if working.contains(&asked) {
                    continue;
                }
                slot.counters().calls.fetch_add(1, Ordering::Relaxed);
                let peer = Arc::new(Peer::new(from, local, Transport::Udp, &engine.policies));
                match engine.programs.dispatch(record, (&peer, &slot), BytesMut::new(), &mut Laps::default()) {
                    Dispatched::Reply(reply) | Dispatched::StartTls(reply) => send(&socket, from, &reply).await,
                    Dispatched::Silent(_) | Dispatched::NoCall(_) => {}
                    Dispatched::Later { waiting, metrics, procedure, .. } => {
                        working.insert(asked);
                        let guard = slot.hold();
                        let since = Instant::now();
                        held.spawn(async move {
                            let reply = waiting.await;
                            drop(guard);
                            metrics.waited(procedure, reply.as_ref(), since.elapsed());
                            (asked, reply)
                        });
                    }
                }
            }
        }
    }
}

async fn send(socket: &UdpSocket, to: SocketAddr, reply: &Finished) {
    let mut message = reply.buffer.get(MARKER..).unwrap_or_default().to_vec();
    message.extend(reply.payload.iter().flatten());
    if message.len() <= MAX_DATAGRAM {
        // An unreachable client is its own misfortune: it asks again.
        let _ = socket.send_to(&message, to).await;
    }
}
