//! What is said when everything listens: one line of JSON for scripts, or the commands to mount for people.

mod commands;
pub mod mount;

use std::net::{IpAddr, SocketAddr};

use access::Credentials;
use serde::Serialize;

pub use commands::commands;

use crate::terminal::{printable, say};

/// Where NFS clients look if they are told nothing.
const NFS_PORT: u16 = 2049;

/// Where and how the gateway can be reached.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Addresses of the NFS service.
    pub nfs: Vec<SocketAddr>,
    /// A portmapper tells clients the ports, so that they need no options for them.
    pub portmapped: bool,
    /// The value of Linux' `xprtsec=`, where NFS demands TLS.
    pub xprtsec: Option<&'static str>,
    /// Addresses of the WebDAV service.
    pub webdav: Vec<SocketAddr>,
    /// It speaks TLS.
    pub webdav_tls: bool,
    /// The first name that was configured for it: a certificate is for a name.
    pub name: Option<String>,
    /// What WebDAV asks for.
    pub credentials: Option<Credentials>,
}

/// An endpoint, as announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Client {
    /// `C.…`
    pub client_id: String,
    /// Host name.
    pub hostname: String,
    /// `windows`, `linux`, `darwin`.
    pub os: String,
    /// The directory of this machine that is its file system (a demo's `--root`).
    pub root: Option<String>,
    /// Connected; for people only.
    #[serde(skip)]
    pub online: bool,
}

/// The line for scripts.
#[derive(Serialize)]
struct Line<'a> {
    nfs: Option<SocketAddr>,
    webdav: Option<String>,
    clients: &'a [Client],
    user: Option<&'a str>,
    password: Option<&'a str>,
}

/// The line of JSON.
pub fn json(reach: &Reach, clients: &[Client]) -> String {
    let line = Line {
        nfs: reach.nfs.first().copied(),
        webdav: reach.webdav_url(),
        clients,
        user: reach.credentials.as_ref().map(Credentials::user),
        password: reach.credentials.as_ref().map(Credentials::password),
    };
    // A struct of texts and numbers always becomes JSON.
    serde_json::to_string(&line).unwrap_or_default()
}

/// In one line, for the manager of services.
pub fn summary(reach: &Reach) -> String {
    let nfs = reach.nfs.iter().map(|address| format!("NFS on {address}"));
    nfs.chain(reach.webdav_url().map(|url| format!("WebDAV and browsers on {url}"))).collect::<Vec<_>>().join(", ")
}

/// The commands, endpoint by endpoint.
pub fn tell(reach: &Reach, clients: &[Client]) {
    for client in clients {
        let presence = if client.online { "online" } else { "offline: what is cached can be read" };
        say("");
        say(&format!("{}  {}, {presence}  {}", printable(&client.hostname), client.os, client.client_id));
        if let Some(root) = &client.root {
            say(&format!("  its file system is {}", printable(root)));
        }
        for (title, command) in commands(reach, &client.client_id, &mount_name(client)) {
            say(&format!("  {title:<13} {command}"));
        }
    }
    if let Some(url) = reach.webdav_url() {
        say("");
        say(&format!("All endpoints in a browser: {url}"));
        if let Some(credentials) = &reach.credentials {
            say(&format!("user {}, password {}", credentials.user(), credentials.password()));
        }
    }
    say("");
    say("Ctrl-C ends the gateway; mounts go on when it is started again.");
}

/// A directory name for the mount: the host name, if it can be one without quotes.
fn mount_name(client: &Client) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
    let usable = client.hostname.starts_with(|character: char| character.is_ascii_alphanumeric())
        && client.hostname.chars().all(plain);
    if usable { client.hostname.clone() } else { client.client_id.clone() }
}

impl Reach {
    /// `mount -t nfs HOST:/C.… DIR` works as it stands.
    pub fn needs_no_options(&self) -> bool {
        self.portmapped && self.nfs.first().is_some_and(|address| address.port() == NFS_PORT) && self.xprtsec.is_none()
    }

    /// The URL of `/`.
    pub fn webdav_url(&self) -> Option<String> {
        let address = self.webdav.first()?;
        let (scheme, usual) = if self.webdav_tls { ("https", 443) } else { ("http", 80) };
        let host = match &self.name {
            Some(name) if self.webdav_tls => name.clone(),
            _ => host(*address),
        };
        let port = if address.port() == usual { String::new() } else { format!(":{}", address.port()) };
        Some(format!("{scheme}://{host}{port}/"))
    }
}

/// How an address is spelled in commands; this machine's name for "all addresses".
fn host(address: SocketAddr) -> String {
    match address.ip().to_canonical() {
        ip if ip.is_unspecified() => {
            let name = rustix::system::uname();
            name.nodename().to_str().unwrap_or("localhost").to_owned()
        }
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach() -> Reach {
        Reach {
            nfs: vec!["127.0.0.1:2049".parse().unwrap(), "[::1]:2049".parse().unwrap()],
            portmapped: true,
            xprtsec: None,
            webdav: vec!["127.0.0.1:8080".parse().unwrap()],
            webdav_tls: false,
            name: Some("gate.example".into()),
            credentials: Some(Credentials::new("raptorgate", "secret")),
        }
    }

    #[test]
    fn the_line_for_scripts_has_exactly_these_keys_in_this_order() {
        let client = Client {
            client_id: "C.1".into(),
            hostname: "desk".into(),
            os: "linux".into(),
            root: Some("/the/dir".into()),
            online: true,
        };
        let expected = concat!(
            r#"{"nfs":"127.0.0.1:2049","webdav":"http://127.0.0.1:8080/","#,
            r#""clients":[{"client_id":"C.1","hostname":"desk","os":"linux","root":"/the/dir"}],"#,
            r#""user":"raptorgate","password":"secret"}"#
        );
        assert_eq!(json(&reach(), &[client]), expected);
    }

    #[test]
    fn through_tls_the_address_is_the_name_in_the_certificate() {
        let url = |port: u16, name: Option<&str>| {
            let webdav = vec![SocketAddr::from(([192, 0, 2, 1], port))];
            Reach { webdav, webdav_tls: true, name: name.map(str::to_owned), ..reach() }.webdav_url().unwrap()
        };
        assert_eq!(url(8443, Some("gate.example")), "https://gate.example:8443/");
        assert_eq!(url(443, Some("gate.example")), "https://gate.example/");
        assert_eq!(url(443, None), "https://192.0.2.1/");
    }

    #[test]
    fn without_a_password_none_is_told() {
        let line = json(&Reach { credentials: None, ..reach() }, &[]);
        assert!(line.ends_with(r#""user":null,"password":null}"#), "{line}");
    }

    #[test]
    fn host_names_that_a_shell_would_read_are_not_used_as_directories() {
        let mut client = Client {
            client_id: "C.1".into(),
            hostname: "web-01.example".into(),
            os: "linux".into(),
            root: None,
            online: true,
        };
        assert_eq!(mount_name(&client), "web-01.example");
        for hostname in ["$(reboot)", "a b", "", "-rf", "..", "ü"] {
            client.hostname = hostname.into();
            assert_eq!(mount_name(&client), "C.1", "{hostname}");
        }
    }
}
