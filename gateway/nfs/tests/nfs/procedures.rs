//! Every procedure of NFS version 3, on objects that are cached and on objects that are not.

use super::client::{Client, Xdr};
use super::{backend, start};
use vfs::FileType;
use vfs::testing::FakeEntry;

const OK: u32 = 0;
const NOENT: u32 = 2;
const EXIST: u32 = 17;
const NOTDIR: u32 = 20;
const ISDIR: u32 = 21;
const INVAL: u32 = 22;
const ROFS: u32 = 30;
const STALE: u32 = 70;
const BADHANDLE: u32 = 10_001;

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_safe_and_true() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["etc", "hosts"], "127.0.0.1 localhost\n");
    backend.add_entry("C.1", "auto", &["etc", "suid"], FakeEntry { mode: 0o4755, ..FakeEntry::new(FileType::Regular) });
    backend.add_entry("C.1", "auto", &["etc", "fifo"], FakeEntry::new(FileType::Fifo));
    backend.add_entry("C.1", "auto", &["etc", "disk"], FakeEntry::new(FileType::BlockDevice));
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let etc = client.mount("/C.1/auto/etc");
    let directory = client.getattr(&etc);
    assert_eq!((directory.file_type, directory.mode, directory.owner), (2, 0o555, (65_534, 65_534)));
    let (hosts, attributes) = client.lookup(&etc, "hosts");
    assert_eq!(attributes.as_ref(), Some(&client.getattr(&hosts)));
    let attributes = attributes.unwrap();
    assert_eq!((attributes.file_type, attributes.mode, attributes.size, attributes.used), (1, 0o444, 20, 20));
    assert_eq!(attributes.times[1], (1_577_836_800, 123_456_789));
    assert_eq!(attributes.fsid, directory.fsid);
    assert_ne!(attributes.file_id, directory.file_id);
    for (name, file_type, mode) in [("suid", 1, 0o444), ("fifo", 6, 0o444), ("disk", 3, 0o444)] {
        let (_, attributes) = client.lookup(&etc, name);
        let attributes = attributes.unwrap();
        assert_eq!((attributes.file_type, attributes.mode, attributes.device), (file_type, mode, (0, 0)), "{name}");
    }
    assert_ne!(
        client.getattr(&client.stream_mount_root()).fsid,
        directory.fsid,
        "an endpoint is a file system of its own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lookup_finds_names_and_dots_and_says_what_is_absent() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["etc", "hosts"], "x");
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (etc, _) = client.lookup(&auto, "etc");
    assert_eq!(client.lookup(&etc, ".").0, etc);
    assert_eq!(client.lookup(&etc, "..").0, auto);
    let (hosts, _) = client.lookup(&etc, "hosts");
    for (name, expected) in [(&b"nothing"[..], NOENT), (b"no\xffutf8", NOENT), (b"", INVAL)] {
        let (status, mut reader) = client.nfs(3, &Xdr::new().opaque(&etc).opaque(name));
        assert_eq!(status, expected, "{name:?}");
        assert!(reader.optional_attributes().is_some(), "a failed LOOKUP tells of the directory");
        assert!(reader.is_at_end());
    }
    assert_eq!(client.nfs(3, &Xdr::new().opaque(&hosts).opaque(b"x")).0, NOTDIR);
}

#[tokio::test(flavor = "multi_thread")]
async fn access_agrees_with_the_mode() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["file"], "x");
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (file, _) = client.lookup(&auto, "file");
    for (handle, granted) in [(&auto, 0x01 | 0x02 | 0x20), (&file, 0x01)] {
        let (status, mut reader) = client.nfs(4, &Xdr::new().opaque(handle).u32(0x3f));
        assert_eq!(status, OK);
        assert!(reader.optional_attributes().is_some());
        assert_eq!(reader.u32(), granted);
    }
    let (_, mut reader) = client.nfs(4, &Xdr::new().opaque(&auto).u32(0x02));
    reader.optional_attributes();
    assert_eq!(reader.u32(), 0x02, "only what was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_read_and_only_links() {
    let backend = backend();
    backend.add_link("C.1", "auto", &["link"], "etc/hosts");
    backend.add_link("C.1", "auto", &["absolute"], "/etc/passwd");
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    for (name, target) in [("link", "etc/hosts"), ("absolute", ".raptorgate/root/etc/passwd")] {
        let (link, attributes) = client.lookup(&auto, name);
        assert_eq!(attributes.unwrap().size, target.len() as u64, "the size of a link is the length of its target");
        let (status, mut reader) = client.nfs(5, &Xdr::new().opaque(&link));
        assert_eq!(status, OK);
        assert_eq!(reader.optional_attributes().unwrap().file_type, 5);
        assert_eq!(reader.text(), target);
    }
    let (status, mut reader) = client.nfs(5, &Xdr::new().opaque(&auto));
    assert_eq!(status, INVAL);
    assert!(reader.optional_attributes().is_some());
}

