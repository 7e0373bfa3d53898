//! From clear text to TLS: the handshake that follows the answer to the probe (RFC 9289 §4.1, §5).

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use vfs::Principal;

use super::listener::{Engine, stopped};
use super::peer::Peer;
use super::table::Slot;

/// Does the handshake, and says who is at the other end now. `None`: it was refused, which the log tells in one line.
pub(super) async fn shake_hands(
    stream: TcpStream,
    peer: &Peer,
    slot: &Slot,
    engine: &Engine,
    stop: &mut watch::Receiver<bool>,
) -> Option<(TlsStream<TcpStream>, Arc<Peer>)> {
    let shaken = tokio::select! {
        () = stopped(stop) => return None,
        shaken = tokio::time::timeout(engine.limits.handshake_time, handshake(stream, engine)) => shaken,
    };
    let shaken = shaken.unwrap_or_else(|_| Err(io::Error::other("it was not finished in time")));
    match shaken {
        Ok((stream, certified)) => {
            let principal = certified.as_ref().map(Principal::name);
            tracing::info!(peer = %peer.address, principal, "protected by TLS");
            let peer = Arc::new(peer.over_tls(certified));
            slot.shook_hands(&peer);
            Some((stream, peer))
        }
        Err(reason) => {
            slot.refused_hands();
            tracing::info!(peer = %peer.address, %reason, "TLS handshake refused");
            None
        }
    }
}

async fn handshake(stream: TcpStream, engine: &Engine) -> io::Result<(TlsStream<TcpStream>, Option<Principal>)> {
    let Some(identity) = &engine.tls else { return Err(io::ErrorKind::Unsupported.into()) };
    let stream = TlsAcceptor::from(identity.current().await).accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certified = match shown {
        None => None,
        Some(certificate) => {
            let principal = access::named_by(certificate);
            Some(principal.ok_or_else(|| io::Error::other("the client's certificate has no name for the ledger"))?)
        }
    };
    Ok((stream, certified))
}
