//! MOUNT over TCP and UDP: paths, refusals, the lists; and who on this machine may mount (D3).

use super::client::{Client, MOUNT, NFS, Xdr, datagram};
use super::{backend, config, start, start_with};
use raptorgate_nfs::Config;

const ACCES: u32 = 13;
const NOTDIR: u32 = 20;
const INVAL: u32 = 22;

#[tokio::test(flavor = "multi_thread")]
async fn paths_lead_from_the_root_through_endpoints_and_aliases_to_any_directory() {
    let backend = backend();
    backend.add_endpoint("C.2", vfs::System::Windows, true);
    backend.add_file("C.2", "auto", &["C:", "Users", "100% Alice", "note"], "x");
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let root = client.mount("/");
    let endpoint = client.mount("/C.2");
    assert_eq!(client.lookup(&root, "C.2").0, endpoint);
    assert_eq!(client.mount("//C.2/."), endpoint);
    assert_eq!(client.mount("/by-name/host-2"), endpoint);
    let users = client.mount("/C.2/auto/C:/Users");
    assert_eq!(client.mount("/by-name/host-2/auto/C:/Users/"), users);
    assert_eq!(client.mount("/C.2/auto/C:/Users/100% Alice"), client.lookup(&users, "100% Alice").0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_mounted_is_refused_with_a_status_that_people_see() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["file"], "x");
    backend.add_endpoint("C.3", vfs::System::Linux, false);
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    for (path, status) in [
        ("/C.404", ACCES),
        ("/C.1/auto/nothing", ACCES),
        ("/C.3/auto/never-listed", ACCES),
        ("/C.1/auto/file", NOTDIR),
        ("/C.1/..", INVAL),
    ] {
        let mut reader = client.call(MOUNT, 3, 1, &Xdr::new().opaque(path.as_bytes()));
        assert_eq!(reader.u32(), status, "{path}");
        assert!(reader.is_at_end());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mounting_over_udp_gives_the_same_handle() {
    let backend = backend();
    backend.add_directory("C.1", "auto", &["etc"]);
    let (_server, address) = start(&backend).await;
    let handle = Client::connect(address).mount("/C.1/auto/etc");
    let mut reader = datagram(address, MOUNT, 3, 1, &Xdr::new().opaque(b"/C.1/auto/etc"));
    assert_eq!((reader.u32(), reader.opaque()), (0, handle));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lists_tell_what_can_be_mounted_and_what_is() {
    let backend = backend();
    backend.add_endpoint("C.2", vfs::System::Windows, true);
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    client.mount("/C.1");
    client.mount("/C.1");
    client.mount("/C.2");
    let exports = |mut reader: super::client::Reader| {
        let mut exports = Vec::new();
        while reader.u32() == 1 {
            exports.push(reader.text());
            assert_eq!(reader.u32(), 0, "no groups");
        }
        assert!(reader.is_at_end());
        exports
    };
    for version in [1, 3] {
        assert_eq!(exports(client.call(MOUNT, version, 5, &Xdr::new())), ["/", "/C.1", "/C.2"]);
    }
    assert_eq!(exports(datagram(address, MOUNT, 3, 5, &Xdr::new())), ["/", "/C.1", "/C.2"]);
    let mut dump = || {
        let mut reader = client.call(MOUNT, 3, 2, &Xdr::new());
        let mut mounts = Vec::new();
        while reader.u32() == 1 {
            mounts.push((reader.text(), reader.text()));
        }
        mounts
    };
    let mounted = |path: &str| ("127.0.0.1".to_owned(), path.to_owned());
    assert_eq!(dump(), [mounted("/C.1"), mounted("/C.2")]);
    assert!(datagram(address, MOUNT, 1, 3, &Xdr::new().opaque(b"/C.1")).is_at_end(), "UMNT has no results");
    assert_eq!(dump(), [mounted("/C.2")]);
    assert!(datagram(address, MOUNT, 3, 4, &Xdr::new()).is_at_end());
    assert_eq!(dump(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_users_of_this_machine_are_kept_out_by_default() {
    let (_server, address) = start_with(&backend(), Config { loopback_any: false, ..config() }).await;
    let mut owner = Client::connect(address);
    let handle = owner.mount("/C.1");
    let mut other = Client::connect(address);
    other.uid = 54_321;
    let mut reader = other.call(MOUNT, 3, 1, &Xdr::new().opaque(b"/C.1"));
    assert_eq!(reader.u32(), ACCES);
    for (program, version, procedure) in [(NFS, 3, 1), (100_021, 4, 1)] {
        let mut reader = other.raw_call(program, version, procedure, &Xdr::new().opaque(&handle));
        let words: Vec<u32> = (0..4).map(|_| reader.u32()).collect();
        assert_eq!(words, [1, 1, 1, 5], "denied, AUTH_ERROR, AUTH_TOOWEAK");
    }
    other.call(NFS, 3, 0, &Xdr::new());
    other.call(MOUNT, 3, 0, &Xdr::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn mount_can_have_a_port_of_its_own() {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (server, address) = start_with(&backend(), Config { mount_port: Some(probe.port()), ..config() }).await;
    assert_eq!(server.mount_addresses(), [probe]);
    assert_ne!(probe, address);
    let handle = Client::connect(probe).mount("/C.1");
    assert_eq!(Client::connect(address).getattr(&handle).file_type, 2);
    let mut reader = datagram(probe, MOUNT, 3, 1, &Xdr::new().opaque(b"/C.1"));
    assert_eq!(reader.u32(), 0);
}
