//! LOCK, UNLOCK and PROPPATCH for Windows, which wants them even where nothing can be written (docs/webdav-clients.md §2.1). Nothing is
//! locked and nothing is changed; for everybody else they are refused.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use vfs::Vfs;

use crate::body::Body;
use crate::client::ClientClass;
use crate::content::conditional::{Conditional, Target};
use crate::exchange::Exchange;
use crate::propfind::property::{CLOSING, MICROSOFT, write_unknown};
use crate::propfind::refused_body;
use crate::refusal::{Answer, Refusal};
use crate::xml::{self, Name, Step};

/// The sentence for whoever wants to write.
pub(crate) const READ_ONLY: &str = "everything here is evidence and read-only";

/// LOCK and UNLOCK of something that exists: granted and forgotten.
pub(crate) async fn lock(vfs: &Vfs, conditional: &Conditional, exchange: &Exchange, body: Bytes) -> Answer {
    if exchange.class != ClientClass::MiniRedir {
        return Err(Refusal::forbidden(READ_ONLY));
    }
    let call = exchange.call();
    let found = vfs.resolve(&exchange.path.names(), false, &call).await;
    let found = found.map_err(|error| Refusal::from_error(&error, exchange.class))?;
    if !body.is_empty() {
        // The library parses with recursion: it only ever gets what passed the caps.
        xml::steps(&body).map_err(refused_body)?;
    }
    if exchange.headers().get_all("if").iter().any(|value| !value.to_str().is_ok_and(is_condition)) {
        return Err(Refusal::bad_request("the If header is not what RFC 4918 makes it"));
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = exchange.method().clone();
    let href = exchange.path.file_href();
    *request.uri_mut() = href.parse().map_err(|_| Refusal::bad_request("the path cannot be used for a lock"))?;
    for name in ["timeout", "depth", "if", "lock-token"] {
        let name = HeaderName::from_static(name);
        for value in exchange.headers().get_all(&name) {
            request.headers_mut().append(&name, value.clone());
        }
    }
    let target = Target { node: found.node, attributes: found.attributes, link: None, call };
    Ok(conditional.answer(request, exchange.config().principal.name(), target).await)
}

/// The form of an `If` header (RFC 4918 §10.4): the library's parser panics at tokens that do not end.
fn is_condition(text: &str) -> bool {
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '(' | ')' => Some(1),
            'N' => rest.starts_with("Not").then_some(3),
            '<' => rest.find('>').filter(|end| !rest[..*end].contains([' ', '\t', '"'])).map(|end| end + 1),
            '[' => rest.find(']').filter(|end| is_entity_tag(&rest[1..*end])).map(|end| end + 1),
            _ => None,
        };
        let Some(end) = end else { return false };
        rest = rest[end..].trim_start();
    }
    true
}

fn is_entity_tag(text: &str) -> bool {
    let quoted = text.strip_prefix("W/").unwrap_or(text);
    let inner = quoted.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
    inner.is_some_and(|inner| !inner.contains([' ', '\t', '"']))
}

/// PROPPATCH: the properties of the Windows client are accepted and forgotten, every other one is refused.
pub(crate) async fn proppatch(vfs: &Vfs, exchange: &Exchange, body: &[u8]) -> Answer {
    if exchange.class != ClientClass::MiniRedir {
        return Err(Refusal::forbidden(READ_ONLY));
    }
    let found = vfs.resolve(&exchange.path.names(), false, &exchange.call()).await;
    found.map_err(|error| Refusal::from_error(&error, exchange.class))?;
    let (accepted, refused) = patched(body)?;
    let mut out =
        br#"<?xml version="1.0" encoding="utf-8"?><D:multistatus xmlns:D="DAV:"><D:response><D:href>"#.to_vec();
    out.extend_from_slice(exchange.path.file_href().as_bytes());
    out.extend_from_slice(b"</D:href>");
    for (names, status) in [(accepted, "200 OK"), (refused, "403 Forbidden")] {
        if names.is_empty() {
            continue;
        }
        out.extend_from_slice(b"<D:propstat><D:prop>");
        names.iter().for_each(|name| write_unknown(&mut out, name));
        out.extend_from_slice(format!("</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>").as_bytes());
    }
    out.extend_from_slice(b"</D:response>");
    out.extend_from_slice(CLOSING);
    let mut response = Response::new(Body::Once(out.into()));
    *response.status_mut() = StatusCode::MULTI_STATUS;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
    Ok(response)
}

/// The properties that a body sets or removes: Windows' own, and others.
fn patched(body: &[u8]) -> Result<(Vec<Name>, Vec<Name>), Refusal> {
    let steps = xml::steps(body).map_err(refused_body)?;
    let mut path: Vec<Name> = Vec::new();
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Close => {
                path.pop();
            }
            Step::Open(name) => {
                let is_property =
                    matches!(path.as_slice(), [root, _, prop] if root.is_dav("propertyupdate") && prop.is_dav("prop"));
                if is_property {
                    let list = if name.namespace == MICROSOFT { &mut accepted } else { &mut refused };
                    list.push(name.clone());
                }
                path.push(name);
            }
        }
    }
    if accepted.is_empty() && refused.is_empty() {
        return Err(Refusal::bad_request("the body sets no property"));
    }
    Ok((accepted, refused))
}
