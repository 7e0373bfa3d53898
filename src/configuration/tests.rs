//! Flags and file give the same settings; mistakes are told where they are.

use std::io::Write;

use super::*;
use crate::command_line::Verb;
use crate::way::WayKeys;

fn parse(arguments: &[&str]) -> Result<CommandLine, String> {
    let arguments = ["raptorgate"].iter().chain(arguments).map(OsString::from);
    command_line(arguments).map_err(|failure| match failure {
        Failure::CommandLine(error) => error.to_string(),
        Failure::File(error) => format!("{error:#}"),
    })
}

fn serve(yaml: &str, flags: &[&str]) -> Result<verb_serve::Arguments, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(yaml.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let arguments: Vec<&str> = ["serve", "--config", path].into_iter().chain(flags.iter().copied()).collect();
    match parse(&arguments)?.verb {
        Verb::Serve(arguments) => Ok(arguments),
        verb => panic!("{verb:?}"),
    }
}

use crate::verb::serve as verb_serve;

#[test]
fn the_command_line_is_well_defined() {
    CommandLine::command().debug_assert();
}

#[test]
fn a_key_in_the_file_is_the_flag_of_the_same_name() {
    let yaml = "# a comment\napi_config: /etc/api_client.yaml\nnfs: [127.0.0.1:2050, '[::1]:2050']\nmax_age: 90s\nwebdav: 8081\n\
                flows_per_hour: 12\nno-prefetch: true\nno_auth: false\nbytes_per_hour: 1GiB\noffline: queue\n\
                offline_queue_for: 24h\nnfs_client: [10.0.0.0/8=windows, '2001:db8::7=macos']\n";
    let keys = serve(yaml, &[]).unwrap();
    assert_eq!(keys.way.api_config, Some("/etc/api_client.yaml".into()));
    let keys = keys.gateway;
    assert_eq!(keys.nfs, [Listen::At("127.0.0.1:2050".parse().unwrap()), Listen::At("[::1]:2050".parse().unwrap())]);
    assert_eq!(keys.webdav, [Listen::Loopback(8081)]);
    assert_eq!((keys.max_age.as_secs(), keys.flows_per_hour, keys.bytes_per_hour), (90, 12, 1 << 30));
    assert!(keys.no_prefetch && !keys.no_auth);
    let rules: Vec<String> = keys.nfs_client.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["10.0.0.0/8=windows", "2001:db8::7=macos"]);
    assert_eq!((keys.offline, keys.offline_queue_for.as_secs()), (Offline::Queue, 86_400));
}

