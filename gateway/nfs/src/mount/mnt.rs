//! MNT: resolves a path, links included, and hands out the handle of its directory.
//!
//! What to say when it fails follows from what people are shown (docs/nfs-clients.md §3.1): only ACCES becomes a sentence about
//! the export; NOENT, IO and the like come out as "Protocol not supported". So all refusals are ACCES, and the log says why. While something on the way still has to
//! be listed the call is held; if that takes too long it is not answered at all, because mount programs repeat it for minutes
//! but take every status for final.

use std::sync::Arc;
use std::time::Duration;

use vfs::{Call, Error, ErrorKind, Node, NodeKind};

use super::{PATH_LIMIT, Sender, Shared};
use crate::rpc::{Answer, Decoder, Peer, Refusal, Reply, Request, waiting};

/// `mountstat3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Status {
    Ok = 0,
    Access = 13,
    NotDirectory = 20,
    Invalid = 22,
    NameTooLong = 63,
}

const AUTH_SYS: u32 = 1;
/// mount.nfs gives up after two minutes; one call of the kernel's over TCP lasts a minute.
const HOLD: Duration = Duration::from_secs(50);

pub(super) fn call(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<Answer, Refusal> {
    let path = arguments.opaque(PATH_LIMIT)?;
    let peer = request.peer;
    let sender = Sender::of(request);
    if !request.admitted {
        let error = Error::new(
            ErrorKind::Denied,
            "another user's process on this machine; mount as root or as the gateway's user, or set loopback_any",
        );
        refuse(reply, &sender, path, &error);
        return Ok(Answer::Written);
    }
    let names = match components(path) {
        Ok(names) => names,
        Err(error) => {
            refuse(reply, &sender, path, &error);
            return Ok(Answer::Written);
        }
    };
    if shared.is_stranger(peer) && is_on_an_endpoint(&names) {
        let error = Error::new(
            ErrorKind::Denied,
            "below an endpoint's root, and MOUNT came without a certificate: mount the endpoint's root (/C.xxxx) instead",
        );
        refuse(reply, &sender, path, &error);
        return Ok(Answer::Written);
    }
    if !request.may_wait {
        return Ok(Answer::Silent);
    }
    let (shared, peer, path, xid) = (shared.clone(), peer.clone(), path.to_vec(), request.xid);
    Ok(waiting(async move {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let call = Call { hold: peer.call().hold.max(HOLD), ..Call::clone(peer.call()) };
        let found = shared.vfs.resolve(&names, true, &call).await.and_then(|found| match found.node.kind {
            NodeKind::Directory => Ok(found.node),
            _ => Err(Error::new(ErrorKind::NotDirectory, "only directories can be mounted")),
        });
        let mut reply = Reply::new(xid);
        match found {
            Ok(node) => {
                grant(&shared, &mut reply, &peer, &path, &node);
                let Sender { address, uid, machine, transport } = &sender;
                tracing::info!(peer = %address, uid, ?machine, ?transport, path = ?String::from_utf8_lossy(&path), "mounted");
            }
            Err(error) if matches!(error.kind(), ErrorKind::Later { .. }) => return None,
            Err(error) => refuse(&mut reply, &sender, &path, &error),
        }
        Some(reply)
    }))
}

/// A path is components between slashes, each as a directory shows it. Nothing is decoded: `%` and `:` are ordinary characters.
fn components(path: &[u8]) -> vfs::Result<Vec<String>> {
    let path = std::str::from_utf8(path).map_err(|_| Error::absent("the path is not UTF-8"))?;
    let names: Vec<String> =
        path.split('/').filter(|name| !name.is_empty() && *name != ".").map(str::to_owned).collect();
    if names.iter().any(|name| name == "..") {
        return Err(Error::invalid("a path to mount cannot contain `..`"));
    }
    Ok(names)
}

/// Whether the path leads below an endpoint's root, which the gateway cannot follow from what it knows by itself.
fn is_on_an_endpoint(names: &[String]) -> bool {
    let names =
        if names.first().is_some_and(|name| name == "frozen") { names.get(1..).unwrap_or_default() } else { names };
    let own = match names.first().map(String::as_str) {
        Some("by-name") => 2,
        Some("org") => 3,
        _ => 1,
    };
    names.len() > own
}

fn grant(shared: &Shared, reply: &mut Reply, peer: &Peer, path: &[u8], node: &Node) {
    reply.u32(Status::Ok as u32);
    reply.opaque(&shared.vfs.handle(node));
    reply.u32(1);
    reply.u32(AUTH_SYS);
    shared.mounts.add(peer.address.ip(), path);
}

fn refuse(reply: &mut Reply, sender: &Sender, path: &[u8], error: &Error) {
    let status = status(error.kind()) as u32;
    reply.set_failed(status);
    reply.u32(status);
    let Sender { address, uid, machine, transport } = sender;
    let path = String::from_utf8_lossy(path);
    tracing::info!(peer = %address, uid, ?machine, ?transport, ?path, reason = %error, "mount refused");
}

/// Every final refusal is ACCES: what is not final is not answered.
fn status(kind: ErrorKind) -> Status {
    match kind {
        ErrorKind::NotDirectory | ErrorKind::IsDirectory | ErrorKind::Unsupported => Status::NotDirectory,
        ErrorKind::Invalid => Status::Invalid,
        ErrorKind::NameTooLong => Status::NameTooLong,
        _ => Status::Access,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_at_slashes_and_nothing_else() {
        assert_eq!(
            components(b"/C.1/auto/C:/Program Files/100%25").unwrap(),
            ["C.1", "auto", "C:", "Program Files", "100%25"]
        );
        assert_eq!(components(b"//C.1/./auto/").unwrap(), ["C.1", "auto"]);
        assert!(components(b"/").unwrap().is_empty());
        assert_eq!(components(b"/C.1/../C.2").unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(components(b"/\xff").unwrap_err().kind(), ErrorKind::Absent);
    }

    #[test]
    fn a_stranger_gets_no_further_than_the_root_of_an_endpoint() {
        for (path, is_below) in [
            ("/", false),
            ("/C.1", false),
            ("/by-name/desk", false),
            ("/frozen/C.1", false),
            ("/frozen/by-name/desk", false),
            ("/C.1/auto", true),
            ("/by-name/desk/auto", true),
            ("/frozen/C.1/auto", true),
            ("/frozen/by-name/desk/auto", true),
        ] {
            assert_eq!(is_on_an_endpoint(&components(path.as_bytes()).unwrap()), is_below, "{path}");
        }
    }

    #[test]
    fn an_unknown_export_is_access_denied_because_clients_show_that_one_truthfully() {
        assert_eq!(status(ErrorKind::Absent), Status::Access);
        assert_eq!(status(ErrorKind::Offline), Status::Access);
    }
}
