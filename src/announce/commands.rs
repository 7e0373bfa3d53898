//! The exact commands by which each operating system mounts an endpoint (docs/nfs-clients.md §3, docs/webdav-clients.md §2).

use access::Credentials;

use super::Reach;
use super::mount::{SAFE, System, nfs_host, options};

/// Title and command, one pair each; mounts go to a directory called `name`.
pub fn commands(reach: &Reach, client_id: &str, name: &str) -> Vec<(&'static str, String)> {
    let mut commands = Vec::new();
    nfs(reach, client_id, name, &mut commands);
    webdav(reach, client_id, name, &mut commands);
    commands
}

fn nfs(reach: &Reach, client_id: &str, name: &str, commands: &mut Vec<(&'static str, String)>) {
    let Some(host) = nfs_host(reach) else { return };
    let command = |system, place: &str| {
        let options = options(reach, system, reach.xprtsec)?;
        Some(format!("mkdir -p {place} && sudo mount -t nfs -o {options} {host}:/{client_id} {place}"))
    };
    if let Some(linux) = command(System::Linux, &format!("/mnt/{name}")) {
        commands.push(("Linux", format!("sudo {linux}")));
        if reach.needs_no_options() {
            commands.push(("", format!("(sudo mount -t nfs {host}:/{client_id} /mnt/{name} works, too)")));
        }
        if reach.xprtsec.is_some() {
            commands.push(("", "(with the gateway's name as its certificate has it, and tlshd running)".into()));
        }
    }
    match command(System::Mac, &format!("~/{name}")) {
        Some(mac) => commands.push(("macOS", mac)),
        None => commands.push(("macOS", "(its NFS client does no TLS: use the Finder)".into())),
    }
}

fn webdav(reach: &Reach, client_id: &str, name: &str, commands: &mut Vec<(&'static str, String)>) {
    let Some(base) = reach.webdav_url() else { return };
    let url = format!("{base}{client_id}/");
    let credentials = reach.credentials.as_ref();
    let user = credentials.map(|credentials| quoted(credentials.user()));
    let password = credentials.map(|credentials| quoted(credentials.password()));
    let with = |before: &str, value: Option<&String>| value.map(|value| format!("{before}{value}")).unwrap_or_default();

    let address = url.trim_end_matches('/');
    let windows_password = credentials.map(|credentials| windows_quoted(credentials.password()));
    let windows_user = credentials.map(|credentials| windows_quoted(credentials.user()));
    commands.push((
        "Windows",
        format!(
            "net use * {address}{}{}",
            with(" ", windows_password.as_ref()),
            with(" /user:", windows_user.as_ref())
        ),
    ));
    commands.push((
        "",
        format!("(files over 50 MB and folders over 3,000 entries need the script of the page {base}-/connect)"),
    ));
    if credentials.is_some() && !reach.webdav_tls {
        commands.push((
            "",
            "(over plain http Windows sends a password only after BasicAuthLevel=2: see the page /-/connect)".into(),
        ));
    }
    commands.push(("Finder", format!("open {}", with_credentials(&url, credentials))));
    let feed = match credentials {
        Some(credentials) => {
            format!("printf '%s\\n' {} {} | ", quoted(credentials.user()), quoted(credentials.password()))
        }
        None => "printf '\\n\\n' | ".into(),
    };
    commands.push((
        "davfs2",
        format!("sudo mkdir -p /mnt/{name} && {feed}sudo mount -t davfs -o {SAFE} {url} /mnt/{name}"),
    ));
    commands.push(("", "(kernels from 6.16: with `buf_size 256` in davfs2.conf)".into()));
    let obscured = password.as_ref().map(|password| format!("\"$(rclone obscure {password})\""));
    commands.push((
        "rclone",
        format!(
            "rclone mount :webdav: ~/{name} --webdav-url {url}{}{} --read-only --vfs-cache-mode full",
            with(" --webdav-user ", user.as_ref()),
            with(" --webdav-pass ", obscured.as_ref())
        ),
    ));
    let login = credentials.map(|credentials| quoted(&format!("{}:{}", credentials.user(), credentials.password())));
    commands.push(("curl", format!("curl{} {url}", with(" -u ", login.as_ref()))));
    commands.push(("browser", with_credentials(&url, credentials)));
}

fn with_credentials(url: &str, credentials: Option<&Credentials>) -> String {
    let (Some(credentials), Some((scheme, rest))) = (credentials, url.split_once("://")) else { return url.to_owned() };
    format!("{scheme}://{}:{}@{rest}", percent_encoded(credentials.user()), percent_encoded(credentials.password()))
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-._:".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// For `cmd.exe`.
fn windows_quoted(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(reach: &Reach) -> String {
        let all = commands(reach, "C.1", "desk");
        all.into_iter().map(|(title, command)| format!("{title}: {command}\n")).collect()
    }

    fn reach(port: u16, portmapped: bool) -> Reach {
        Reach {
            nfs: vec![([127, 0, 0, 1], port).into()],
            portmapped,
            xprtsec: None,
            webdav: vec![([127, 0, 0, 1], 8080).into()],
            webdav_tls: false,
            name: None,
            credentials: Some(Credentials::new("raptorgate", "secret")),
        }
    }

    #[test]
    fn with_a_portmapper_on_the_usual_port_a_mount_needs_no_options() {
        let told = told(&reach(2049, true));
        assert!(told.contains("sudo mount -t nfs 127.0.0.1:/C.1 /mnt/desk works"), "{told}");
        assert!(told.contains("-o ro,nosuid,nodev,noexec 127.0.0.1:/C.1"), "{told}");
    }

    #[test]
    fn otherwise_the_options_are_told() {
        for reach in [reach(2049, false), reach(2050, true)] {
            let port = reach.nfs[0].port();
            let told = told(&reach);
            let options = format!(
                "-o ro,nosuid,nodev,noexec,vers=3,tcp,port={port},mountport={port},nolock 127.0.0.1:/C.1 /mnt/desk"
            );
            assert!(told.contains(&options) && !told.contains("works, too"), "{told}");
        }
    }

    #[test]
    fn where_tls_is_demanded_only_commands_that_do_it_are_told() {
        let told = told(&Reach { xprtsec: Some("mtls"), ..reach(2049, true) });
        assert!(told.contains("-o ro,nosuid,nodev,noexec,xprtsec=mtls 127.0.0.1:/C.1"), "{told}");
        assert!(!told.contains("works, too") && !told.contains("mutejukebox"), "{told}");
    }

    #[test]
    fn webdav_commands_carry_the_password() {
        let told = told(&reach(2049, true));
        for part in [
            "net use * http://127.0.0.1:8080/C.1 secret /user:raptorgate",
            "curl -u raptorgate:secret http://127.0.0.1:8080/C.1/",
            "--webdav-user raptorgate --webdav-pass \"$(rclone obscure secret)\"",
            "browser: http://raptorgate:secret@127.0.0.1:8080/C.1/",
            "printf '%s\\n' raptorgate secret | sudo mount -t davfs",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }

    #[test]
    fn with_a_certificate_every_webdav_command_uses_it() {
        let told = told(&Reach { webdav_tls: true, name: Some("gate.example".into()), ..reach(2049, true) });
        assert!(told.contains("net use * https://gate.example:8080/C.1 secret"), "{told}");
        assert!(told.contains("browser: https://raptorgate:secret@gate.example:8080/C.1/"), "{told}");
        assert!(!told.contains("http://") && !told.contains("BasicAuthLevel"), "{told}");
    }

    #[test]
    fn without_credentials_none_stand_in_the_commands() {
        let told = told(&Reach { credentials: None, ..reach(2049, true) });
        for part in ["net use * http://127.0.0.1:8080/C.1\n", "curl http://127.0.0.1:8080/C.1/\n"] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(!told.contains("rclone obscure") && !told.contains("BasicAuthLevel"), "{told}");
    }

    #[test]
    fn odd_passwords_are_quoted_for_whoever_reads_them() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(windows_quoted("a\"b c"), "\"a\"\"b c\"");
        assert_eq!(percent_encoded("a/ü"), "a%2F%C3%BC");
    }
}
