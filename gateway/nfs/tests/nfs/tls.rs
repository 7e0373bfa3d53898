//! NFS over TLS (RFC 9289): who asks for it gets it, who must have it gets nothing without, and a certificate says who asks.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use raptorgate_nfs::{Config, Error, Limits, Require, Server, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use super::client::{Client, MOUNT, NFS, Xdr};
use super::{backend, config, start_with};

const ACCES: u32 = 13;

/// A CA, and the server's files in a folder of their own.
struct Authority {
    folder: TempDir,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = subject("test CA");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        let authority = Authority { folder, certificate: certificate.der().clone(), issuer: Issuer::new(params, key) };
        authority.renew("server");
        authority
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = subject(name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Gives the server a new certificate.
    fn renew(&self, name: &str) {
        let (certificate, key) = self.issue(name);
        fs::write(self.folder.path().join("server.key"), key.serialize_pem()).unwrap();
        fs::write(self.folder.path().join("server.pem"), certificate.pem()).unwrap();
    }

    fn files(&self) -> TlsFiles {
        let file = |name| self.folder.path().join(name);
        TlsFiles { certificate: file("server.pem"), key: file("server.key"), client_ca: Some(file("ca.pem")) }
    }

    fn config(&self, require: Require) -> Config {
        Config { tls: Some(self.files()), require, ..config() }
    }

    /// What a client that trusts this CA does, with a certificate for `name` if there is one.
    fn client(&self, name: Option<&str>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots);
        let client = match name {
            None => client.with_no_client_auth(),
            Some(name) => {
                let (certificate, key) = self.issue(name);
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                client.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
        };
        Arc::new(client)
    }
}

/// The probe: NULL with the flavor AUTH_TLS.
fn probe(version: u32, procedure: u32) -> Vec<u8> {
    let head = Xdr::new().u32(77).u32(0).u32(2).u32(NFS).u32(version).u32(procedure);
    head.u32(7).u32(0).u32(0).u32(0).0
}

/// Asks for TLS and is told to begin.
fn probed(address: std::net::SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send_record(&probe(3, 0));
    let (xid, mut reply) = client.receive();
    let head: Vec<u32> = (0..4).map(|_| reply.u32()).collect();
    assert_eq!((xid, head), (77, vec![1, 0, 0, 8]), "accepted, with a verifier of flavor AUTH_NONE and 8 bytes");
    assert_eq!((reply.fixed(8), reply.u32(), reply.is_at_end()), (b"STARTTLS".to_vec(), 0, true));
    client
}

type Protected = StreamOwned<ClientConnection, TcpStream>;

fn protected(address: std::net::SocketAddr, config: Arc<ClientConfig>) -> Client<Protected> {
    let stream = probed(address).stream;
    let connection = ClientConnection::new(config, "127.0.0.1".try_into().unwrap()).unwrap();
    Client::over(StreamOwned::new(connection, stream))
}

/// A connection is closed a moment before it is counted.
fn until_refused(server: &Server, count: u64) {
    let mut rounds = 0;
    while server.metrics().connections.handshakes_refused != count {
        rounds += 1;
        assert!(rounds < 1000, "{:?}", server.metrics().connections);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// AUTH_TOOWEAK for GETATTR of `handle`.
fn is_too_weak<S: Read + Write>(client: &mut Client<S>, handle: &[u8]) -> bool {
    let mut reader = client.raw_call(NFS, 3, 1, &Xdr::new().opaque(handle));
    (0..4).map(|_| reader.u32()).collect::<Vec<_>>() == [1, 1, 1, 5]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_mebibyte_comes_through_tls_as_it_is_and_plain_clients_go_on() {
    let backend = backend();
    let content: Vec<u8> = (0..1u32 << 18).flat_map(|word| word.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    backend.add_file("C.1", "auto", &["large"], content.clone());
    let authority = Authority::new();
    let (server, address) = start_with(&backend, authority.config(Require::Nothing)).await;
    let mut client = protected(address, authority.client(None));
    let auto = client.mount("/C.1/auto");
    let (large, _) = client.lookup(&auto, "large");
    assert_eq!(client.getattr(&large).size, 1 << 20);
    let (data, eof) = client.read(&large, 0, 1 << 20);
    assert!(data == content && eof);
    // Many at once: more than TLS and the socket take at a time.
    let sent: Vec<u32> =
        (0..40).map(|_| client.send(NFS, 3, 6, &Xdr::new().opaque(&large).u64(0).u32(1 << 20))).collect();
    for xid in sent {
        let (answered, reader) = client.receive();
        assert_eq!(answered, xid);
        assert!(reader.len() > content.len());
    }
    let mut plain = Client::connect(address);
    assert_eq!(plain.getattr(&large).size, 1 << 20);
    assert_eq!(plain.read(&large, 0, 100).0, content[..100]);
    let reports = server.connections();
    assert_eq!(reports.iter().map(|report| report.tls).collect::<Vec<_>>(), [true, false]);
    assert_eq!(reports[0].principal, "local", "nobody has shown a certificate");
    assert_eq!(server.metrics().connections.handshakes, 1);
    assert_eq!(client.stream.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(client.stream.conn.alpn_protocol(), None, "the client offered none");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocols_name_is_agreed_upon_and_another_is_refused() {
    let authority = Authority::new();
    let (_server, address) = start_with(&backend(), authority.config(Require::Nothing)).await;
    for (offered, is_good) in [("sunrpc", true), ("http/1.1", false)] {
        let mut config = ClientConfig::clone(&authority.client(None));
        config.alpn_protocols = vec![offered.into()];
        let mut client = protected(address, Arc::new(config));
        assert_eq!(client.stream.flush().is_ok() && client.stream.conn.alpn_protocol().is_some(), is_good, "{offered}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_says_for_whom_flows_are_started() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["etc", "hosts"], "x");
    let authority = Authority::new();
    let (server, address) = start_with(&backend, authority.config(Require::Certificate)).await;
    let mut client = protected(address, authority.client(Some("alice")));
    let auto = client.mount("/C.1/auto");
    let (etc, _) = client.lookup(&auto, "etc");
    let (hosts, _) = client.lookup(&etc, "hosts");
    assert_eq!(client.read(&hosts, 0, 1).0, b"x");
    assert_eq!(server.connections()[0].principal, "alice");
    let works = backend.works();
    assert!(works.len() >= 2 && works.iter().all(|(_, principal)| &**principal == "alice"), "{works:?}");

    // Another process of this machine, another user: the certificate is enough.
    let (_server, address) =
        start_with(&backend, Config { loopback_any: false, ..authority.config(Require::Nothing) }).await;
    let mut client = protected(address, authority.client(Some("bob")));
    client.uid = 54_321;
    assert!(!is_too_weak(&mut client, &auto));
    let mut client = protected(address, authority.client(None));
    client.uid = 54_321;
    assert!(is_too_weak(&mut client, &auto));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_ca_or_none_where_one_is_required_ends_the_connection() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let mut forged = ClientConfig::clone(&authority.client(Some("mallory")));
    forged.client_auth_cert_resolver = stranger.client(Some("mallory")).client_auth_cert_resolver.clone();
    for (require, client, is_good) in [
        (Require::Nothing, Arc::new(forged.clone()), false),
        (Require::Certificate, Arc::new(forged), false),
        (Require::Certificate, authority.client(None), false),
        (Require::Certificate, authority.client(Some("")), false),
        (Require::Certificate, authority.client(Some("alice")), true),
    ] {
        let (server, address) = start_with(&backend(), authority.config(require)).await;
        let mut client = protected(address, client);
        let (_, message) = client.message(NFS, 3, 0, &Xdr::new());
        let marker = u32::try_from(message.len()).unwrap() | 1 << 31;
        let sent = client.stream.write_all(&[&marker.to_be_bytes(), &message[..]].concat());
        let answered = sent.is_ok() && client.stream.read_exact(&mut [0; 28]).is_ok();
        assert_eq!(answered, is_good);
        until_refused(&server, u64::from(!is_good));
        assert_eq!(server.metrics().connections.handshakes, u64::from(is_good));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tls_is_required_a_plain_client_is_told_nothing() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["etc", "hosts"], "x");
    let authority = Authority::new();
    for require in [Require::Tls, Require::Certificate] {
        let (_server, address) = start_with(&backend, authority.config(require)).await;
        let mut plain = Client::connect(address);
        // Kernels mount in clear.
        let endpoint = plain.mount("/C.1");
        assert!(is_too_weak(&mut plain, &endpoint) && is_too_weak(&mut plain, b"garbage"));
        plain.call(NFS, 3, 0, &Xdr::new());
        let mut client = protected(address, authority.client(Some("alice")));
        assert_eq!(client.getattr(&endpoint).file_type, 2);
        let mut below = plain.call(MOUNT, 3, 1, &Xdr::new().opaque(b"/C.1/auto/etc"));
        let mut exports = plain.call(MOUNT, 3, 5, &Xdr::new());
        if require == Require::Certificate {
            assert_eq!((below.u32(), exports.u32(), exports.is_at_end()), (ACCES, 0, true), "a stranger");
        } else {
            assert_eq!((below.u32(), exports.u32()), (0, 1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_can_be_required_for_single_endpoints() {
    let backend = backend();
    backend.add_endpoint("C.2", vfs::System::Linux, true);
    let authority = Authority::new();
    let rule = Config { require_tls_for: vec!["C.2".to_owned()], ..authority.config(Require::Nothing) };
    let (_server, address) = start_with(&backend, rule).await;
    let mut plain = Client::connect(address);
    let [open, closed, frozen, top] = ["/C.1", "/C.2", "/frozen/C.2", "/"].map(|path| plain.mount(path));
    assert!(is_too_weak(&mut plain, &closed) && is_too_weak(&mut plain, &frozen));
    assert!(!is_too_weak(&mut plain, &open) && !is_too_weak(&mut plain, &top) && !is_too_weak(&mut plain, &[0; 64]));
    let mut client = protected(address, authority.client(None));
    assert!(!is_too_weak(&mut client, &closed) && !is_too_weak(&mut client, &open));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_instead_of_a_handshake_ends_its_own_connection_only() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["file"], "x");
    let authority = Authority::new();
    let (server, address) = start_with(&backend, authority.config(Require::Nothing)).await;
    let mut good = protected(address, authority.client(None));
    let handle = good.mount("/C.1");
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3], &[0; 70_000]] {
        let mut client = probed(address);
        // The server may close before all of it is sent.
        let _ = client.stream.write_all(garbage);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let _ = client.stream.read_to_end(&mut rest);
        assert!(rest.len() < 100, "an alert at most: {rest:?}");
        assert_eq!(good.getattr(&handle).file_type, 2);
    }
    // A plain call where a handshake was agreed upon is not answered.
    let mut client = probed(address);
    client.send(NFS, 3, 1, &Xdr::new().opaque(&handle));
    let mut rest = Vec::new();
    let _ = client.stream.read_to_end(&mut rest);
    assert_ne!(rest.first(), Some(&0x80), "a reply in clear");
    until_refused(&server, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_clear_together_with_the_probe_is_never_read() {
    let authority = Authority::new();
    let (server, address) = start_with(&backend(), authority.config(Require::Nothing)).await;
    let mut client = Client::connect(address);
    let probe = probe(3, 0);
    let marker = (u32::try_from(probe.len()).unwrap() | 1 << 31).to_be_bytes();
    client.stream.write_all(&[&marker[..], &probe, &marker, &probe].concat()).unwrap();
    assert!(client.is_closed());
    assert_eq!(server.metrics().connections.handshakes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_has_to_end_within_its_time() {
    let authority = Authority::new();
    let limits = Limits { handshake_time: Duration::from_millis(200), ..Limits::default() };
    let (server, address) = start_with(&backend(), Config { limits, ..authority.config(Require::Nothing) }).await;
    let mut silent = probed(address);
    let mut slow = probed(address);
    slow.stream.write_all(&[0x16, 3, 1, 2, 0]).unwrap();
    assert!(silent.is_closed() && slow.is_closed());
    until_refused(&server, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_is_for_null_over_tcp_once_and_for_servers_that_do_tls() {
    let authority = Authority::new();
    let (_server, address) = start_with(&backend(), authority.config(Require::Nothing)).await;
    let refused = |client: &mut Client, record: &[u8]| {
        client.send_record(record);
        let (_, mut reply) = client.receive();
        (0..4).map(|_| reply.u32()).collect::<Vec<_>>() == [1, 1, 1, 1]
    };
    assert!(refused(&mut Client::connect(address), &probe(3, 1)), "GETATTR");
    // Whatever the version: mount programs begin with 4.
    let mut client = Client::connect(address);
    client.send_record(&probe(4, 0));
    assert_eq!(client.receive().1.len(), 32);
    let mut client = protected(address, authority.client(None));
    client.send_record(&probe(3, 0));
    let (_, mut reply) = client.receive();
    assert_eq!((0..4).map(|_| reply.u32()).collect::<Vec<_>>(), [1, 1, 1, 1], "TLS in TLS");
    let (_server, address) = start_with(&backend(), config()).await;
    assert!(refused(&mut Client::connect(address), &probe(3, 0)), "no certificate, no TLS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_without_a_restart_and_a_bad_one_is_not() {
    let authority = Authority::new();
    let (_server, address) = start_with(&backend(), authority.config(Require::Nothing)).await;
    let shown = || {
        let mut client = protected(address, authority.client(None));
        client.call(NFS, 3, 0, &Xdr::new());
        client.stream.conn.peer_certificates().unwrap()[0].clone()
    };
    let first = shown();
    assert_eq!(shown(), first);
    authority.renew("a name of another length");
    let second = shown();
    assert_ne!(second, first);
    fs::write(authority.files().key, "garbage").unwrap();
    assert_eq!(shown(), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_told_at_the_start() {
    let authority = Authority::new();
    let fault = async |config: Config| -> String {
        match Server::start(vfs::testing::vfs(&backend()), config).await {
            Ok(_) => panic!("it started"),
            Err(error @ (Error::Tls { .. } | Error::Requirement(_))) => error.to_string(),
            Err(error) => panic!("{error}"),
        }
    };
    let with = |change: fn(&mut TlsFiles)| {
        let mut files = authority.files();
        change(&mut files);
        Config { tls: Some(files), ..config() }
    };
    let stranger = Authority::new();
    fs::copy(stranger.files().key, authority.folder.path().join("other.key")).unwrap();
    let no_ca = with(|files| files.client_ca = None);
    for (config, part) in [
        (Config { require: Require::Tls, ..config() }, "no certificate"),
        (Config { require_tls_for: vec!["C.1".to_owned()], ..config() }, "no certificate"),
        (Config { require: Require::Certificate, ..no_ca }, "no CA"),
        (with(|files| files.certificate.set_file_name("absent.pem")), "absent.pem"),
        (with(|files| files.certificate.set_file_name("server.key")), "no certificate (PEM)"),
        (with(|files| files.key.set_file_name("server.pem")), "server.pem"),
        (with(|files| files.key.set_file_name("other.key")), "server.pem"),
    ] {
        let fault = fault(config).await;
        assert!(fault.contains(part), "{part}: {fault}");
    }
}
