//! A connection that cuts, delays, duplicates and reorders, at every procedure: the client that asks again gets exactly the bytes that it
//! would have got otherwise.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::client::{Client, MOUNT, NFS, Reader, Xdr, results};
use super::proxy::{Fault, Procedure, Proxy};
use super::{backend, start};

const PORTMAP: u32 = 100_000;
const NLM: u32 = 100_021;
const NSM: u32 = 100_024;

/// A client as kernels are: it sends a call again over a new connection until the reply to it comes, and takes no other reply for it.
struct Patient {
    address: SocketAddr,
    stream: Option<TcpStream>,
    connections: usize,
}

impl Patient {
    fn new(address: SocketAddr) -> Patient {
        Patient { address, stream: None, connections: 0 }
    }

    /// The replies to all these calls, which are sent at once, without their XIDs.
    fn ask(&mut self, calls: &[(u32, Vec<u8>)]) -> Vec<Vec<u8>> {
        let mut replies = BTreeMap::new();
        for _ in 0..20 {
            match self.try_ask(calls, &mut replies) {
                Ok(()) => return calls.iter().map(|(xid, _)| replies[xid].clone()).collect(),
                Err(_) => self.stream = None,
            }
        }
        panic!("no reply after twenty connections");
    }

    fn try_ask(&mut self, calls: &[(u32, Vec<u8>)], replies: &mut BTreeMap<u32, Vec<u8>>) -> io::Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                self.connections += 1;
                let stream = TcpStream::connect(self.address)?;
                stream.set_read_timeout(Some(Duration::from_secs(20)))?;
                stream.set_nodelay(true)?;
                none.insert(stream)
            }
        };
        for (_, message) in calls.iter().filter(|(xid, _)| !replies.contains_key(xid)) {
            let marker = u32::try_from(message.len()).unwrap() | 1 << 31;
            stream.write_all(&[&marker.to_be_bytes(), &message[..]].concat())?;
        }
        while calls.iter().any(|(xid, _)| !replies.contains_key(xid)) {
            let mut marker = [0; 4];
            stream.read_exact(&mut marker)?;
            let mut record = vec![0; (u32::from_be_bytes(marker) & 0x7fff_ffff) as usize];
            stream.read_exact(&mut record)?;
            let xid = u32::from_be_bytes(*record.first_chunk().unwrap());
            if calls.iter().any(|(asked, _)| *asked == xid) {
                let reply = record.split_off(4);
                // A second reply says what the first one said.
                let first = replies.entry(xid).or_insert_with(|| reply.clone());
                assert_eq!(*first, reply);
            }
        }
        Ok(())
    }
}

