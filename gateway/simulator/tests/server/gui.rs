//! The GUI's HTTP API as it was measured (`docs/velociraptor-api.md` §10), asked byte by byte.

use std::sync::Arc;

use raptorgate_simulator::{Config, EndpointConfig, GuiConfig, GuiLogin, Permissions, Simulator, Timing};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

struct Rig {
    simulator: Simulator,
    root: tempfile::TempDir,
    _state: tempfile::TempDir,
}

/// `gateway:secret`.
const LOGIN: (&str, &str) = ("Authorization", "Basic Z2F0ZXdheTpzZWNyZXQ=");

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap().trim()
    }

    fn json(&self) -> serde_json::Value {
        assert_eq!((self.status, self.header("content-type")), (200, Some("application/json")), "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Rig {
    async fn start(base_path: &str) -> Rig {
        let (root, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut config = Config::new(state.path());
        config.timing = Timing::instant();
        let listen = ([127, 0, 0, 1], 0).into();
        config.gui = Some(GuiConfig { listen, base_path: base_path.into(), login: GuiLogin::Basic });
        config.endpoints = vec![EndpointConfig::directory("host1", root.path())];
        let simulator = Simulator::start(config).await.unwrap();
        simulator.add_api_user("gateway", Permissions::investigator()).unwrap();
        simulator.set_gui_password("gateway", "secret");
        Rig { simulator, root, _state: state }
    }

    fn host(&self) -> String {
        let url = self.simulator.gui_url().unwrap();
        url.trim_start_matches("https://").split('/').next().unwrap().to_owned()
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let ca = std::fs::read(self.simulator.ca()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.host()).await.unwrap();
        let name = ServerName::try_from("VelociraptorServer").unwrap();
        let mut stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.host());
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        // The server may go away without a farewell.
        let _ = stream.read_to_end(&mut bytes).await;
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    async fn get(&self, call: &str) -> Answer {
        self.send("GET", &format!("/api/v1/{call}"), &[LOGIN], "").await
    }

    /// POST with a good token.
    async fn post(&self, call: &str, body: &serde_json::Value) -> Answer {
        let seen = self.get("GetUserUITraits").await;
        let cookie = seen.header("set-cookie").unwrap().split(';').next().unwrap();
        let referer = format!("https://{}/", self.host());
        let token = seen.header("x-csrf-token").unwrap();
        let headers = [LOGIN, ("Cookie", cookie), ("X-CSRF-Token", token), ("Referer", &referer)];
        self.send("POST", &format!("/api/v1/{call}"), &headers, &body.to_string()).await
    }
}

#[tokio::test]
async fn who_may_not_come_in_is_told_in_the_measured_words() {
    let rig = Rig::start("").await;
    let none = rig.send("GET", "/api/v1/GetUserUITraits", &[], "").await;
    assert_eq!((none.status, none.text()), (401, "Not authorized"));
    assert_eq!(none.header("www-authenticate"), Some("Basic realm=\"Restricted\""));
    let wrong = ("Authorization", "Basic Z2F0ZXdheTpvdGhlcg==");
    let wrong = rig.send("GET", "/api/v1/GetUserUITraits", &[wrong], "").await;
    assert_eq!((wrong.status, wrong.text()), (401, "authorization failed"));
    rig.simulator.add_api_user("gateway", Permissions::none()).unwrap();
    let powerless = rig.get("GetUserUITraits").await;
    assert_eq!(powerless.status, 403);
    assert_eq!(powerless.text(), "Unable to access any orgs: User gateway accessing : No access to org");
    let elsewhere = rig.send("GET", "/velo/api/v1/GetUserUITraits", &[LOGIN], "").await;
    assert_eq!((elsewhere.status, elsewhere.header("location")), (307, Some("/app/index.html")));
    let rig = Rig::start("/velo").await;
    let elsewhere = rig.get("GetUserUITraits").await;
    assert_eq!((elsewhere.status, elsewhere.text()), (404, "404 page not found"));
}

#[tokio::test]
async fn a_post_needs_referer_cookie_and_token() {
    let rig = Rig::start("").await;
    let seen = rig.get("GetUserUITraits").await;
    let cookie = seen.header("set-cookie").unwrap().split(';').next().unwrap();
    let token = ("X-CSRF-Token", seen.header("x-csrf-token").unwrap());
    let referer = format!("https://{}/", rig.host());
    let good = ("Referer", referer.as_str());
    for (headers, words) in [
        (vec![LOGIN], "Forbidden - referer not supplied"),
        (vec![LOGIN, token, ("Cookie", cookie)], "Forbidden - referer not supplied"),
        (vec![LOGIN, token, ("Cookie", cookie), ("Referer", "https://evil/")], "Forbidden - referer invalid"),
        (vec![LOGIN, token, good], "Forbidden - CSRF token invalid"),
        (vec![LOGIN, good, ("Cookie", cookie)], "Forbidden - CSRF token invalid"),
    ] {
        let refused = rig.send("POST", "/api/v1/GetArtifacts", &headers, "{}").await;
        assert_eq!((refused.status, refused.text()), (403, words));
    }
    let names = serde_json::json!({ "names": ["System.VFS.ListDirectory", "Custom.Nope"], "fields": { "name": true } });
    let found = rig.post("GetArtifacts", &names).await.json();
    assert_eq!(found["items"][0]["name"], "System.VFS.ListDirectory");
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn messages_and_refusals_look_as_they_were_measured() {
    let rig = Rig::start("").await;
    let client_id = rig.simulator.clients()[0].client_id.clone();
    let found = rig.get("SearchClients?query=all&limit=10").await.json();
    assert_eq!(found["items"][0]["client_id"], client_id.as_str());
    assert_eq!((&found["total"], &found["search_term"]["limit"]), (&"1".into(), &"10".into()), "64 bits are text");
    assert_eq!(rig.get("GetClient/C.0000000000000000?lightweight=true").await.text(), "{}");
    let unknown = format!("GetTable?client_id={client_id}&flow_id=F.NOPE&type=uploads&rows=2");
    assert_eq!(rig.get(&unknown).await.text(), r#"{"total_rows":"-1"}"#);
    let unknown = rig.get(&format!("GetFlowDetails?client_id={client_id}&flow_id=F.1234")).await;
    assert_eq!((unknown.status, unknown.text()), (404, "Not Found"));
    assert_eq!(rig.get("GetTable?rows=xx").await.status, 400);
    assert_eq!(rig.get("Query").await.status, 404);
    let unknown = serde_json::json!({ "client_id": client_id, "artifacts": ["No.Such"] });
    let unknown = rig.post("CollectArtifact", &unknown).await;
    assert_eq!((unknown.status, unknown.text()), (503, "Unknown artifact No.Such"));
    let denied = rig.post("SetArtifactFile", &serde_json::json!({ "artifact": "name: Custom.X" })).await;
    assert_eq!(denied.status, 403);
    assert!(denied.text().contains("ARTIFACT_WRITER"), "{}", denied.text());
}

#[tokio::test]
async fn ranges_of_files_have_the_measured_lengths() {
    let rig = Rig::start("").await;
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(|number| number.to_le_bytes()).take(3_000_000).collect();
    std::fs::write(rig.root.path().join("a,b"), &content).unwrap();
    let client_id = rig.simulator.clients()[0].client_id.clone();
    let env = [("Components", "[\"a,b\"]"), ("Accessor", "auto")];
    let env: Vec<_> = env.iter().map(|(key, value)| serde_json::json!({ "key": key, "value": value })).collect();
    let started = rig
        .post(
            "CollectArtifact",
            &serde_json::json!({
                "client_id": client_id, "artifacts": ["System.VFS.DownloadFile"], "timeout": "60",
                "specs": [{ "artifact": "System.VFS.DownloadFile", "parameters": { "env": env } }],
            }),
        )
        .await
        .json();
    let flow_id = started["flow_id"].as_str().unwrap();
    loop {
        let details = rig.get(&format!("GetFlowDetails?client_id={client_id}&flow_id={flow_id}")).await.json();
        match details["context"]["state"].as_str() {
            Some("FINISHED") => break,
            Some("ERROR") => panic!("{details}"),
            _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
    let fetch = async |name: &str, range: &str| {
        let mut query = String::new();
        for component in ["clients", &client_id, "collections", flow_id, "uploads", "auto", name] {
            query += &format!("&fs_components={component}");
        }
        rig.get(&format!("DownloadVFSFile?padding=true{query}{range}")).await
    };
    let megabyte = 1 << 20;
    for (range, start, end) in [
        ("&offset=0&length=1000", 0, 1_000),
        ("&offset=2999000&length=1048576", 2_999_000, 3_000_000),
        ("&offset=3000000&length=10", 0, 0),
        ("&offset=4000000&length=10", 0, 0),
        ("&offset=0&length=3000000", 0, megabyte),
        ("&offset=2000000&length=0", 2_000_000, 3_000_000),
        ("", 0, 3_000_000),
    ] {
        let answer = fetch("a%2Cb", range).await;
        assert_eq!((answer.status, answer.body.len()), (200, end - start), "{range}");
        assert!(answer.body == content[start..end], "{range}");
        assert_eq!(answer.header("content-length"), Some((end - start).to_string().as_str()), "{range}");
        assert_eq!(answer.header("content-type"), (end > start).then_some("binary/octet-stream"), "{range}");
    }
    let absent = fetch("nope", "&length=10").await;
    assert_eq!((absent.status, absent.text()), (404, "Error"));
    assert_eq!(fetch("", "&length=10").await.status, 404);
}
