//! NLM and NSM: enough for `flock` and `fcntl` without mount options.

use super::client::{Client, Reader, Xdr, datagram};
use super::{backend, start};
use vfs::testing::FakeBackend;

const NLM: u32 = 100_021;
const NSM: u32 = 100_024;
const GRANTED: u32 = 0;
const DENIED: u32 = 1;

fn files() -> std::sync::Arc<FakeBackend> {
    let backend = backend();
    backend.add_file("C.1", "auto", &["file"], "x");
    backend
}

fn lock(handle: &[u8], process: u32, offset: u64, length: u64) -> Xdr {
    Xdr::new()
        .opaque(b"client")
        .opaque(handle)
        .opaque(format!("{process}@client").as_bytes())
        .u32(process)
        .u64(offset)
        .u64(length)
}

fn request(is_blocking: bool, is_exclusive: bool, lock: &Xdr) -> Xdr {
    let head = Xdr::new().opaque(b"cookie").u32(u32::from(is_blocking)).u32(u32::from(is_exclusive));
    head.raw(&lock.0).u32(0).u32(1)
}

fn status(mut reader: Reader) -> u32 {
    assert_eq!(reader.opaque(), b"cookie");
    let status = reader.u32();
    assert!(reader.is_at_end());
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_of_two_processes_exclude_each_other_until_released() {
    let (_server, address) = start(&files()).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (file, _) = client.lookup(&auto, "file");
    assert_eq!(status(client.call(NLM, 4, 2, &request(false, true, &lock(&file, 1, 0, 0)))), GRANTED);
    assert_eq!(status(client.call(NLM, 4, 2, &request(false, false, &lock(&file, 2, 5, 1)))), DENIED);
    let mut reader = client.call(NLM, 4, 1, &Xdr::new().opaque(b"cookie").u32(0).raw(&lock(&file, 2, 5, 1).0));
    assert_eq!((reader.opaque(), reader.u32()), (b"cookie".to_vec(), DENIED));
    assert_eq!((reader.u32(), reader.u32(), reader.opaque()), (1, 1, b"1@client".to_vec()), "who is in the way");
    assert_eq!((reader.u64(), reader.u64()), (0, 0));
    assert_eq!(status(client.call(NLM, 4, 4, &Xdr::new().opaque(b"cookie").raw(&lock(&file, 1, 0, 0).0))), GRANTED);
    assert_eq!(status(client.call(NLM, 4, 2, &request(false, false, &lock(&file, 2, 5, 1)))), GRANTED);
    let mut over_udp = datagram(address, NLM, 4, 1, &Xdr::new().opaque(b"cookie").u32(1).raw(&lock(&file, 3, 0, 0).0));
    assert_eq!((over_udp.opaque(), over_udp.u32()), (b"cookie".to_vec(), DENIED));
    assert_eq!(status(client.call(NLM, 4, 2, &request(false, true, &lock(b"no handle", 2, 5, 1)))), 7, "NLM4_STALE_FH");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocking_request_is_granted_when_the_holder_lets_go() {
    let (_server, address) = start(&files()).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (file, _) = client.lookup(&auto, "file");
    assert_eq!(status(client.call(NLM, 4, 2, &request(false, true, &lock(&file, 1, 0, 0)))), GRANTED);
    let waiting = client.send(NLM, 4, 2, &request(true, true, &lock(&file, 2, 0, 0)));
    // The same connection goes on meanwhile.
    assert_eq!(client.getattr(&file).size, 1);
    let releasing = client.send(NLM, 4, 4, &Xdr::new().opaque(b"cookie").raw(&lock(&file, 1, 0, 0).0));
    let (first, _) = client.receive();
    let (second, reader) = client.receive();
    assert_eq!((first, second), (releasing, waiting));
    assert_eq!(status(super::client::results(reader)), GRANTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_lock_with_32_bits_and_a_restarted_client_holds_nothing() {
    let (_server, address) = start(&files()).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (file, _) = client.lookup(&auto, "file");
    let old =
        |process: u32| Xdr::new().opaque(b"client").opaque(&file).opaque(b"owner").u32(process).u32(0).u32(u32::MAX);
    assert_eq!(status(client.call(NLM, 1, 2, &request(false, true, &old(1)))), GRANTED);
    assert_eq!(status(client.call(NLM, 3, 2, &request(false, true, &old(2)))), DENIED);
    assert!(client.call(NSM, 1, 6, &Xdr::new().opaque(b"client").u32(3)).is_at_end());
    assert_eq!(status(client.call(NLM, 3, 2, &request(false, true, &old(2)))), GRANTED);
    assert!(client.call(NLM, 4, 23, &Xdr::new().opaque(b"client").u32(3)).is_at_end());
    assert_eq!(status(client.call(NLM, 4, 2, &request(false, true, &lock(&file, 3, 0, 0)))), GRANTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_answered_by_a_call_to_the_clients_own_lock_manager() {
    let (portmapper, table) = super::portmapper::fake_portmapper();
    let lock_manager = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    lock_manager.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    table.lock().unwrap().insert((NLM, 4, 17), u32::from(lock_manager.local_addr().unwrap().port()));
    let (_server, address) =
        super::start_with(&files(), raptorgate_nfs::Config { portmap_port: portmapper.port(), ..super::config() })
            .await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (file, _) = client.lookup(&auto, "file");
    let holds_it = lock(&file, 1, 0, 0);
    for (procedure, message, result) in [
        (7, request(false, true, &holds_it), GRANTED),
        (7, request(false, true, &lock(&file, 2, 0, 0)), DENIED),
        (7, request(true, true, &lock(&file, 2, 0, 0)), 3), // NLM4_BLOCKED
        (9, Xdr::new().opaque(b"cookie").raw(&holds_it.0), GRANTED),
    ] {
        assert!(client.call(NLM, 4, procedure, &message).is_at_end(), "the message itself has no results");
        let mut buffer = [0; 512];
        let (length, _) = lock_manager.recv_from(&mut buffer).unwrap();
        let mut reader = Reader::new(buffer[..length].to_vec());
        let head: Vec<u32> = (0..10).map(|_| reader.u32()).collect();
        assert_eq!(head[1..6], [0, 2, NLM, 4, procedure + 5], "a call of the matching _RES");
        assert_eq!(status(reader), result);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_monitor_of_this_machine_says_yes() {
    let (_server, address) = start(&files()).await;
    let mut client = Client::connect(address);
    let id = Xdr::new().opaque(b"me").u32(1).u32(2).u32(3);
    assert_eq!([0; 2].map(|_| client.call(NSM, 1, 1, &Xdr::new().opaque(b"host")).u32()), [0, 0]);
    let mut reader = client.call(NSM, 1, 2, &Xdr::new().opaque(b"host").raw(&id.0).raw(&[0; 16]));
    assert_eq!((reader.u32(), reader.u32() % 2), (0, 1), "monitored, and up");
    assert_eq!(client.call(NSM, 1, 3, &Xdr::new().opaque(b"host").raw(&id.0)).u32() % 2, 1);
    assert_eq!(datagram(address, NSM, 1, 4, &id).u32() % 2, 1);
}