/// A call of every procedure of every program that the server has.
fn every_procedure(directory: &[u8], file: &[u8], link: &[u8]) -> Vec<(Procedure, Xdr)> {
    let sattr = Xdr::new().u32(0).u32(0).u32(0).u32(0).u32(0).u32(0);
    let place = Xdr::new().opaque(directory).opaque(b"name");
    let lock = Xdr::new().opaque(b"host").opaque(file).opaque(b"1@host").u32(1).u64(0).u64(9);
    let range = Xdr::new().opaque(b"cookie").u32(0).u32(1).raw(&lock.0);
    let monitored = Xdr::new().opaque(b"me").u32(1).u32(2).u32(3);
    let port = Xdr::new().u32(NFS).u32(3).u32(6).u32(0);
    let nfs = [
        Xdr::new(),
        Xdr::new().opaque(file),
        Xdr::new().opaque(file).raw(&sattr.0).u32(0),
        Xdr::new().opaque(directory).opaque(b"file"),
        Xdr::new().opaque(file).u32(0x3f),
        Xdr::new().opaque(link),
        Xdr::new().opaque(file).u64(1000).u32(100_000),
        Xdr::new().opaque(file).u64(0).u32(3).u32(2).opaque(b"abc"),
        place.clone().u32(0).raw(&sattr.0),
        place.clone().raw(&sattr.0),
        place.clone().raw(&sattr.0).opaque(b"target"),
        place.clone().u32(7).raw(&sattr.0),
        place.clone(),
        place.clone(),
        place.clone().raw(&place.0),
        Xdr::new().opaque(file).raw(&place.0),
        Xdr::new().opaque(directory).u64(0).u64(0).u32(4096),
        Xdr::new().opaque(directory).u64(0).u64(0).u32(4096).u32(8192),
        Xdr::new().opaque(directory),
        Xdr::new().opaque(directory),
        Xdr::new().opaque(directory),
        Xdr::new().opaque(file).u64(0).u32(0),
    ];
    let nfs = nfs.into_iter().zip(0..).map(|(arguments, number)| ((NFS, 3, number), arguments));
    let path = Xdr::new().opaque(b"/C.1/auto");
    let others = [
        ((MOUNT, 3, 0), Xdr::new()),
        ((MOUNT, 3, 1), path.clone()),
        ((MOUNT, 3, 5), Xdr::new()),
        ((MOUNT, 3, 3), path),
        ((MOUNT, 3, 4), Xdr::new()),
        ((MOUNT, 3, 2), Xdr::new()),
        ((NLM, 4, 1), range.clone()),
        ((NLM, 4, 2), range.clone().u32(0).u32(1)),
        ((NLM, 4, 4), Xdr::new().opaque(b"cookie").raw(&lock.0)),
        ((NLM, 4, 23), Xdr::new().opaque(b"host").u32(1)),
        ((NSM, 1, 1), Xdr::new().opaque(b"host")),
        ((NSM, 1, 2), Xdr::new().opaque(b"host").raw(&monitored.0).raw(&[0; 16])),
        ((PORTMAP, 2, 3), port),
        ((PORTMAP, 2, 4), Xdr::new()),
        ((PORTMAP, 4, 4), Xdr::new()),
    ];
    nfs.chain(others).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_every_procedure_every_fault_of_the_connection_leaves_the_reply_as_it_is() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["file"], super::noise(200_000, 1));
    backend.add_link("C.1", "auto", &["link"], "file");
    for number in 0..40 {
        backend.add_file("C.1", "auto", &[&format!("entry {number}")], "x");
    }
    let (_server, address) = start(&backend).await;
    let mut direct = Client::connect(address);
    let directory = direct.mount("/C.1/auto");
    let (file, _) = direct.lookup(&directory, "file");
    let (link, _) = direct.lookup(&directory, "link");
    direct.read(&file, 0, 10);
    let proxy = Proxy::start(address);
    let mut patient = Patient::new(proxy.address());
    let procedures = every_procedure(&directory, &file, &link);
    for (procedure, arguments) in &procedures {
        let (program, version, number) = *procedure;
        let mut raw = direct.raw_call(program, version, number, arguments);
        let expected = raw.fixed(raw.len() - 4);
        for fault in Fault::ALL {
            let target = *procedure;
            proxy.set(move |called, before| (called == target && before == 0).then_some(fault));
            // A second call behind it, so that there is something to overtake.
            let calls = [
                direct.message(program, version, number, arguments),
                direct.message(NFS, 3, 1, &Xdr::new().opaque(&directory)),
            ];
            let replies = patient.ask(&calls);
            assert_eq!(replies[0], expected, "{procedure:?} {fault:?}");
            assert_eq!(results(Reader::new(replies[1].clone())).u32(), 0, "{procedure:?} {fault:?}");
        }
    }
    let done = proxy.done();
    for (procedure, _) in &procedures {
        for fault in Fault::ALL {
            assert!(done.contains_key(&(*procedure, fault)), "{fault:?} was never done to {procedure:?}");
        }
    }
    assert!(patient.connections > procedures.len() * 3, "three of them cut");
    if let Some(folder) = super::proxy::corpus() {
        proxy.write_corpus(&folder, "rust").unwrap();
    }
    assert_eq!(backend.fetches(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_for_the_first_time_through_a_bad_connection_is_right_and_is_collected_once() {
    let backend = backend();
    let mut truth = BTreeMap::new();
    for number in 0..12 {
        let (folder, name) = (format!("folder {}", number % 3), format!("file {number}"));
        let content = super::noise(1_000 + number * 70_001, number as u64);
        backend.add_file("C.1", "auto", &[&folder, &name], content.clone());
        truth.insert((folder, name), content);
    }
    let (_server, address) = start(&backend).await;
    let proxy = Proxy::start(address);
    let mut direct = Client::connect(address);
    // The same faults in every run: which call suffers which follows from its number.
    proxy.set(|(program, _, procedure), before| {
        let draw = (u64::from(program ^ procedure) + before).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        Fault::ALL.get(usize::try_from(draw % 18).unwrap()).copied()
    });
    let mut patient = Patient::new(proxy.address());
    let mut ask = |program, procedure, arguments: Xdr| {
        let call = direct.message(program, 3, procedure, &arguments);
        let mut reader = results(Reader::new(patient.ask(&[call]).remove(0)));
        assert_eq!(reader.u32(), 0, "{program} {procedure}");
        reader
    };
    let auto = ask(MOUNT, 1, Xdr::new().opaque(b"/C.1/auto")).opaque();
    for round in 0..2 {
        for ((folder, name), content) in &truth {
            let folder = ask(NFS, 3, Xdr::new().opaque(&auto).opaque(folder.as_bytes())).opaque();
            let file = ask(NFS, 3, Xdr::new().opaque(&folder).opaque(name.as_bytes())).opaque();
            let mut read = Vec::new();
            loop {
                let arguments = Xdr::new().opaque(&file).u64(read.len() as u64).u32(65_536);
                let mut reader = ask(NFS, 6, arguments);
                assert_eq!(reader.optional_attributes().unwrap().size, content.len() as u64);
                let (_count, eof) = (reader.u32(), reader.u32());
                read.extend(reader.opaque());
                if eof == 1 {
                    break;
                }
            }
            assert!(read == *content, "{name} in round {round}");
        }
    }
    // Small files that are read one after another leave together.
    assert!(backend.fetches() <= truth.len());
    assert!(proxy.done().values().sum::<u64>() > 100, "{:?}", proxy.done());
}