/// The kernel refuses a directory that is found below itself, so every way back to the root leads to other objects (D1).
#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_to_the_root_never_meets_a_directory_again() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["etc", "hosts"], "content");
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let mut here = client.mount("/C.1/auto");
    let mut seen = vec![client.getattr(&here).file_id];
    for _ in 0..3 {
        for name in ["etc", ".raptorgate", "root"] {
            let (found, attributes) = client.lookup(&here, name);
            let file_id = client.getattr(&found).file_id;
            assert_eq!(attributes.unwrap().file_id, file_id);
            assert!(!seen.contains(&file_id), "{name}");
            seen.push(file_id);
            here = found;
        }
        let (etc, _) = client.lookup(&here, "etc");
        let (hosts, attributes) = client.lookup(&etc, "hosts");
        assert_eq!(attributes.unwrap().size, 7);
        assert_eq!(client.read(&hosts, 0, 100), (b"content".to_vec(), true));
        assert_eq!(client.lookup(&etc, "..").0, here);
        let page = client.list(&etc, 0, true, 4096);
        assert_eq!(page[2].handle.as_ref(), Some(&hosts));
        assert_eq!((page[0].file_id, page[1].file_id), (client.getattr(&etc).file_id, client.getattr(&here).file_id));
    }
    assert_eq!(backend.fetches(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn read_gives_every_byte_and_an_exact_end() {
    let content: Vec<u8> = (0..1_500_003u32).map(|at| (at % 251) as u8).collect();
    let backend = backend();
    backend.add_file("C.1", "auto", &["file"], content.clone());
    backend.add_file("C.1", "auto", &["empty"], "");
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (file, _) = client.lookup(&auto, "file");
    for _cold_then_warm in 0..2 {
        let (first, eof) = client.read(&file, 0, 1 << 30);
        assert!(first == content[..1 << 20] && !eof, "at most 1 MiB at once");
        let (rest, eof) = client.read(&file, 1 << 20, 1 << 20);
        assert!(rest == content[1 << 20..] && eof);
    }
    for (offset, count, expected, at_end) in [
        (1_499_999, 4, &content[1_499_999..], true),
        (1_499_999, 3, &content[1_499_999..1_500_002], false),
        (1_500_003, 10, &[][..], true),
        (u64::MAX, 10, &[][..], true),
        (777, 1, &content[777..778], false),
    ] {
        assert_eq!(client.read(&file, offset, count), (expected.to_vec(), at_end), "{offset} {count}");
    }
    let (empty, attributes) = client.lookup(&auto, "empty");
    assert_eq!(attributes.unwrap().size, 0);
    assert_eq!(client.read(&empty, 0, 4096), (Vec::new(), true));
    assert_eq!(client.nfs(6, &Xdr::new().opaque(&auto).u64(0).u32(1)).0, ISDIR);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_writes_is_refused_with_the_bodies_of_the_rfc() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["file"], "x");
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let directory = client.mount("/C.1/auto");
    let (file, _) = client.lookup(&directory, "file");
    let sattr = Xdr::new().u32(1).u32(0o644).u32(0).u32(1).u32(5).u32(1).u64(9).u32(1).u32(2).u64(7);
    let place = |handle: &[u8]| Xdr::new().opaque(handle).opaque(b"name");
    let calls = |file: &[u8], directory: &[u8]| {
        [
            ("SETATTR", 2, Xdr::new().opaque(file).raw(&sattr.0).u32(1).u64(3), 1),
            ("WRITE", 7, Xdr::new().opaque(file).u64(0).u32(3).u32(2).opaque(b"abc"), 1),
            ("CREATE", 8, place(directory).u32(1).raw(&sattr.0), 1),
            ("CREATE exclusive", 8, place(directory).u32(2).u64(1), 1),
            ("MKDIR", 9, place(directory).raw(&sattr.0), 1),
            ("SYMLINK", 10, place(directory).raw(&sattr.0).opaque(b"target"), 1),
            ("MKNOD", 11, place(directory).u32(4).raw(&sattr.0).u64(5), 1),
            ("MKNOD fifo", 11, place(directory).u32(7).raw(&sattr.0), 1),
            ("REMOVE", 12, place(directory), 1),
            ("RMDIR", 13, place(directory), 1),
            ("RENAME", 14, place(directory).raw(&place(directory).0), 2),
            ("COMMIT", 21, Xdr::new().opaque(file).u64(0).u32(0), 1),
        ]
    };
    for (name, procedure, arguments, bodies) in calls(&file, &directory) {
        let (status, mut reader) = client.nfs(procedure, &arguments);
        assert_eq!(status, ROFS, "{name}");
        for _ in 0..bodies {
            assert_eq!(reader.u32(), 0, "{name}: nothing is told of before");
            assert!(reader.optional_attributes().is_some(), "{name}");
        }
        assert!(reader.is_at_end(), "{name}");
    }
    // What exists is told as that, so that a client which only wanted to open it goes on.
    for how in [Xdr::new().u32(0).raw(&sattr.0), Xdr::new().u32(1).raw(&sattr.0), Xdr::new().u32(2).u64(1)] {
        let (status, mut reader) = client.nfs(8, &Xdr::new().opaque(&directory).opaque(b"file").raw(&how.0));
        assert_eq!((status, reader.u32()), (EXIST, 0));
        assert!(reader.optional_attributes().is_some() && reader.is_at_end());
    }
    let (status, mut reader) = client.nfs(15, &Xdr::new().opaque(&file).raw(&place(&directory).0));
    assert_eq!((status, reader.optional_attributes().unwrap().file_type), (ROFS, 1), "LINK");
    assert_eq!((reader.u32(), reader.optional_attributes().unwrap().file_type), (0, 2), "LINK");
    for (name, procedure, arguments, bodies) in calls(b"no handle", b"no handle") {
        let (status, mut reader) = client.nfs(procedure, &arguments);
        assert_eq!(status, BADHANDLE, "{name}");
        for _ in 0..bodies {
            assert_eq!((reader.u32(), reader.u32()), (0, 0), "{name}");
        }
        assert!(reader.is_at_end(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_system_describes_itself() {
    let backend = backend();
    backend.add_endpoint("C.2", vfs::System::Windows, true);
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let linux = client.mount("/C.1");
    let windows = client.mount("/C.2");
    let (status, mut reader) = client.nfs(19, &Xdr::new().opaque(&linux));
    assert_eq!(status, OK);
    assert!(reader.optional_attributes().is_some());
    let figures: Vec<u32> = (0..7).map(|_| reader.u32()).collect();
    assert_eq!(figures, [1 << 20, 1 << 20, 4096, 32 << 10, 32 << 10, 4096, 64 << 10]);
    assert_eq!(reader.u64(), i64::MAX as u64);
    assert_eq!((reader.u32(), reader.u32(), reader.u32()), (0, 1, 0x2 | 0x8));
    assert!(reader.is_at_end());
    for (handle, ignores_case) in [(&linux, 0), (&windows, 1)] {
        let (status, mut reader) = client.nfs(20, &Xdr::new().opaque(handle));
        assert_eq!(status, OK);
        assert!(reader.optional_attributes().is_some());
        let facts: Vec<u32> = (0..6).map(|_| reader.u32()).collect();
        assert_eq!(facts, [1, 255, 1, 1, ignores_case, 1]);
        assert!(reader.is_at_end());
    }
    let (status, mut reader) = client.nfs(18, &Xdr::new().opaque(&linux));
    assert_eq!(status, OK);
    assert!(reader.optional_attributes().is_some());
    assert_eq!((0..6).map(|_| reader.u64()).sum::<u64>(), 0, "nothing is known of the disk and nothing is free");
    assert_eq!(reader.u32(), 0);
    assert!(reader.is_at_end());
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_are_verified_before_anything_else() {
    let backend = backend();
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let mut forged = client.mount("/C.1");
    forged[60] ^= 1;
    let tails: [(u32, Xdr); 9] = [
        (1, Xdr::new()),
        (3, Xdr::new().opaque(b"x")),
        (4, Xdr::new().u32(1)),
        (5, Xdr::new()),
        (6, Xdr::new().u64(0).u32(1)),
        (16, Xdr::new().u64(0).u64(0).u32(4096)),
        (17, Xdr::new().u64(0).u64(0).u32(4096).u32(4096)),
        (18, Xdr::new()),
        (20, Xdr::new()),
    ];
    for (handle, expected) in
        [(&forged[..], STALE), (&forged[..63], BADHANDLE), (b"", BADHANDLE), (&[9; 64], BADHANDLE)]
    {
        for (procedure, tail) in &tails {
            let (status, mut reader) = client.nfs(*procedure, &Xdr::new().opaque(handle).raw(&tail.0));
            assert_eq!(status, expected, "procedure {procedure}");
            assert!(*procedure == 1 || reader.u32() == 0);
            assert!(reader.is_at_end());
        }
    }
}

impl Client {
    fn stream_mount_root(&self) -> Vec<u8> {
        Client::connect(self.stream.peer_addr().unwrap()).mount("/")
    }
}
