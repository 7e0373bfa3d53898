//! The portmapper: our own, and registering with one that runs.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use super::client::{Client, NFS, Reader, Xdr, datagram};
use super::{backend, config, start_with};
use raptorgate_nfs::{Config, PortmapMode, PortmapStatus};

const PORTMAP: u32 = 100_000;
const TCP: u32 = 6;
const UDP: u32 = 17;

async fn own() -> (raptorgate_nfs::Server, SocketAddr, SocketAddr) {
    let (server, address) =
        start_with(&backend(), Config { portmap: PortmapMode::Own, portmap_port: 0, ..config() }).await;
    let PortmapStatus::OwnPort { addresses } = server.portmap() else { panic!("{:?}", server.portmap()) };
    let portmapper = addresses[0];
    (server, address, portmapper)
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_told_truthfully_over_both_transports() {
    let (_server, address, portmapper) = own().await;
    let port = u32::from(address.port());
    let mut client = Client::connect(portmapper);
    for (program, version, protocol, expected) in [
        (NFS, 3, TCP, port),
        (NFS, 3, UDP, 0),
        (NFS, 4, TCP, 0),
        (100_005, 3, TCP, port),
        (100_005, 3, UDP, port),
        (100_021, 4, TCP, port),
        (100_024, 1, UDP, port),
        (PORTMAP, 2, TCP, u32::from(portmapper.port())),
        (100_011, 1, UDP, 0),
    ] {
        let question = Xdr::new().u32(program).u32(version).u32(protocol).u32(0);
        assert_eq!(client.call(PORTMAP, 2, 3, &question).u32(), expected, "{program} {version} {protocol}");
        assert_eq!(datagram(portmapper, PORTMAP, 2, 3, &question).u32(), expected);
        // Everything is served on the NFS port too.
        assert_eq!(datagram(address, PORTMAP, 2, 3, &question).u32(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rpcbind_versions_give_universal_addresses() {
    let (_server, address, portmapper) = own().await;
    let mut client = Client::connect(portmapper);
    let [high, low] = address.port().to_be_bytes();
    let question = |netid: &str| Xdr::new().u32(NFS).u32(3).opaque(netid.as_bytes()).opaque(b"").opaque(b"");
    let expected = format!("127.0.0.1.{high}.{low}");
    for (version, procedure) in [(3, 3), (4, 3), (4, 9)] {
        assert_eq!(client.call(PORTMAP, version, procedure, &question("tcp")).text(), expected);
        assert_eq!(client.call(PORTMAP, version, procedure, &question("udp")).text(), "", "no NFS over UDP");
        assert_eq!(client.call(PORTMAP, version, procedure, &question("tcp6")).text(), "", "no IPv6 here");
    }
    let mut reader = client.call(PORTMAP, 4, 11, &question("tcp"));
    assert_eq!(reader.u32(), 1);
    assert_eq!([reader.text(), reader.text()], [expected.clone(), "tcp".to_owned()]);
    assert_eq!((reader.u32(), reader.text(), reader.text(), reader.u32()), (3, "inet".to_owned(), "tcp".to_owned(), 0));
    assert!(client.call(PORTMAP, 4, 6, &Xdr::new()).u32() > 1_700_000_000, "GETTIME");
    let mut reader = client.call(PORTMAP, 4, 4, &Xdr::new());
    let mut programs = Vec::new();
    while reader.u32() == 1 {
        programs.push((reader.u32(), reader.u32(), reader.text(), reader.text(), reader.text()));
    }
    assert!(programs.contains(&(NFS, 3, "tcp".to_owned(), expected, "raptorgate".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dual_stack_server_is_reached_over_both_families() {
    let everywhere =
        Config { listen: vec!["[::]:0".parse().unwrap()], portmap: PortmapMode::Own, portmap_port: 0, ..config() };
    let (server, address) = start_with(&backend(), everywhere).await;
    let PortmapStatus::OwnPort { addresses } = server.portmap() else { panic!("{:?}", server.portmap()) };
    let (port, portmap_port) = (address.port(), addresses[0].port());
    let [high, low] = port.to_be_bytes();
    for (ip, netid, own) in [("127.0.0.1", "tcp", "127.0.0.1"), ("::1", "tcp6", "::1")] {
        let ip: std::net::IpAddr = ip.parse().unwrap();
        let question = Xdr::new().u32(NFS).u32(3).opaque(netid.as_bytes()).opaque(b"").opaque(b"");
        let answer = Client::connect((ip, portmap_port).into()).call(PORTMAP, 4, 3, &question).text();
        assert_eq!(answer, format!("{own}.{high}.{low}"));
        let mut client = Client::connect((ip, port).into());
        client.mount("/C.1");
        assert!(server.connections().iter().any(|connection| connection.peer == client.stream.local_addr().unwrap()));
    }
    let question = Xdr::new().u32(NFS).u32(3).opaque(b"tcp").opaque(b"").opaque(b"");
    let answer = datagram((std::net::Ipv4Addr::LOCALHOST, portmap_port).into(), PORTMAP, 4, 3, &question).text();
    assert_eq!(
        answer,
        format!("127.0.0.1.{high}.{low}"),
        "a wildcard socket names the address that the client can reach"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_privileged_local_programs_register_and_nobody_replaces_ours() {
    let (_server, address, portmapper) = own().await;
    let set = Xdr::new().u32(400_100).u32(1).u32(TCP).u32(4711);
    assert_eq!(Client::connect(portmapper).call(PORTMAP, 2, 1, &set).u32(), 0, "from a high port");
    let Ok(socket) = reserved() else { return eprintln!("skipped the rest: no right to reserved ports") };
    let ask = |version: u32, procedure: u32, arguments: &Xdr| -> Reader {
        let head = Xdr::new().u32(9).u32(0).u32(2).u32(PORTMAP).u32(version).u32(procedure).u64(0).u64(0);
        socket.send_to(&head.raw(&arguments.0).0, portmapper).unwrap();
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        let mut reader = Reader::new(buffer[..length].to_vec());
        reader.u32();
        super::client::results(reader)
    };
    let port = |program: u32, version: u32| Xdr::new().u32(program).u32(version).u32(TCP).u32(0);
    assert_eq!(ask(2, 1, &set).u32(), 1);
    assert_eq!(ask(2, 1, &set).u32(), 0, "registered already");
    assert_eq!(ask(2, 3, &port(400_100, 1)).u32(), 4711);
    assert_eq!(ask(2, 2, &set).u32(), 1);
    assert_eq!(ask(2, 3, &port(400_100, 1)).u32(), 0);
    // The kernel's lock manager on the same machine may register; clients are still sent to ours.
    let lockd = Xdr::new().u32(100_021).u32(4).opaque(b"tcp").opaque(b"0.0.0.0.200.1").opaque(b"superuser");
    assert_eq!(ask(4, 1, &lockd).u32(), 1);
    assert_eq!(ask(2, 3, &port(100_021, 4)).u32(), u32::from(address.port()));
    assert_eq!(ask(4, 2, &lockd).u32(), 1);
    assert_eq!(ask(2, 2, &port(NFS, 3)).u32(), 0);
    assert_eq!(ask(2, 3, &port(NFS, 3)).u32(), u32::from(address.port()));
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_registered_with_a_portmapper_that_runs_and_removed_at_the_end() {
    if reserved().is_err() {
        return eprintln!("skipped: no right to reserved ports");
    }
    let (portmapper, table) = fake_portmapper();
    // What a killed gateway left behind: nobody listens there.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    table.lock().unwrap().insert((NFS, 3, TCP), u32::from(dead));
    table.lock().unwrap().insert((100_024, 1, TCP), 555);
    let registering = Config { portmap: PortmapMode::Register, portmap_port: portmapper.port(), ..config() };
    let (server, address) = start_with(&backend(), registering.clone()).await;
    assert_eq!(server.portmap(), &PortmapStatus::Registered { conflicts: Vec::new() });
    let port = u32::from(address.port());
    for key in [(NFS, 3, TCP), (100_005, 3, TCP), (100_005, 3, UDP), (100_021, 4, TCP)] {
        assert_eq!(table.lock().unwrap().get(&key), Some(&port), "{key:?}");
    }
    let (second, _) = start_with(&backend(), registering).await;
    let PortmapStatus::None { why, options } = second.portmap() else { panic!("{:?}", second.portmap()) };
    assert!(why.contains("another NFS server"), "{why}");
    assert_eq!(options, &format!("vers=3,tcp,port={0},mountport={0},nolock", second.addresses()[0].port()));
    second.stop().await;
    assert_eq!(table.lock().unwrap().get(&(NFS, 3, TCP)), Some(&port), "the first one stays registered");
    server.stop().await;
    assert_eq!(
        table.lock().unwrap().iter().map(|(key, port)| (*key, *port)).collect::<Vec<_>>(),
        [((100_024, 1, TCP), 555)]
    );
}

/// A kernel that mounts from its own machine replaces the registration by its own lock manager's.
#[tokio::test(flavor = "multi_thread")]
async fn our_lock_manager_takes_its_place_back_after_a_local_mount() {
    if reserved().is_err() || std::fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| mounts.contains(" nfs "))
    {
        return eprintln!("skipped: no right to reserved ports, or this machine mounts from elsewhere");
    }
    let (portmapper, table) = fake_portmapper();
    let registering = Config { portmap: PortmapMode::Register, portmap_port: portmapper.port(), ..config() };
    let (server, address) = start_with(&backend(), registering).await;
    let mut client = Client::connect(address);
    let root = client.mount("/C.1");
    let keys: Vec<_> =
        [1, 3, 4].into_iter().flat_map(|version| [(100_021, version, TCP), (100_021, version, UDP)]).collect();
    for kernels_port in [999, 0] {
        for key in &keys {
            match kernels_port {
                0 => table.lock().unwrap().remove(key),
                port => table.lock().unwrap().insert(*key, port),
            };
        }
        let (status, _) = client.nfs(19, &Xdr::new().opaque(&root));
        assert_eq!(status, 0);
        let mut attempts = 0;
        while keys.iter().any(|key| table.lock().unwrap().get(key) != Some(&u32::from(address.port()))) {
            attempts += 1;
            assert!(attempts < 2_000, "{:?}", table.lock().unwrap());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    server.stop().await;
    assert!(table.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_portmapper_the_status_names_the_mount_options() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (server, address) =
        start_with(&backend(), Config { portmap: PortmapMode::Register, portmap_port: free, ..config() }).await;
    let PortmapStatus::None { options, .. } = server.portmap() else { panic!("{:?}", server.portmap()) };
    assert_eq!(options, &format!("vers=3,tcp,port={0},mountport={0},nolock", address.port()));
}

fn reserved() -> std::io::Result<UdpSocket> {
    let mut last = std::io::Error::other("no port");
    for port in 700..1000 {
        match UdpSocket::bind(("127.0.0.1", port)) {
            Ok(socket) => {
                socket.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub type Table = Arc<Mutex<BTreeMap<(u32, u32, u32), u32>>>;

/// What rpcbind does with SET, UNSET and GETPORT of version 2.
pub fn fake_portmapper() -> (SocketAddr, Table) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let table = Table::default();
    let shared = table.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let mut reader = Reader::new(buffer[..length].to_vec());
            let words: Vec<u32> = (0..14).map(|_| reader.u32()).collect();
            let key = (words[10], words[11], words[12]);
            let mut table = shared.lock().unwrap();
            let result = match words[5] {
                1 if from.port() >= 1024 || table.contains_key(&key) => 0,
                1 => {
                    table.insert(key, words[13]);
                    1
                }
                2 => {
                    table.retain(|(program, version, _), _| (*program, *version) != (key.0, key.1));
                    1
                }
                _ => table.get(&key).copied().unwrap_or(0),
            };
            socket.send_to(&Xdr::new().u32(words[0]).u32(1).u64(0).u64(0).u32(result).0, from).unwrap();
        }
    });
    (address, table)
}
