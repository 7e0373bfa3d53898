//! What a Windows user needs before a drive is of use (`deploy/clients/windows`): served filled in with the address by which he found it.

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use http::{Method, Response};

use crate::body::Body;
use crate::browser;
use crate::exchange::Exchange;
use crate::refusal::{Answer, Refusal};
use crate::service::uncached;

/// Files below `/-/connect/`: the name there, the name on the disk, and what it is made of.
const FILES: [(&str, &str, &str); 2] = [
    ("windows.reg", "raptorgate.reg", include_str!("../../../deploy/clients/windows/raptorgate.reg")),
    ("windows.ps1", "raptorgate.ps1", include_str!("../../../deploy/clients/windows/raptorgate.ps1")),
];

/// The file called `name`, or 404.
pub(crate) fn answer(exchange: &Exchange, name: &str) -> Answer {
    let Some((_, file, template)) = FILES.iter().find(|(known, _, _)| *known == name) else {
        return Err(Refusal::absent("the gateway has nothing of this name"));
    };
    let text = filled_in(template, exchange);
    let mut response = Response::new(if exchange.method() == Method::HEAD { Body::empty() } else { Body::from(text) });
    let headers = response.headers_mut();
    browser::protect(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{file}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    Ok(uncached(response))
}

/// With Windows' line ends. The password is never written into it: Windows asks for it.
fn filled_in(template: &str, exchange: &Exchange) -> String {
    let user = exchange.config().credentials.as_ref().map_or("", |credentials| credentials.user.as_str());
    // Windows sends no password unencrypted unless it is told to; where it needs not be, its setting is left alone.
    let (level, line) = if exchange.secure || user.is_empty() {
        ("00000001", "; BasicAuthLevel stays as it is: passwords go through TLS")
    } else {
        ("00000002", "\"BasicAuthLevel\"=dword:00000002")
    };
    let text = template
        .replace("@ORIGIN@", &plain(&exchange.origin()))
        .replace("@USER@", &plain(user))
        .replace("@BASIC@", level)
        .replace("@BASIC_LINE@", line);
    text.replace('\n', "\r\n")
}

/// Nothing that PowerShell or the registry editor would read as more than a name.
fn plain(text: &str) -> String {
    text.chars().filter(|character| character.is_alphanumeric() || ":/.-_[]@\\".contains(*character)).collect()
}
