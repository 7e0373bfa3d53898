//! How to mount this gateway: the commands that the program made for this host, by system.

use std::fmt::Write;

use http::{Response, StatusCode};

use super::escape::{attribute, label, text};
use super::html;
use super::layout::Page;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::service::Service;

/// What the program calls its commands, the section that they stand in, and what a person calls them.
const SECTIONS: [(&str, &[(&str, &str)]); 4] = [
    ("Linux", &[("Linux", "NFS"), ("davfs2", "WebDAV, davfs2")]),
    ("macOS", &[("macOS", "NFS"), ("Finder", "WebDAV, Finder")]),
    ("Windows", &[("Windows", "Map a drive")]),
    ("Anywhere", &[("rclone", "rclone"), ("curl", "curl"), ("browser", "Browser")]),
];

/// The page; `?client=` puts an endpoint into the commands.
pub(crate) fn page(service: &Service, exchange: &Exchange) -> Response<Body> {
    let commands = &exchange.config().connect;
    let mut endpoints = service.vfs.endpoints();
    endpoints.sort_by_cached_key(|status| (!status.online, status.endpoint.hostname.to_lowercase()));
    let wanted = exchange.query_text("client");
    let chosen = endpoints.iter().find(|status| wanted.as_deref() == Some(&*status.endpoint.id.client_id));
    let chosen = chosen.or(endpoints.first());
    let mut body = "<h1>Connect</h1>".to_owned();
    if commands.is_empty() {
        body.push_str("<p class=\"notice\">This gateway was started without mount commands to show.</p>");
    }
    if !endpoints.is_empty() {
        body.push_str(
            "<form method=\"get\" action=\"/-/connect\" class=\"bar\"><label for=\"client\">Commands for</label>\
             <select id=\"client\" name=\"client\">",
        );
        for status in endpoints.iter().take(1_000) {
            let endpoint = &status.endpoint;
            let selected = chosen.is_some_and(|chosen| chosen.endpoint.id == endpoint.id);
            let _ = write!(
                body,
                "<option value=\"{0}\"{1}>{2} · {0}</option>",
                attribute(&endpoint.id.client_id),
                if selected { " selected" } else { "" },
                label(&endpoint.hostname),
            );
        }
        body.push_str("</select><button>Show</button></form>");
    }
    let fill = |command: &str| match chosen {
        Some(status) => {
            let name = folder(&status.endpoint.hostname, &status.endpoint.id.client_id);
            command.replace("CLIENT_ID", &status.endpoint.id.client_id).replace("NAME", &name)
        }
        None => command.to_owned(),
    };
    body.push_str("<div class=\"columns\">");
    for (title, members) in SECTIONS {
        section(&mut body, title, members, commands, &fill);
    }
    others(&mut body, commands, &fill);
    body.push_str("</div>");
    html(exchange, StatusCode::OK, Page::new("Connect", None).at("/-/connect").finish(&body))
}

/// A folder's name for an endpoint: only what needs no quotes anywhere.
fn folder(hostname: &str, client_id: &str) -> String {
    let plain = !hostname.is_empty()
        && hostname.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if plain { hostname.to_owned() } else { client_id.to_owned() }
}

/// Commands with this title, and the remarks that follow them.
fn with_remarks<'a>(commands: &'a [(String, String)], title: &str) -> Vec<(&'a str, bool)> {
    let Some(at) = commands.iter().position(|(known, _)| known == title) else { return Vec::new() };
    let remarks = commands[at + 1..].iter().take_while(|(title, _)| title.is_empty());
    let remarks = remarks.map(|(_, text)| (text.as_str(), true));
    std::iter::once((commands[at].1.as_str(), false)).chain(remarks).collect()
}

fn section(
    body: &mut String,
    title: &str,
    members: &[(&str, &str)],
    commands: &[(String, String)],
    fill: &dyn Fn(&str) -> String,
) {
    let known: Vec<_> = members
        .iter()
        .map(|(name, title)| (*title, with_remarks(commands, name)))
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    if known.is_empty() {
        return;
    }
    let _ = write!(body, "<section><h2>{title}</h2>");
    if title == "Windows" {
        body.push_str(
            "<p>Once on each machine, as an administrator: <a class=\"button\" href=\"/-/connect/windows.ps1\" download>windows.ps1</a> \
             raises the limits of Windows and maps the drive, or <a class=\"button\" href=\"/-/connect/windows.reg\" download>windows.reg</a> \
             raises the limits only.</p>",
        );
    }
    for (title, lines) in known {
        let _ = write!(body, "<h3>{title}</h3>");
        for (line, is_remark) in lines {
            let line = fill(line);
            if is_remark {
                let remark = line.trim_start_matches('(').trim_end_matches(')');
                let _ = write!(body, "<p class=\"dim\">{}</p>", text(remark));
            } else {
                command(body, &line);
            }
        }
    }
    body.push_str("</section>");
}

fn command(body: &mut String, command: &str) {
    body.push_str("<pre class=\"command\" tabindex=\"0\">");
    command.lines().for_each(|line| {
        let _ = writeln!(body, "{}", text(line));
    });
    body.push_str("</pre>");
}

/// What the program knows that this page has no section for.
fn others(body: &mut String, commands: &[(String, String)], fill: &dyn Fn(&str) -> String) {
    let known: Vec<&str> = SECTIONS.iter().flat_map(|(_, members)| members.iter().map(|(name, _)| *name)).collect();
    for (title, _) in commands.iter().filter(|(title, _)| !title.is_empty() && !known.contains(&title.as_str())) {
        let _ = write!(body, "<section><h2>{}</h2>", text(title));
        with_remarks(commands, title).into_iter().for_each(|(line, _)| command(body, &fill(line)));
        body.push_str("</section>");
    }
}
