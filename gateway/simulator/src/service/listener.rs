//! The listening socket: TLS 1.3 with client certificates, and connections that can be cut (§1.2, §1.3).

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpStream as StdTcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::identity::certificates::common_name;

/// A handshake that takes longer is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Who is at the other end: the common name of the client's certificate.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
}

/// A connection whose peer is known.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    id: u64,
    connections: Connections,
}

/// All open connections, to cut them when the server "restarts".
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: AtomicU64,
    open: Mutex<HashMap<u64, StdTcpStream>>,
    down_until: Mutex<Option<Instant>>,
}

impl Connections {
    /// Cuts every connection and takes no new one for `down`.
    pub(crate) fn restart(&self, down: Duration) {
        *self.0.down_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + down);
        for (_, socket) in self.0.open.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            // A peer that is gone already is as good as cut.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn is_down(&self) -> bool {
        let until = *self.0.down_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn register(&self, stream: TcpStream) -> io::Result<(TcpStream, u64)> {
        let stream = stream.into_std()?;
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id, stream.try_clone()?);
        Ok((TcpStream::from_std(stream)?, id))
    }

    fn forget(&self, id: u64) {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

impl Connection {
    /// Who is at the other end.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.forget(self.id);
    }
}

/// Accepts for ever; connections whose handshake succeeds come out of the receiver.
pub(crate) fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    connections: Connections,
    tasks: &mut tokio::task::JoinSet<()>,
) -> mpsc::Receiver<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(64);
    tasks.spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            if connections.is_down() {
                continue;
            }
            let (acceptor, connections, sender) = (acceptor.clone(), connections.clone(), sender.clone());
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                let Ok((stream, id)) = connections.register(stream) else {
                    return;
                };
                match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let name = stream
                            .get_ref()
                            .1
                            .peer_certificates()
                            .and_then(|chain| chain.first())
                            .and_then(|certificate| common_name(certificate))
                            .unwrap_or_default();
                        let connection = Connection { stream, peer: Peer { name }, id, connections };
                        // The server has stopped: nobody to talk to.
                        let _ = sender.send(Ok(connection)).await;
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "a TLS handshake failed");
                        connections.forget(id);
                    }
                    Err(_) => connections.forget(id),
                }
            });
        }
    });
    receiver
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
