//! The `_MSG` procedures, as BSD and macOS use them: the call itself is answered with nothing, the result goes to the client's own
//! lock manager in a call of ours, which nobody answers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;

use super::wire::{self, Status, Target};
use super::{PROGRAM, Shared, cancel, put_test, unlock};
use crate::portmap::{Client, Protocol};
use crate::rpc::{Decoder, Refusal, Reply, Request};

/// TEST_MSG is 6 and TEST_RES is 11.
const MESSAGE_TO_RESULT: u32 = 5;

/// Does what the message asks for and sends the result on its way.
pub(super) fn call(shared: &Arc<Shared>, request: &Request<'_>, arguments: &mut Decoder<'_>) -> Result<(), Refusal> {
    let cookie = wire::cookie(arguments)?;
    let mut result = Reply::new(request.xid);
    result.opaque(cookie);
    match request.procedure {
        6 => {
            let is_exclusive = arguments.boolean()?;
            let target = Target::read(request, arguments)?;
            put_test(shared, request.version, is_exclusive, &target, &mut result);
        }
        7 => {
            let is_blocking = arguments.boolean()?;
            let is_exclusive = arguments.boolean()?;
            let target = Target::read(request, arguments)?;
            let status = match shared.file(&target) {
                None => Status::stale(request.version),
                Some(file) => match shared.locks.acquire(file, target.lock(is_exclusive)) {
                    Status::Denied if is_blocking => Status::Blocked,
                    status => status,
                },
            };
            result.u32(status as u32);
        }
        8 => {
            let _is_blocking = arguments.boolean()?;
            let _is_exclusive = arguments.boolean()?;
            result.u32(cancel(shared, Target::read(request, arguments)?) as u32);
        }
        _ => result.u32(unlock(shared, Target::read(request, arguments)?) as u32),
    }
    let Ok(permit) = shared.results.clone().try_acquire_owned() else { return Ok(()) };
    let body = result.into_results();
    let head = [request.xid, 0, 2, PROGRAM, request.version, request.procedure + MESSAGE_TO_RESULT, 0, 0, 0, 0];
    let message: Vec<u8> = head.into_iter().flat_map(u32::to_be_bytes).chain(body).collect();
    let (peer, version, portmap_port) = (request.peer.address.ip(), request.version, shared.portmap_port);
    tokio::spawn(async move {
        let _permit = permit;
        if let Err(error) = send(peer, version, portmap_port, &message).await {
            tracing::debug!(%peer, %error, "the result of a lock request cannot be delivered");
        }
    });
    Ok(())
}

async fn send(peer: IpAddr, version: u32, portmap_port: u16, message: &[u8]) -> std::io::Result<()> {
    let mut portmapper = Client::remote(SocketAddr::new(peer, portmap_port)).await?;
    let port = portmapper.port(PROGRAM, version, Protocol::Udp).await?;
    if port == 0 {
        return Err(std::io::Error::new(std::io::ErrorKind::NotFound, "its portmapper knows no lock manager"));
    }
    let any = SocketAddr::new(if peer.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0u16; 8]) }, 0);
    UdpSocket::bind(any).await?.send_to(message, (peer, port)).await?;
    Ok(())
}
