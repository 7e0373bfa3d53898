//! How clients of this machine and of others find the ports: our own portmapper, the one that runs, or mount options.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpStream;

use super::client::Client;
use super::guard::Guard;
use super::registry::{Mapping, Protocol};
use crate::{mount, nfs3, nlm, nsm};

/// How clients find the ports; for the program to print.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "portmap", rename_all = "snake_case")]
pub enum PortmapStatus {
    /// This server is the portmapper: a mount needs no options.
    OwnPort {
        /// Where it listens.
        addresses: Vec<SocketAddr>,
    },
    /// The portmapper of this machine knows us: a mount needs no options.
    Registered {
        /// What somebody else had registered before, in words; empty if all is ours.
        conflicts: Vec<String>,
    },
    /// Clients need mount options.
    None {
        /// Why, in words.
        why: String,
        /// The options, for `mount -t nfs -o`.
        options: String,
    },
}

/// What was registered with the portmapper of this machine, to be removed at the end.
#[derive(Debug)]
pub(crate) struct Registered {
    portmapper: SocketAddr,
    mappings: Vec<Mapping>,
    mappings_v6: Vec<Mapping>,
}

/// Registers our programs with the portmapper at `port` of this machine.
///
/// # Errors
/// In words, if there is none, it refuses, or another NFS server has registered.
pub(crate) async fn register(port: u16, own: &[Mapping]) -> Result<(Registered, Guard, Vec<String>), String> {
    let portmapper = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut client = Client::privileged(portmapper).await.map_err(|error| {
        format!("registering with rpcbind needs a port below 1024, which only root may use ({error})")
    })?;
    let mut registered = Registered { portmapper, mappings: Vec::new(), mappings_v6: Vec::new() };
    let mut conflicts = Vec::new();
    for mapping in own.iter().filter(|mapping| mapping.families.v4) {
        match claim(&mut client, mapping).await {
            Ok(true) => registered.mappings.push(*mapping),
            Ok(false) if is_essential(mapping.program) => {
                registered.remove().await;
                return Err(format!(
                    "rpcbind already knows another {}: is another NFS server running here?",
                    name(mapping.program)
                ));
            }
            // The guard has its own way.
            Ok(false) if mapping.program == nlm::PROGRAM => registered.mappings.push(*mapping),
            Ok(false) => {
                let conflict =
                    format!("{} version {} is registered by another program", name(mapping.program), mapping.version);
                if !conflicts.contains(&conflict) {
                    conflicts.push(conflict);
                }
            }
            Err(error) => {
                registered.remove().await;
                return Err(format!("no portmapper answers at {portmapper} ({error})"));
            }
        }
    }
    for mapping in own.iter().filter(|mapping| mapping.families.v6) {
        let Mapping { program, version, protocol, port, .. } = *mapping;
        // Clients over IPv6 can do with the options that a mount without portmapper needs.
        if matches!(client.set_v6(program, version, protocol, port).await, Ok(true)) {
            registered.mappings_v6.push(*mapping);
        }
    }
    let guard = Guard::new(portmapper, own);
    if !matches!(guard.put_back().await, Ok(true)) {
        conflicts.push("the lock manager of this machine's other NFS mounts stays: use -o nolock here".to_owned());
    }
    Ok((registered, guard, conflicts))
}

/// Registers one program. What a killed gateway left behind, with nobody listening any more, is replaced.
async fn claim(client: &mut Client, mapping: &Mapping) -> io::Result<bool> {
    let Mapping { program, version, protocol, port, .. } = *mapping;
    if client.set(program, version, protocol, port).await? {
        return Ok(true);
    }
    let known = client.port(program, version, protocol).await?;
    if known == port {
        return Ok(true);
    }
    if protocol != Protocol::Tcp || known == 0 || TcpStream::connect((Ipv4Addr::LOCALHOST, known)).await.is_ok() {
        return Ok(false);
    }
    client.unset(program, version).await?;
    client.set(program, version, protocol, port).await
}

impl Registered {
    /// Removes what is (still) ours: a lock manager of the kernel may have taken our place meanwhile.
    pub(crate) async fn remove(&self) {
        let Ok(mut client) = Client::privileged(self.portmapper).await else { return };
        let mut lost = Vec::new();
        for mapping in &self.mappings {
            match client.port(mapping.program, mapping.version, mapping.protocol).await {
                // Removes the registration for all protocols, so most are gone when their turn comes.
                Ok(port) if port == mapping.port => {
                    let _ = client.unset(mapping.program, mapping.version).await;
                }
                Ok(0) => {}
                Ok(_) => lost.push((mapping.program, mapping.version)),
                Err(_) => return,
            }
        }
        for mapping in &self.mappings_v6 {
            let Mapping { program, version, protocol, port, .. } = *mapping;
            if lost.contains(&(program, version)) {
                continue;
            }
            if client.unset_v6(program, version, protocol, port).await.is_err() {
                return;
            }
        }
    }
}

/// The status if clients have to be told the ports.
pub(crate) fn without(why: String, nfs_port: u16, mount_port: u16) -> PortmapStatus {
    PortmapStatus::None { why, options: format!("vers=3,tcp,port={nfs_port},mountport={mount_port},nolock") }
}

fn is_essential(program: u32) -> bool {
    program == nfs3::PROGRAM || program == mount::PROGRAM
}

fn name(program: u32) -> &'static str {
    match program {
        nfs3::PROGRAM => "NFS server",
        mount::PROGRAM => "mount daemon",
        nsm::PROGRAM => "status monitor",
        _ => "program",
    }
}
