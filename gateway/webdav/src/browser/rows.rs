//! The rows of a directory's table, made while they are sent.

use std::fmt::Write;

use bytes::Bytes;
use futures_util::stream;
use vfs::node::Identity;
use vfs::{Attributes, FileType, Listing, Node, NodeKind, Profile, Timestamp};

use super::escape::{label, text};
use super::layout::{exact_time, size};
use super::order::Order;
use super::standing::Shown;
use super::work::Works;
use crate::body::Frames;
use crate::link;
use crate::path::{RequestPath, encode_into};
use crate::propfind::encode::kind_word;

/// Bytes after which a frame is sent.
const FRAME: usize = 48 * 1024;

/// The rows of one page.
pub(crate) struct Rows {
    pub listing: Listing,
    pub order: Order,
    /// Places in the order.
    pub from: usize,
    pub to: usize,
    pub path: RequestPath,
    pub profile: Profile,
    pub works: Works,
}

impl Rows {
    /// The page between `opening` and `closing`.
    pub(crate) fn into_frames(self, opening: String, closing: String) -> Frames {
        let parent = self.path.directory_href();
        let state = (self, parent, Some((opening, closing)));
        Box::pin(stream::unfold(state, |(mut rows, parent, texts)| async move {
            let (mut out, closing) = texts?;
            out.reserve(FRAME + FRAME / 4);
            while rows.from < rows.to && out.len() < FRAME {
                if let Some(ordinal) = rows.order.get(rows.from) {
                    rows.write(&mut out, &parent, ordinal);
                }
                rows.from += 1;
            }
            let is_last = rows.from >= rows.to;
            if is_last {
                out.push_str(&closing);
            }
            Some((Ok(Bytes::from(out)), (rows, parent, (!is_last).then(|| (String::new(), closing)))))
        }))
    }

    fn write(&self, out: &mut String, parent: &str, ordinal: u32) {
        let listing = &self.listing;
        let Some((node, attributes)) = listing.entry(ordinal) else { return };
        let name = listing.name(ordinal, self.profile);
        let target = if node.kind == NodeKind::Link { listing.raw_link(ordinal) } else { None };
        let attributes = target.map_or(attributes, |target| link::described(&attributes, target));
        let own = id(node.own);
        let pick = matches!(node.kind, NodeKind::File | NodeKind::Directory);
        out.push_str("<tr><td class=\"pick\">");
        if pick {
            let _ = write!(
                out,
                "<input type=\"checkbox\" name=\"f\" value=\"{own}\" aria-label=\"Select {}\">",
                label(&name)
            );
        }
        self.name_cell(out, parent, &node, &name, target);
        let _ = write!(out, "</td><td class=\"number\">{}</td>", size_of(&node, &attributes));
        for (class, time) in [
            ("", attributes.modified),
            (" other", attributes.accessed),
            (" other", listing.changed(ordinal, &attributes)),
            (" other", attributes.born),
        ] {
            let _ = write!(out, "<td class=\"when{class}\">{}</td>", exact_time(time));
        }
        let shown = state_of(listing, ordinal, &node, &attributes, &self.works);
        let _ = write!(
            out,
            "<td class=\"state\"><span id=\"s{own}\" class=\"{}\" title=\"{}\">{}</span></td></tr>",
            shown.class,
            label(&shown.title),
            text(&shown.text)
        );
    }

    fn name_cell(&self, out: &mut String, parent: &str, node: &Node, name: &str, target: Option<&str>) {
        let (class, slash) = match node.kind {
            NodeKind::Directory => ("directory", "/"),
            NodeKind::Link => ("link", ""),
            NodeKind::Special => ("special", ""),
            NodeKind::File | NodeKind::Meta => ("file", ""),
        };
        let mut encoded = Vec::with_capacity(name.len() + 8);
        encode_into(&mut encoded, name);
        let encoded = String::from_utf8(encoded).unwrap_or_default();
        // A page must never be saved under the name of a file that was not collected.
        let end = if node.kind == NodeKind::Directory { "/" } else { "?info=1" };
        let _ = write!(
            out,
            "</td><td class=\"name {class}\"><a href=\"{parent}{encoded}{end}\"><bdi>{}</bdi>{slash}</a>",
            text(name)
        );
        if let Some(target) = target {
            let _ = write!(out, " <span class=\"dim\">→ <bdi>{}</bdi></span>", text(target));
        }
    }
}

/// How an identity stands in pages and forms.
pub(crate) fn id(own: Identity) -> String {
    own.to_bytes().iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An identity from a form; `None` if it is none.
pub(crate) fn from_id(text: &str) -> Option<Identity> {
    let well_formed = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    well_formed.then(|| u128::from_str_radix(text, 16).ok().map(Identity)).flatten()
}

/// The state of an entry: of a file how its content stands, of everything else what it is.
pub(crate) fn state_of(listing: &Listing, ordinal: u32, node: &Node, attributes: &Attributes, works: &Works) -> Shown {
    let kind = |word: &str| Shown { class: "quiet", text: word.to_owned(), title: String::new() };
    match node.kind {
        NodeKind::File => {
            let standing = listing.standing(ordinal, node);
            let shown = Shown::of(&standing, attributes.size, works.latest(node.own).as_ref());
            match mark(listing, ordinal) {
                Some(mark) if shown.text == "not collected" => Shown { text: mark.to_owned(), ..shown },
                _ => shown,
            }
        }
        NodeKind::Link => kind("link"),
        NodeKind::Special => kind(kind_word(attributes.file_type).unwrap_or("reparse point")),
        NodeKind::Directory | NodeKind::Meta => Shown::nothing(),
    }
}

/// What an uncollected file is, where that is not an ordinary file.
fn mark(listing: &Listing, ordinal: u32) -> Option<&'static str> {
    let row = listing.row(ordinal)?;
    if row.file_type() == FileType::Regular && is_stream(listing, ordinal) {
        return Some("stream, not collected");
    }
    None
}

/// An alternate data stream, as the `ntfs` accessor lists it.
fn is_stream(listing: &Listing, ordinal: u32) -> bool {
    let Some(row) = listing.row(ordinal) else { return false };
    let has_file_number = row.details().is_some_and(|details| details.contains("\"mft\""));
    has_file_number && row.name().split_once(':').is_some_and(|(file, stream)| !file.is_empty() && !stream.is_empty())
}

fn size_of(node: &Node, attributes: &Attributes) -> String {
    match (node.kind, attributes.size) {
        (NodeKind::Directory | NodeKind::Special, _) => String::new(),
        (_, Some(bytes)) => size(bytes),
        (_, None) => "<span class=\"dim\" title=\"only reading tells\">not known</span>".to_owned(),
    }
}

/// When something was seen, and how long ago that is.
pub(crate) fn ago(seen: Timestamp, now: Timestamp) -> String {
    let seconds = now.since(seen).as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_identity_comes_back_from_a_form(own: u128) {
            prop_assert_eq!(from_id(&id(Identity(own))), Some(Identity(own)));
        }

        #[test]
        fn nothing_else_is_an_identity(text in "\\PC{0,40}") {
            let accepted = from_id(&text).is_some();
            prop_assert_eq!(accepted, text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }
}
