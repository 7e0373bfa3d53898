//! `umount`: ends the mounts of an endpoint, or the one at a directory.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use super::clients;
use crate::configuration::StateKeys;
use crate::control::Control;
use crate::mount_point::{self, Mount};
use crate::terminal::{printable, say};

/// See `raptorgate umount --help`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The directory; or the endpoint, by its id or host name: then all its NFS mounts end
    what: String,
    /// Take it out of sight at once, although programs still use it
    #[arg(long)]
    lazy: bool,
    #[command(flatten)]
    state: StateKeys,
}

/// Unmounts. It needs no gateway that runs, but for host names.
///
/// # Errors
/// What is in the way.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mounts = mount_point::mounts();
    if mounts.is_empty() {
        // A system that does not tell what is mounted: it judges itself.
        return umount(&std::path::absolute(&arguments.what)?, arguments.lazy);
    }
    let found = match at(&mounts, Path::new(&arguments.what))? {
        Some(mount) => vec![mount],
        None => of_endpoint(&mounts, &client_id(&arguments).await?),
    };
    if found.is_empty() {
        bail!("nothing of {} is mounted on this machine", printable(&arguments.what));
    }
    for mount in found {
        umount(&mount.point, arguments.lazy)?;
        say(&format!("{} is no longer mounted at {}", printable(&mount.source), mount.point.display()));
    }
    Ok(())
}

/// The mount at a directory, by the text alone: the gateway behind it may be gone.
fn at<'a>(mounts: &'a [Mount], directory: &Path) -> anyhow::Result<Option<&'a Mount>> {
    let directory = mount_point::lexical(&std::path::absolute(directory)?);
    match mounts.iter().rfind(|mount| mount.point == directory) {
        Some(mount) if mount_point::is_of_gateway(mount) => Ok(Some(mount)),
        Some(mount) => {
            bail!("{} is a mount of {}, which is no gateway's", directory.display(), printable(&mount.source))
        }
        None => Ok(None),
    }
}

/// All mounts of one endpoint, those that cover others first.
fn of_endpoint<'a>(mounts: &'a [Mount], client_id: &str) -> Vec<&'a Mount> {
    let is_its = |mount: &&Mount| mount.kind == "nfs" && mount_point::client_id(mount).as_deref() == Some(client_id);
    mounts.iter().rev().filter(is_its).collect()
}

async fn client_id(arguments: &Arguments) -> anyhow::Result<String> {
    let what = arguments.what.trim_matches('/');
    if what.starts_with("C.") {
        return Ok(what.to_owned());
    }
    if arguments.what.contains('/') {
        bail!("nothing is mounted at {}", printable(&arguments.what));
    }
    let none = || format!("{} is no mount, and no endpoint that could be asked for", printable(&arguments.what));
    let gateway = Control::of(arguments.state.state.as_deref()).with_context(none)?;
    let clients = gateway.get("clients").await?;
    let found = clients::find(&clients, what)?.pointer("/id/client_id").and_then(Value::as_str);
    found.map(str::to_owned).with_context(none)
}

fn umount(point: &Path, lazy: bool) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("unmounting is for root: sudo umount {}{}", if lazy { "-l " } else { "" }, point.display());
    }
    let mut command = Command::new("umount");
    command.args(lazy.then_some("-l")).arg(point);
    let ended = command.stdin(Stdio::null()).output().context("umount(8) cannot be run")?;
    if ended.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&ended.stderr);
    let complaint = complaint.lines().map(printable).collect::<Vec<_>>().join("; ");
    if complaint.contains("busy") {
        bail!(
            "{complaint}: programs use it (`fuser -vm {}` names them); --lazy takes it out of their sight",
            point.display()
        );
    }
    bail!("{complaint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str, kind: &str, source: &str) -> Mount {
        Mount { point: point.into(), root: "/".into(), kind: kind.into(), source: source.into() }
    }

    #[test]
    fn only_mounts_of_a_gateway_are_ended() {
        let mounts = [
            mount("/mnt/desk", "nfs", "127.0.0.1:/C.1"),
            mount("/mnt/desk", "nfs", "127.0.0.1:/C.1/auto"),
            mount("/mnt/cold", "nfs", "gate:/frozen/C.1/auto"),
            mount("/mnt/other", "nfs", "[::1]:/C.12"),
            mount("/mnt/org", "nfs", "gate:/org/O1/C.3-O1/auto"),
            mount("/mnt/nas", "nfs", "nas:/volume"),
            mount("/mnt/all", "nfs", "gate:/"),
            mount("/home", "ext4", "/dev/C.1"),
        ];
        let found = at(&mounts, Path::new("/mnt/../mnt/desk")).unwrap().unwrap();
        assert_eq!(found.source, "127.0.0.1:/C.1/auto", "the one that is seen");
        assert!(at(&mounts, Path::new("/mnt/all")).unwrap().is_some());
        assert!(at(&mounts, Path::new("/mnt")).unwrap().is_none());
        for other in ["/mnt/nas", "/home"] {
            assert!(at(&mounts, Path::new(other)).unwrap_err().to_string().contains("no gateway's"), "{other}");
        }
        assert_eq!(of_endpoint(&mounts, "C.3-O1").len(), 1);
        let points: Vec<_> = of_endpoint(&mounts, "C.1").iter().map(|mount| mount.source.as_str()).collect();
        assert_eq!(points, ["gate:/frozen/C.1/auto", "127.0.0.1:/C.1/auto", "127.0.0.1:/C.1"]);
    }
}
