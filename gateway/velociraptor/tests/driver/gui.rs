//! The way through the GUI against the simulated server: its traps, and what a user is told who cannot come in.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use raptorgate_velociraptor::{ApiConfig, Driver, GuiConfig, GuiLogin as Login, Options};
use simulator::{Config, EndpointConfig, GuiConfig as Port, GuiLogin, Permissions, Simulator, Timing};
use vfs::EndpointId;
use vfs::backend::{Backend as _, EndpointChange, Work};

use crate::support::{Way, assert_equals_disk, noise, path, read_all, run, show_log};

/// A GUI on a free port.
pub fn gui(login: GuiLogin) -> Port {
    Port { listen: ([127, 0, 0, 1], 0).into(), base_path: "/velo".into(), login }
}

/// A driver for the user whose `api_client.yaml` is `file`.
pub fn connect(simulator: &Simulator, way: Way, user: &str, file: &Path) -> Driver {
    match way {
        Way::Grpc => Driver::connect(&ApiConfig::load(file).unwrap(), Options::default()).unwrap(),
        Way::Gui => {
            simulator.set_gui_password(user, "secret");
            let url = simulator.gui_url().unwrap();
            through(&config(&url, user, "secret", Some(&simulator.ca())))
        }
    }
}

fn config(url: &str, user: &str, password: &str, ca: Option<&Path>) -> GuiConfig {
    let login = Login { user: Some(user.into()), ..Login::default() };
    GuiConfig::load(url, &login, Some(password.into()), ca).unwrap()
}

fn through(config: &GuiConfig) -> Driver {
    let options = Options { poll_clients: Duration::from_millis(500), ..Options::default() };
    Driver::connect_gui(config, options).unwrap()
}

struct Rig {
    simulator: Simulator,
    endpoint: EndpointId,
    root: tempfile::TempDir,
    state: tempfile::TempDir,
}

