//! Which command mounts what was asked for, by what the gateway says of itself.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::announce::Reach;
use crate::announce::mount::{System, nfs_host, options};
use crate::verb::clients;

/// A command of mount(8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// `HOST:/C.…`
    pub source: String,
    /// Where.
    pub directory: PathBuf,
    /// After `-o`.
    pub options: String,
    /// How the gateway shows the endpoint (`xprtsec=`).
    pub protection: Option<String>,
}

impl Plan {
    /// By the gateway's status and its list of endpoints.
    ///
    /// # Errors
    /// If there is no such endpoint, or this system cannot mount it.
    pub fn make(
        status: &Value,
        clients: &Value,
        wanted: &str,
        directory: &Path,
        system: System,
        further: Option<&str>,
    ) -> anyhow::Result<Plan> {
        let reach = reach(status)?;
        let (client_id, export) = export(clients, wanted)?;
        let protection = protection(status, client_id.as_deref());
        let Some(mut options) = options(&reach, system, protection) else {
            bail!(
                "the gateway shows {wanted} through TLS only, which this system's NFS client does not do: use {}",
                webdav(status)
            );
        };
        if let Some(further) = further.filter(|further| !further.is_empty()) {
            options = format!("{options},{further}");
        }
        let host = nfs_host(&reach).context("the gateway serves no NFS")?;
        let protection = protection.map(str::to_owned);
        Ok(Plan { source: format!("{host}:{export}"), directory: directory.to_owned(), options, protection })
    }

    /// What mount(8) is called with.
    pub fn arguments(&self) -> [&std::ffi::OsStr; 6] {
        [
            "-t".as_ref(),
            "nfs".as_ref(),
            "-o".as_ref(),
            self.options.as_ref(),
            self.source.as_ref(),
            self.directory.as_ref(),
        ]
    }

    /// The command for a shell of somebody who is not root.
    pub fn as_root(&self) -> String {
        let directory = quoted(&self.directory.display().to_string());
        format!(
            "sudo mkdir -p {directory} && sudo mount -t nfs -o {} {} {directory}",
            quoted(&self.options),
            quoted(&self.source)
        )
    }
}

/// Where the gateway's WebDAV service is.
pub fn webdav(status: &Value) -> String {
    status["webdav"].as_str().unwrap_or("WebDAV").to_owned()
}

fn reach(status: &Value) -> anyhow::Result<Reach> {
    let addresses = status["nfs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let nfs: Vec<SocketAddr> = addresses.filter_map(|address| address.parse().ok()).collect();
    if nfs.is_empty() {
        bail!("the gateway does not say where it serves NFS: is it another version?");
    }
    let portmapped = status["portmapped"].as_bool() == Some(true);
    let webdav = Vec::new();
    Ok(Reach { nfs, portmapped, xprtsec: None, webdav, webdav_tls: false, name: None, credentials: None })
}

/// What the gateway demands for this endpoint.
fn protection<'a>(status: &'a Value, client_id: Option<&str>) -> Option<&'a str> {
    let listed = status["nfs_tls_for"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let single = listed.filter(|id| Some(*id) == client_id).map(|_| "tls").next();
    status["nfs_xprtsec"].as_str().or(single)
}

