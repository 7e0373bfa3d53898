//! WebDAV through TLS with a real client: HTTP/2 and HTTP/1.1 read the same bytes, every address that is told is https, and samples
//! leave for a drive only where that was switched on.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use crate::support::gateway::{Client, Gateway, Start};
use crate::support::ground_truth::sha256;
use crate::support::process::{self, Finished, missing};
use crate::support::skip::skip_if;
use crate::support::tree::Tree;

const WINDOWS: &str = "Microsoft-WebDAV-MiniRedir/10.0.19045";

/// A demo with a certificate, and curl that trusts it.
struct Protected {
    gateway: Gateway,
    folder: TempDir,
}

impl Protected {
    fn start(tree: &Tree) -> Protected {
        let folder = TempDir::new().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        fs::write(file("certificate.pem"), certificate.pem()).unwrap();
        fs::write(file("key.pem"), key.serialize_pem()).unwrap();
        let start = Start::demo(&[tree.path()], &folder.path().join("state"));
        let start = start.with(["--webdav-certificate", &file("certificate.pem"), "--webdav-key", &file("key.pem")]);
        let gateway = Gateway::start(start.with(["--host", "localhost"]));
        Protected { gateway, folder }
    }

    fn curl(&self, arguments: &[&str], url: &str) -> Finished {
        let ready = self.gateway.ready();
        let login = format!("{}:{}", ready.user.as_deref().unwrap(), ready.password.as_deref().unwrap());
        let mut command = Command::new("curl");
        command.args(["-sS", "-u", &login, "--cacert"]).arg(self.folder.path().join("certificate.pem"));
        // The listener is on one address only, whatever `localhost` is on this machine.
        process::run(command.args(["-4"]).args(arguments).arg(url), Duration::from_secs(120))
    }

    fn url(&self, client: &Client, path: &str) -> String {
        format!("{}{}/auto/{path}", self.gateway.ready().webdav, client.client_id)
    }
}

#[test]
fn curl_reads_the_same_bytes_over_both_versions_of_http() {
    skip_if!(missing(&["curl"]));
    let tree = Tree::small();
    let protected = Protected::start(&tree);
    let client = protected.gateway.endpoint(tree.path());
    assert!(protected.gateway.ready().webdav.starts_with("https://localhost:"), "{}", protected.gateway.ready().webdav);
    let large = fs::read(tree.path().join("pictures/large.bin")).unwrap();
    let url = protected.url(&client, "pictures/large.bin");
    for (version, expected) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let file = protected.folder.path().join("read");
        let told = protected.curl(&["--fail", version, "-w", "%{http_version}", "-o", file.to_str().unwrap()], &url);
        assert_eq!(told.expect("curl").text(), expected);
        assert_eq!(sha256(&fs::read(&file).unwrap()), sha256(&large), "{version}");
    }
    let listing = protected.curl(&["--fail", "-X", "PROPFIND", "-H", "Depth: 1"], &protected.url(&client, "pictures/"));
    assert!(listing.expect("PROPFIND").text().contains("large.bin"));
    let kit = protected.curl(&["--fail"], &format!("{}-/connect/windows.ps1", protected.gateway.ready().webdav));
    let kit = kit.expect("the kit").text();
    assert!(
        kit.contains(&format!("{}raised", protected.gateway.ready().webdav)) || kit.contains("$origin/raised/"),
        "{kit}"
    );
    assert!(kit.contains(&format!("$origin = '{}'", protected.gateway.ready().webdav.trim_end_matches('/'))), "{kit}");
    let plain = protected.curl(&[], &url.replace("https://", "http://"));
    assert!(plain.text().contains("https://"), "{}", plain.text());
}

#[test]
fn a_drive_opens_no_program_and_the_browsers_way_packs_it() {
    skip_if!(missing(&["curl"]));
    let tree = Tree::small();
    fs::write(tree.path().join("setup.exe"), b"MZ and so on").unwrap();
    let protected = Protected::start(&tree);
    let client = protected.gateway.endpoint(tree.path());
    let url = protected.url(&client, "setup.exe");
    let refused = protected.curl(&["-A", WINDOWS, "-w", "%{http_code}"], &url).text();
    assert!(refused.ends_with("403") && refused.contains("?as=zip"), "{refused}");
    let packed = protected.curl(&["--fail"], &format!("{url}?as=zip")).expect("the archive");
    assert!(packed.stdout.starts_with(b"PK\x03\x04"));
    let open = protected.curl(&["--fail"], &url).expect("for who is no drive");
    assert_eq!(open.stdout, b"MZ and so on");
}
