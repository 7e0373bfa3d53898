//! Names that Windows and macOS probe for by themselves: the only ones answered as absent without proof (D12).

use vfs::{Freshness, Node, NodeKind, Vfs};

use crate::client::ClientClass;
use crate::exchange::Exchange;

/// Whether the path is such a probe by such a client, and its directory was never listed, so that the answer is a local 404.
/// Never starts a flow.
pub(crate) async fn is_noise(vfs: &Vfs, exchange: &Exchange) -> bool {
    exchange.class.is_noisy() && exchange.path.name().is_some_and(is_probe) && !parent_is_listed(vfs, exchange).await
}

/// An empty file that keeps macOS from indexing a volume and drawing previews of it: at `/` and at the roots of endpoints, where no
/// evidence is, reachable and not listed (docs/webdav-clients.md §3.4).
pub(crate) fn is_macos_marker(exchange: &Exchange) -> bool {
    const MARKERS: [&str; 3] = [".metadata_never_index", ".ql_disablethumbnails", ".ql_disablecache"];
    let Some((name, parents)) = exchange.path.segments().split_last() else { return false };
    let is_root = match parents {
        [] | [_] => true,
        [view, _] => view == "frozen" || view == "by-name",
        _ => false,
    };
    exchange.config().macos_markers
        && exchange.class == ClientClass::WebDavFs
        && MARKERS.contains(&name.as_str())
        && is_root
}

fn is_probe(name: &str) -> bool {
    let whole = ["desktop.ini", "autorun.inf", ".ds_store", ".metadata_never_index", ".spotlight-v100"];
    let lower = name.to_lowercase();
    let stream = lower.split_once([':', '：']).map(|(_, stream)| stream);
    whole.contains(&lower.as_str())
        || name.starts_with("._")
        || stream.is_some_and(|stream| stream.starts_with("zone.identifier") || stream.starts_with("smartscreen"))
}

/// Walks to the parent along what is known already.
async fn parent_is_listed(vfs: &Vfs, exchange: &Exchange) -> bool {
    let call = exchange.call_held(std::time::Duration::ZERO);
    let parent = exchange.path.parent();
    let mut directory = Node::ROOT;
    for name in parent.names() {
        if !is_listed(vfs, &directory).await {
            return false;
        }
        // The directory is listed, so this answers from the listing. Whatever it says else is the ordinary way's business.
        match vfs.lookup(&directory, name, &call).await {
            Ok(found) if found.node.kind == NodeKind::Directory => directory = found.node,
            _ => return true,
        }
    }
    is_listed(vfs, &directory).await
}

async fn is_listed(vfs: &Vfs, directory: &Node) -> bool {
    !matches!(vfs.freshness(directory).await, Ok(Freshness::Unknown | Freshness::Failed(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_the_decision_are_probes() {
        for probe in [
            "desktop.ini",
            "Desktop.ini",
            "AutoRun.inf",
            "._report.docx",
            ".DS_Store",
            ".metadata_never_index",
            ".Spotlight-V100",
            "setup.exe:Zone.Identifier:$DATA",
            "setup.exe:SmartScreen:$DATA",
            "setup.exe：Zone.Identifier",
        ] {
            assert!(is_probe(probe), "{probe}");
        }
        for evidence in [
            "Thumbs.db",
            "folder.jpg",
            ".hidden",
            "desktop.ini.bak",
            "file.txt:secret",
            "$RECYCLE.BIN",
            "Zone.Identifier",
        ] {
            assert!(!is_probe(evidence), "{evidence}");
        }
    }
}