/// The client id, if a single endpoint is meant, and what is to be mounted.
fn export(clients: &Value, wanted: &str) -> anyhow::Result<(Option<String>, String)> {
    let mut names = wanted.split('/').filter(|name| !name.is_empty()).peekable();
    let frozen = if names.next_if_eq(&"frozen").is_some() { "/frozen" } else { "" };
    if names.next_if_eq(&"org").is_some() {
        let org = names.next().map(|org| format!("/{org}")).unwrap_or_default();
        if names.peek().is_none() {
            return Ok((None, format!("{frozen}/org{org}")));
        }
    }
    let by_name = if names.next_if_eq(&"by-name").is_some() { "/by-name" } else { "" };
    let Some(first) = names.next() else {
        let all = format!("{frozen}{by_name}");
        return Ok((None, if all.is_empty() { "/".to_owned() } else { all }));
    };
    let client_id = clients::find(clients, first)?.pointer("/id/client_id").and_then(Value::as_str);
    let client_id = client_id.context("the gateway's list of endpoints is not understood: is it another version?")?;
    let below: String = names.map(|name| format!("/{name}")).collect();
    Ok((Some(client_id.to_owned()), format!("{frozen}/{client_id}{below}")))
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-._:/,=[]".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn clients() -> Value {
        let client = |id: &str, name: &str| json!({ "id": { "client_id": id }, "hostname": name });
        json!([client("C.1", "desk"), client("C.2", "twin"), client("C.3", "twin")])
    }

    fn status(port: u16, portmapped: bool) -> Value {
        json!({ "nfs": [format!("127.0.0.1:{port}")], "portmapped": portmapped, "webdav": "http://127.0.0.1:8080/" })
    }

    fn made(status: &Value, wanted: &str, system: System) -> anyhow::Result<Plan> {
        Plan::make(status, &clients(), wanted, Path::new("/mnt/my desk"), system, None)
    }

    #[test]
    fn the_command_is_the_one_that_the_gateway_prints() {
        let plan = made(&status(2049, true), "C.1", System::Linux).unwrap();
        assert_eq!((plan.source.as_str(), plan.options.as_str()), ("127.0.0.1:/C.1", "ro,nosuid,nodev,noexec"));
        let line =
            "sudo mkdir -p '/mnt/my desk' && sudo mount -t nfs -o ro,nosuid,nodev,noexec 127.0.0.1:/C.1 '/mnt/my desk'";
        assert_eq!(plan.as_root(), line);
        let plan = made(&status(2050, false), "C.1", System::Linux).unwrap();
        assert_eq!(plan.options, "ro,nosuid,nodev,noexec,vers=3,tcp,port=2050,mountport=2050,nolock");
        let plan = made(&status(2049, true), "C.1", System::Mac).unwrap();
        assert_eq!(plan.options, "ro,nosuid,nodev,noexec,vers=3,tcp,locallocks,mutejukebox");
        let reach = Reach { portmapped: true, ..reach(&status(2049, true)).unwrap() };
        let printed = crate::announce::commands(&reach, "C.1", "desk");
        assert!(printed[0].1.contains(&made(&status(2049, true), "C.1", System::Linux).unwrap().options));
    }

    #[test]
    fn endpoints_are_found_by_id_and_name_and_paths_lead_below() {
        for (wanted, export) in [
            ("C.1", "/C.1"),
            ("DESK", "/C.1"),
            ("/by-name/desk/auto", "/C.1/auto"),
            ("desk/auto/C:/Program Files", "/C.1/auto/C:/Program Files"),
            ("/frozen/desk/auto", "/frozen/C.1/auto"),
            ("/frozen", "/frozen"),
            ("/by-name", "/by-name"),
            ("/org/root", "/org/root"),
            ("/frozen/org/root/C.1/auto", "/frozen/C.1/auto"),
            ("/", "/"),
        ] {
            let plan = made(&status(2049, true), wanted, System::Linux).unwrap();
            assert_eq!(plan.source, format!("127.0.0.1:{export}"), "{wanted}");
        }
        for (wanted, part) in [("C.9", "raptorgate clients"), ("twin", "several endpoints")] {
            let refusal = made(&status(2049, true), wanted, System::Linux).unwrap_err().to_string();
            assert!(refusal.contains(part), "{refusal}");
        }
    }

    #[test]
    fn what_is_shown_through_tls_is_mounted_through_tls() {
        let mut status = status(2049, true);
        status["nfs_tls_for"] = json!(["C.1"]);
        let options = |status: &Value, wanted: &str| made(status, wanted, System::Linux).unwrap().options;
        assert!(options(&status, "desk").ends_with(",xprtsec=tls"));
        assert!(!options(&status, "C.2").contains("xprtsec"));
        let refusal = made(&status, "desk", System::Mac).unwrap_err().to_string();
        assert!(refusal.contains("http://127.0.0.1:8080/"), "{refusal}");
        status["nfs_xprtsec"] = json!("mtls");
        assert!(options(&status, "C.2").ends_with(",xprtsec=mtls"));
        let further = Plan::make(&status, &clients(), "C.2", Path::new("/mnt"), System::Linux, Some("soft,nolock"));
        assert!(further.unwrap().options.ends_with("xprtsec=mtls,soft,nolock"));
    }

    #[test]
    fn a_status_that_says_nothing_of_nfs_is_told() {
        assert!(made(&json!({}), "C.1", System::Linux).unwrap_err().to_string().contains("another version"));
    }
}