#[test]
fn a_flag_beats_the_file() {
    let yaml = "api_config: a.yaml\nnfs: 127.0.0.1:1\nmax_age: 1m\n";
    let keys = serve(yaml, &["--nfs", "127.0.0.1:2", "--max-age=2m"]).unwrap().gateway;
    assert_eq!(keys.nfs, [Listen::At("127.0.0.1:2".parse().unwrap())]);
    assert_eq!(keys.max_age.as_secs(), 120);
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest() {
    let error = serve("api_config: a\nmax_agee: 5m\n", &[]).unwrap_err();
    assert!(error.contains("no key `max_agee`") && error.contains("did you mean `max_age`?"), "{error}");
    let error = serve("config: other.yaml\n", &[]).unwrap_err();
    assert!(error.contains("no key `config`"), "{error}");
    let error = serve("qqqq: 1\n", &[]).unwrap_err();
    assert!(error.contains("--help"), "{error}");
}

#[test]
fn a_wrong_value_is_told_with_its_key_and_file() {
    for (yaml, expected) in [
        ("max-age: soon\n", "max-age"),
        ("nfs: here\n", "nfs"),
        ("nfs_client: 10.0.0.0/8=beos\n", "nfs-client"),
        ("no-auth: perhaps\n", "no-auth"),
        ("flows-per-hour: [[1]]\n", "flows-per-hour"),
        ("- a list\n", ""),
        ("api-config: [a, b]\n", "api-config"),
    ] {
        let error = serve(yaml, &["--api-config", "x"]).unwrap_err();
        assert!(error.contains(expected) && error.contains("tmp"), "{yaml:?}: {error}");
    }
}

#[test]
fn an_empty_file_says_nothing() {
    serve("# nothing\n\n", &["--api-config", "x"]).unwrap();
    let nothing = serve("", &[]).unwrap().way.find().err().unwrap().to_string();
    assert!(nothing.contains("--api-config") && nothing.contains("--gui-url"), "{nothing}");
}

#[test]
fn there_is_one_way_to_a_server() {
    let fault = |yaml: &str, flags: &[&str]| serve(yaml, flags).unwrap().way.find().err().unwrap().to_string();
    assert!(fault("gui_url: https://server:8889/\n", &["--api-config", "x"]).contains("one of them"));
    assert!(fault("gui_user: gateway\n", &["--api-config", "x"]).contains("--gui-url"));
    assert!(fault("gui_url: https://server:8889/\n", &[]).contains("--gui-user"));
    assert!(fault("gui_url: http://server:8889/\ngui_user: gateway\n", &[]).contains("TLS"));
    let status = serde_json::json!({ "gui_url": "https://server:8889/", "gui_user": "gateway", "gui_ca": null, "gui_key": "/k" });
    let keys = WayKeys::of_status(&status);
    assert_eq!((keys.gui_url.as_deref(), keys.gui_user.as_deref()), (Some("https://server:8889/"), Some("gateway")));
    assert_eq!((keys.gui_ca, keys.gui_key), (None, Some("/k".into())));
}

#[test]
fn listeners_beyond_the_loopback_need_a_word() {
    let refused = |flags: &[&str]| {
        let flags: Vec<&str> = ["--api-config", "x"].into_iter().chain(flags.iter().copied()).collect();
        serve("", &flags).unwrap().gateway.check_exposure().err()
    };
    assert!(refused(&["--nfs", "0.0.0.0:2049"]).unwrap().contains("--insecure-no-auth"));
    assert!(refused(&["--nfs", "[::]:2049"]).is_some());
    assert!(refused(&["--webdav", "192.0.2.1:80", "--no-auth"]).is_some());
    assert!(refused(&["--webdav", "192.0.2.1:80"]).unwrap().contains("unencrypted"));
    assert_eq!(refused(&["--webdav", "192.0.2.1:80", "--insecure-no-auth"]), None);
    let protected = ["--webdav", "192.0.2.1:443", "--webdav-certificate", "c", "--webdav-key", "k"];
    assert_eq!(refused(&protected), None);
    let open = [&protected[..], &["--no-auth"]].concat();
    assert!(refused(&open).unwrap().contains("leave out --no-auth"));
    assert_eq!(refused(&[&open[..], &["--insecure-no-auth"]].concat()), None);
    assert_eq!(refused(&["--nfs", "127.0.0.2:2049", "--nfs", "[::ffff:127.0.0.1]:2049", "--webdav", "8080"]), None);
    assert_eq!(refused(&["--nfs", "0.0.0.0:2049", "--insecure-no-auth"]), None);
    let tls = ["--nfs-certificate", "c", "--nfs-key", "k", "--nfs-client-ca", "ca"];
    let with_tls = |require: &str, webdav: &str| {
        let flags = [&tls[..], &["--nfs", "0.0.0.0:2049", "--webdav", webdav, "--nfs-require", require]].concat();
        refused(&flags)
    };
    assert_eq!(with_tls("certificate", "8080"), None);
    assert!(with_tls("tls", "8080").unwrap().contains("--nfs-require certificate"));
    assert!(with_tls("certificate", "192.0.2.1:80").is_some(), "TLS of NFS does nothing for WebDAV");
}

#[test]
fn what_webdav_clients_may_do_is_said_in_words() {
    let yaml = "webdav_opening: manual\nsamples: raw\nwindows_limits_raised: true\nwindows_offline_attribute: true\n\
                no_macos_markers: true\nno_davfs2_marker: true\nwebdav_certificate: c\nwebdav_key: k\n";
    let keys = serve(yaml, &[]).unwrap().gateway;
    assert_eq!((keys.webdav_opening, keys.samples), (Opening::Manual, Samples::Raw));
    assert!(keys.windows_limits_raised && keys.windows_offline_attribute);
    assert!(keys.no_macos_markers && keys.no_davfs2_marker);
    assert_eq!((keys.webdav_certificate, keys.webdav_key), (Some("c".into()), Some("k".into())));
    let defaults = serve("", &[]).unwrap().gateway;
    assert_eq!((defaults.webdav_opening, defaults.samples), (Opening::Collects, Samples::Packed));
    assert!(serve("samples: some\n", &[]).unwrap_err().contains("samples"));
}

#[test]
fn the_files_of_tls_belong_together_and_a_rule_names_a_client_id() {
    let refused = |flags: &[&str]| serve("api_config: x\n", flags).err();
    assert!(refused(&["--nfs-certificate", "c"]).unwrap().contains("--nfs-key"));
    assert!(refused(&["--nfs-client-ca", "c"]).unwrap().contains("--nfs-certificate"));
    for wrong in ["desk", "C.", "C.1/auto"] {
        assert!(refused(&["--nfs-require-tls-for", wrong]).unwrap().contains("raptorgate clients"), "{wrong}");
    }
    assert!(refused(&["--webdav-certificate", "c"]).unwrap().contains("--webdav-key"));
    let yaml = "api_config: x\nnfs_certificate: c\nnfs_key: k\nnfs_require: tls\nnfs_require_tls_for: [C.1, C.2]\n";
    let keys = serve(yaml, &[]).unwrap().gateway;
    assert_eq!((keys.nfs_require, keys.nfs_require_tls_for.len()), (Require::Tls, 2));
}