impl Rig {
    async fn start(port: Port) -> Rig {
        show_log();
        let (root, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut config = Config::new(state.path());
        config.timing = Timing::instant();
        config.gui = Some(port);
        config.endpoints = vec![EndpointConfig::directory("host1", root.path())];
        let simulator = Simulator::start(config).await.unwrap();
        let endpoint = EndpointId::root_org(simulator.clients()[0].client_id.as_str());
        Rig { simulator, endpoint, root, state }
    }

    fn url(&self) -> String {
        self.simulator.gui_url().unwrap()
    }

    fn driver(&self) -> Driver {
        connect(&self.simulator, Way::Gui, "raptorgate", self.simulator.api_config())
    }

    /// What `check` says is wrong, which is one line.
    async fn problem(&self, config: &GuiConfig) -> String {
        let report = through(config).check().await;
        assert!(!report.is_usable(), "{report}");
        println!("{}", report.problems[0]);
        assert!(!report.problems[0].contains('\n') && !report.problems[0].contains("secret"));
        report.problems[0].clone()
    }

    /// The certificate of a user of the deployment and its key, in files.
    fn certificate(&self, user: &str) -> (PathBuf, PathBuf) {
        let file = ApiConfig::load(&self.simulator.write_certificate(user).unwrap()).unwrap();
        let at = |name: &str| self.state.path().join(format!("{user}.{name}"));
        fs::write(at("pem"), file.client_cert).unwrap();
        fs::write(at("key"), file.client_private_key).unwrap();
        (at("pem"), at("key"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_can_be_wrong_is_one_line_that_says_what_to_do() {
    let rig = Rig::start(gui(GuiLogin::Basic)).await;
    let (url, ca) = (rig.url(), rig.simulator.ca());
    rig.simulator.set_gui_password("raptorgate", "secret");
    rig.simulator.add_api_user("powerless", Permissions::none()).unwrap();
    rig.simulator.set_gui_password("powerless", "secret");
    let good = config(&url, "raptorgate", "secret", Some(&ca));
    let report = through(&good).check().await;
    assert!(report.is_usable() && report.clock_difference.is_some(), "{report}");
    assert_eq!(report.user.as_deref(), Some("raptorgate"));

    let wrong = config(&url, "raptorgate", "other", Some(&ca));
    assert!(rig.problem(&wrong).await.contains("password of the user raptorgate"));
    assert!(rig.problem(&config(&url, "powerless", "secret", Some(&ca))).await.contains("acl grant powerless"));
    assert!(rig.problem(&config(&url, "raptorgate", "secret", None)).await.contains("--gui-ca FILE"));
    let other_path = config(&url.replace("velo", "other"), "raptorgate", "secret", Some(&ca));
    assert!(rig.problem(&other_path).await.contains("GUI.base_path"));
    let nowhere = config("https://127.0.0.1:9/", "raptorgate", "secret", Some(&ca));
    assert!(rig.problem(&nowhere).await.contains("nothing listens"));
    let api_port = format!("https://{}/", rig.simulator.address());
    let said = rig.problem(&config(&api_port, "raptorgate", "secret", Some(&ca))).await;
    assert!(said.contains("certificate"), "{said}");
    let other_ca = rig.certificate("raptorgate").0;
    assert!(rig.problem(&config(&url, "raptorgate", "secret", Some(&other_ca))).await.contains("not of the CA"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_page_at_the_root_is_no_api() {
    let rig = Rig::start(Port { base_path: String::new(), ..gui(GuiLogin::Basic) }).await;
    rig.simulator.set_gui_password("raptorgate", "secret");
    let config = config(&format!("{}velo/", rig.url()), "raptorgate", "secret", Some(&rig.simulator.ca()));
    assert!(rig.problem(&config).await.contains("base path is /;"));
    assert!(rig.driver().check().await.is_usable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_sign_on_is_told_as_such() {
    let rig = Rig::start(gui(GuiLogin::SingleSignOn)).await;
    let config = config(&rig.url(), "raptorgate", "secret", Some(&rig.simulator.ca()));
    assert!(rig.problem(&config).await.contains("single sign-on"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_as_good_as_a_password() {
    let rig = Rig::start(gui(GuiLogin::Certificates)).await;
    let with = |certificate: Option<(PathBuf, PathBuf)>| {
        let (certificate, key) = certificate.unzip();
        let user = certificate.is_none().then(|| "raptorgate".to_owned());
        let login = Login { user, certificate, key, password_file: None };
        GuiConfig::load(&rig.url(), &login, Some("secret".into()), Some(&rig.simulator.ca())).unwrap()
    };
    let good = with(Some(rig.certificate("raptorgate")));
    assert_eq!(good.user(), "raptorgate", "the principal of a flow comes back only to its own user");
    let driver = through(&good);
    let report = driver.check().await;
    assert!(report.is_usable(), "{report}");
    fs::create_dir(rig.root.path().join("d")).unwrap();
    let directory = path(&rig.endpoint, "auto", Path::new("d"));
    let seen = run(&driver, &rig.endpoint, Work::List { directory, depth: 0 }).await;
    assert!(seen.only_listing().rows.is_empty());
    assert!(rig.problem(&with(Some(rig.certificate("stranger")))).await.contains("may not read results"));
    assert!(rig.problem(&with(None)).await.contains("--gui-certificate"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_organisation_is_never_taken_for_the_root() {
    let rig = Rig::start(gui(GuiLogin::Basic)).await;
    let driver = rig.driver();
    let mut changes = driver.endpoints();
    assert!(matches!(changes.next().await, Some(EndpointChange::Present(_))));
    assert!(matches!(changes.next().await, Some(EndpointChange::Complete)));
    rig.simulator.switch_gui_org("raptorgate", "OTEST1");
    match changes.next().await {
        Some(EndpointChange::Unreachable { message }) => assert!(message.contains("organisation root"), "{message}"),
        other => panic!("no endpoint is gone: {other:?}"),
    }
    let report = driver.check().await;
    assert!(report.problems[0].contains("acl grant raptorgate"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_has_run_out_is_renewed_and_nothing_is_started_twice() {
    let rig = Rig::start(gui(GuiLogin::Basic)).await;
    let driver = rig.driver();
    let on_disk = rig.root.path().join("d");
    fs::create_dir(&on_disk).unwrap();
    fs::write(on_disk.join("file"), "x").unwrap();
    let directory = path(&rig.endpoint, "auto", Path::new("d"));
    for round in 1..=3 {
        let seen = run(&driver, &rig.endpoint, Work::List { directory: directory.clone(), depth: 0 }).await;
        assert_equals_disk(&seen.only_listing().rows, &on_disk);
        assert_eq!(rig.simulator.handle().counters().all_flows(), round);
        rig.simulator.handle().forget_gui_tokens();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_file_comes_whole_in_ranges_that_the_server_bears() {
    let rig = Rig::start(gui(GuiLogin::Basic)).await;
    let driver = rig.driver();
    let content = noise(7, (5 << 20) + 12_345);
    fs::write(rig.root.path().join("a&b=c%2F;d+e"), &content).unwrap();
    let file = path(&rig.endpoint, "auto", Path::new("a&b=c%2F;d+e"));
    let seen = run(&driver, &rig.endpoint, Work::Fetch { files: vec![file] }).await;
    let fetched = seen.fetched[0].content.as_ref().unwrap();
    assert_eq!(read_all(&driver, fetched).await, content);
    let piece = driver.read(&fetched.location, 1_000, 4 << 20).await.unwrap();
    assert_eq!(piece, content[1_000..1_000 + (4 << 20)]);
    assert!(driver.read(&fetched.location, content.len() as u64, 10).await.unwrap().is_empty());
    assert!(driver.read(&fetched.location, 0, 0).await.unwrap().is_empty());
    let calls = rig.simulator.handle().counters().calls_of("DownloadVFSFile");
    assert!(calls >= 11, "1 MiB at most each: {calls}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_of_flows_are_asked_for_less_and_less_often() {
    let rig = Rig::start(gui(GuiLogin::Basic)).await;
    let driver = rig.driver();
    rig.simulator.handle().set_online(&rig.endpoint.client_id, false).unwrap();
    let directory = path(&rig.endpoint, "auto", Path::new("d"));
    let works = vec![Work::List { directory, depth: 0 }];
    let job = driver.submit(&rig.endpoint, crate::support::delivery(works)).await.unwrap().remove(0);
    let waiting = tokio::time::timeout(Duration::from_secs(4), crate::support::wait(&driver, &job)).await;
    assert!(waiting.is_err(), "queued");
    let asked = rig.simulator.handle().counters().calls_of("GetFlowDetails");
    assert!((5..=30).contains(&asked), "{asked} in four seconds");
    driver.cancel(&job).await.unwrap();
}
