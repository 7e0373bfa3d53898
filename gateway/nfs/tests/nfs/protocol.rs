//! What RPC says instead of results, and what becomes of bytes that are no call.

use super::client::{Client, NFS, Xdr};
use super::{backend, start};
use proptest::prelude::*;
use proptest::test_runner::{Config as ProptestConfig, TestRunner};

#[tokio::test(flavor = "multi_thread")]
async fn version_4_is_told_that_only_version_3_is_spoken() {
    let (_server, address) = start(&backend()).await;
    let mut client = Client::connect(address);
    let mut reader = client.raw_call(NFS, 4, 0, &Xdr::new());
    let words: Vec<u32> = (0..7).map(|_| reader.u32()).collect();
    assert_eq!(words, [1, 0, 0, 0, 2, 3, 3]);
    assert!(reader.is_at_end());
    client.call(NFS, 3, 0, &Xdr::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_called_is_refused_in_the_words_of_rpc() {
    let (_server, address) = start(&backend()).await;
    let mut client = Client::connect(address);
    for (program, version, procedure, arguments, expected) in [
        (100_227, 3, 0, Xdr::new(), 1),              // NFS_ACL: PROG_UNAVAIL
        (NFS, 3, 22, Xdr::new(), 3),                 // PROC_UNAVAIL
        (NFS, 3, 1, Xdr::new(), 4),                  // GARBAGE_ARGS
        (NFS, 3, 1, Xdr::new().opaque(&[0; 65]), 4), // a handle beyond 64 bytes
        (NFS, 3, 8, Xdr::new().opaque(b"").opaque(b"x").u32(3), 4),
        (NFS, 3, 16, Xdr::new().opaque(&[1; 64]).u64(0), 4),
    ] {
        let mut reader = client.raw_call(program, version, procedure, &arguments);
        let words: Vec<u32> = (0..5).map(|_| reader.u32()).collect();
        assert_eq!(words, [1, 0, 0, 0, expected], "{program} {version} {procedure}");
        assert!(reader.is_at_end());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_not_understood_are_refused() {
    let (_server, address) = start(&backend()).await;
    let mut client = Client::connect(address);
    let too_many_groups = Xdr::new().u32(0).opaque(b"h").u32(0).u32(0).u32(17).raw(&[0; 68]);
    for (flavor, body) in [(7, Xdr::new()), (6, Xdr::new().u32(1)), (1, Xdr::new().u32(1)), (1, too_many_groups)] {
        let call = Xdr::new().u32(5).u32(0).u32(2).u32(NFS).u32(3).u32(0).u32(flavor).opaque(&body.0).u32(0).u32(0);
        client.send_record(&call.0);
        let (xid, mut reader) = client.receive();
        let words: Vec<u32> = (0..4).map(|_| reader.u32()).collect();
        assert_eq!((xid, &words[..]), (5, &[1, 1, 1, 1][..]), "flavor {flavor}: denied, AUTH_ERROR, AUTH_BADCRED");
        assert!(reader.is_at_end());
    }
    client.send_record(&Xdr::new().u32(6).u32(0).u32(3).0);
    let (xid, mut reader) = client.receive();
    let words: Vec<u32> = (0..5).map(|_| reader.u32()).collect();
    assert_eq!((xid, &words[..]), (6, &[1, 1, 0, 2, 2][..]), "RPC_MISMATCH 2..2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_in_many_fragments_is_one_call() {
    use std::io::Write;
    let (_server, address) = start(&backend()).await;
    let mut client = Client::connect(address);
    let (xid, message) = client.message(NFS, 3, 0, &Xdr::new());
    let mut pieces = message.chunks(7).peekable();
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { 1 << 31 } else { 0 };
        let marker = u32::try_from(piece.len()).unwrap() | last;
        client.stream.write_all(&marker.to_be_bytes()).unwrap();
        client.stream.write_all(piece).unwrap();
    }
    assert_eq!(client.receive().0, xid);
}

#[tokio::test(flavor = "multi_thread")]
async fn arbitrary_arguments_of_any_procedure_are_answered_or_end_the_connection() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["file"], "content");
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let root = client.mount("/C.1/auto");
    let services = prop_oneof![
        Just((NFS, 3u32, 22u32)),
        Just((100_005, 3, 6)),
        Just((100_000, 2, 6)),
        Just((100_000, 4, 13)),
        Just((100_021, 4, 24)),
        Just((100_021, 1, 24)),
        Just((100_024, 1, 7))
    ];
    let calls = (services, any::<u32>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..120));
    let shared = std::cell::RefCell::new(&mut client);
    tokio::task::block_in_place(|| {
        let mut runner = TestRunner::new(ProptestConfig { cases: 3_000, ..ProptestConfig::default() });
        runner
            .run(&calls, |((program, version, procedures), procedure, begins_well, bytes)| {
                let arguments = if begins_well { Xdr::new().opaque(&root).raw(&bytes) } else { Xdr::new().raw(&bytes) };
                let procedure = procedure % (procedures + 1);
                if program == 100_005 && procedure == 1 {
                    return Ok(()); // MNT may be left unanswered on purpose
                }
                let mut reader = shared.borrow_mut().raw_call(program, version, procedure, &arguments);
                prop_assert_eq!(reader.u32(), 1);
                Ok(())
            })
            .unwrap();
    });
    assert_eq!(client.getattr(&root).file_type, 2);
}
