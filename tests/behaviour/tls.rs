//! NFS over TLS with the real Linux client: what is mounted so is read right, a certificate names the reader, and who has none is shown
//! nothing.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::support::gateway::{Client, Gateway, Start};
use crate::support::ground_truth::sha256;
use crate::support::guest::{self, Link, Release};
use crate::support::network::{self, Namespace};
use crate::support::skip::skip_if;
use crate::support::tree::Tree;

/// A CA and the certificates of gateway and client.
struct Certificates {
    folder: TempDir,
    ca: String,
    client: (String, String),
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

impl Certificates {
    fn new() -> Certificates {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = subject("test CA");
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let issue = |name: &str, alternatives: &[&str]| {
            let alternatives: Vec<String> = alternatives.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(alternatives).unwrap();
            params.distinguished_name = subject(name);
            let key = KeyPair::generate().unwrap();
            (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
        };
        // The guest's $HOST.
        let (certificate, key) = issue("gateway", &["192.0.2.1", "127.0.0.1"]);
        let client = issue("alice", &["analyst.example"]);
        let folder = TempDir::new().unwrap();
        for (name, text) in [("ca.pem", &ca), ("gateway.pem", &certificate), ("gateway.key", &key)] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Certificates { folder, ca, client }
    }

    /// A demo with these files on a namespace's addresses.
    fn demo(&self, namespace: &Namespace, roots: &[&Path], state: &Path, require: &str) -> Gateway {
        let file = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let start = Start::demo_inside(namespace, roots, state);
        let start = start.with(["--nfs-certificate", &file("gateway.pem"), "--nfs-key", &file("gateway.key")]);
        let start = start.with(["--nfs-client-ca", &file("ca.pem"), "--nfs-require", require]);
        Gateway::start(start)
    }

    fn run(&self, namespace: &Namespace, client: &Client) -> guest::Ran {
        let variables = [
            ("CLIENT", client.client_id.as_str()),
            ("OPTIONS", "nosuid,nodev,noexec"),
            ("CA", &self.ca),
            ("CERTIFICATE", &self.client.0),
            ("KEY", &self.client.1),
        ];
        guest::run(Release::Trixie, &Link::Inside(namespace), "tls.sh", &variables)
    }
}

#[test]
fn linux_mounts_through_tls_and_its_certificate_names_the_reader() {
    skip_if!(network::obstacle().or_else(|| guest::obstacle(Release::Trixie)));
    let tree = Tree::small();
    let sum = format!("{}  -", sha256(&fs::read(tree.path().join("pictures/large.bin")).unwrap()));
    let certificates = Certificates::new();
    for (require, works) in
        [("nothing", &["none", "tls", "mtls"][..]), ("tls", &["tls", "mtls"]), ("certificate", &["mtls"])]
    {
        let namespace = Namespace::new();
        let state = TempDir::new().unwrap();
        let mut gateway = certificates.demo(&namespace, &[tree.path()], state.path(), require);
        let ran = certificates.run(&namespace, &gateway.endpoint(tree.path()));
        for protection in ["tls", "mtls"] {
            let told = format!("required: {require}; {protection}: {}\n{}", ran.said("tlshd"), gateway.log());
            if works.contains(&protection) {
                assert_eq!(ran.said(&format!("mounted-{protection}")), format!("xprtsec={protection}"), "{told}");
                assert_eq!(ran.said(&format!("list-{protection}")), "documents empty pictures readme.txt", "{told}");
                assert_eq!(ran.said(&format!("sum-{protection}")), sum, "{told}");
            } else {
                assert_eq!(ran.said(&format!("mounted-{protection}")), "", "{told}");
            }
        }
        let plain = if works.contains(&"none") { "mounted" } else { "" };
        assert_eq!(ran.said("mounted-none"), plain, "required: {require}; {}", gateway.log());
        if plain.is_empty() {
            assert!(ran.said("complaint-none").contains("access denied"), "{}", ran.said("complaint-none"));
        }
        gateway.stop();
        let ledger = ledger(state.path());
        assert_eq!(ledger.contains("\"alice\""), works.contains(&"mtls"), "{ledger}");
        eprintln!("required: {require}; the kernel says {}", ran.said("kernel").replace('\n', ", "));
    }
}

fn ledger(state: &Path) -> String {
    let mut all = String::new();
    let mut folders = vec![state.join("ledger")];
    while let Some(path) = folders.pop() {
        match fs::read_dir(&path) {
            Ok(entries) => folders.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => all.push_str(&fs::read_to_string(&path).unwrap_or_default()),
        }
    }
    all
}
