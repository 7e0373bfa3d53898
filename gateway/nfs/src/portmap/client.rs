//! A small portmapper client: to register with the portmapper of this machine, and to find another machine's lock manager.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::address;
use super::registry::{Protocol, netid};
use crate::rpc::Decoder;

const PATIENCE: Duration = Duration::from_millis(700);
const ATTEMPTS: u32 = 3;
const SET: u32 = 1;
const UNSET: u32 = 2;
const GETPORT: u32 = 3;
/// Reserved ports to send from, like `bindresvport`: above those with well-known meanings.
const RESERVED: std::ops::Range<u16> = 665..1023;

/// Asks one portmapper.
pub(crate) struct Client {
    socket: UdpSocket,
    next_xid: u32,
}

impl Client {
    /// A client of this machine's portmapper, sending from a reserved port: others may not register.
    ///
    /// # Errors
    /// Mostly: no right to reserved ports.
    pub(crate) async fn privileged(portmapper: SocketAddr) -> io::Result<Client> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for port in RESERVED.rev() {
            match UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await {
                Ok(socket) => return Client::connect(socket, portmapper).await,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// A client of another machine's portmapper.
    ///
    /// # Errors
    /// Of the sockets.
    pub(crate) async fn remote(portmapper: SocketAddr) -> io::Result<Client> {
        let any: IpAddr =
            if portmapper.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        Client::connect(UdpSocket::bind((any, 0)).await?, portmapper).await
    }

    async fn connect(socket: UdpSocket, portmapper: SocketAddr) -> io::Result<Client> {
        socket.connect(portmapper).await?;
        Ok(Client { socket, next_xid: std::process::id().rotate_left(16) })
    }

    /// Registers a program over IPv4. False: somebody else has.
    ///
    /// # Errors
    /// If there is no answer, or no portmapper.
    pub(crate) async fn set(&mut self, program: u32, version: u32, protocol: Protocol, port: u16) -> io::Result<bool> {
        Ok(self.ask_mapping(SET, [program, version, protocol as u32, u32::from(port)]).await? == 1)
    }

    /// Removes the registrations of a program for all protocols over IPv4.
    ///
    /// # Errors
    /// As [`Client::set`].
    pub(crate) async fn unset(&mut self, program: u32, version: u32) -> io::Result<bool> {
        Ok(self.ask_mapping(UNSET, [program, version, 0, 0]).await? == 1)
    }

    /// The port of a program over IPv4; 0 if it is not registered.
    ///
    /// # Errors
    /// As [`Client::set`].
    pub(crate) async fn port(&mut self, program: u32, version: u32, protocol: Protocol) -> io::Result<u16> {
        let port = self.ask_mapping(GETPORT, [program, version, protocol as u32, 0]).await?;
        Ok(u16::try_from(port).unwrap_or(0))
    }

    /// As [`Client::set`], over IPv6: that takes version 4 of the protocol, which old portmappers do not have.
    ///
    /// # Errors
    /// As [`Client::set`].
    pub(crate) async fn set_v6(
        &mut self,
        program: u32,
        version: u32,
        protocol: Protocol,
        port: u16,
    ) -> io::Result<bool> {
        Ok(self.ask_entry(SET, program, version, protocol, port).await? == 1)
    }

    /// As [`Client::unset`], over IPv6 and for one protocol.
    ///
    /// # Errors
    /// As [`Client::set`].
    pub(crate) async fn unset_v6(
        &mut self,
        program: u32,
        version: u32,
        protocol: Protocol,
        port: u16,
    ) -> io::Result<bool> {
        Ok(self.ask_entry(UNSET, program, version, protocol, port).await? == 1)
    }

    async fn ask_mapping(&mut self, procedure: u32, arguments: [u32; 4]) -> io::Result<u32> {
        let arguments: Vec<u8> = arguments.into_iter().flat_map(u32::to_be_bytes).collect();
        self.ask(2, procedure, &arguments).await
    }

    async fn ask_entry(
        &mut self,
        procedure: u32,
        program: u32,
        version: u32,
        protocol: Protocol,
        port: u16,
    ) -> io::Result<u32> {
        let mut arguments: Vec<u8> = [program, version].into_iter().flat_map(u32::to_be_bytes).collect();
        let address = address::universal(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
        for text in [netid(protocol, true), &address, "superuser"] {
            arguments.extend(u32::try_from(text.len()).unwrap_or(0).to_be_bytes());
            arguments.extend(text.as_bytes());
            arguments.resize(arguments.len().next_multiple_of(4), 0);
        }
        self.ask(4, procedure, &arguments).await
    }

    async fn ask(&mut self, version: u32, procedure: u32, arguments: &[u8]) -> io::Result<u32> {
        self.next_xid = self.next_xid.wrapping_add(1);
        let xid = self.next_xid;
        let head = [xid, 0, 2, super::PROGRAM, version, procedure, 0, 0, 0, 0];
        let message: Vec<u8> = head.into_iter().flat_map(u32::to_be_bytes).chain(arguments.iter().copied()).collect();
        for _ in 0..ATTEMPTS {
            self.socket.send(&message).await?;
            match tokio::time::timeout(PATIENCE, self.answer_to(xid)).await {
                Ok(answer) => return answer,
                Err(_elapsed) => {}
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the portmapper does not answer"))
    }

    async fn answer_to(&self, xid: u32) -> io::Result<u32> {
        let mut buffer = [0; 512];
        loop {
            let length = self.socket.recv(&mut buffer).await?;
            let mut decoder = Decoder::new(buffer.get(..length).unwrap_or_default());
            if decoder.u32() != Ok(xid) {
                continue;
            }
            return read_result(&mut decoder).ok_or_else(|| io::Error::other("the portmapper refuses"));
        }
    }
}

/// The one word of an accepted, successful reply.
fn read_result(decoder: &mut Decoder<'_>) -> Option<u32> {
    let is_accepted = decoder.u32().ok()? == 1 && decoder.u32().ok()? == 0;
    let _verifier_flavor = decoder.u32().ok()?;
    let _verifier = decoder.opaque(400).ok()?;
    let is_successful = decoder.u32().ok()? == 0;
    (is_accepted && is_successful).then(|| decoder.u32().ok()).flatten()
}
