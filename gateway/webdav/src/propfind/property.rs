//! The properties that exist here, and the selection of them that a request makes.

use crate::client::ClientClass;
use crate::propfind::request::Asked;
use crate::xml::{Name, escape_into};

/// Namespace of the gateway's own properties: exact times and what DAV has no word for.
pub(crate) const OWN: &str = "urn:raptorgate";
/// Namespace of the Windows client's properties.
pub(crate) const MICROSOFT: &str = "urn:schemas-microsoft-com:";

/// A property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Property {
    ResourceType,
    ContentLength,
    LastModified,
    CreationDate,
    EntityTag,
    ContentType,
    DisplayName,
    WindowsCreated,
    WindowsAccessed,
    WindowsModified,
    WindowsAttributes,
    Modified,
    Accessed,
    Changed,
    Born,
    Mode,
    Link,
    Collected,
}

use Property::{
    Accessed, Born, Changed, Collected, ContentLength, ContentType, CreationDate, DisplayName, EntityTag, LastModified,
    Link, Mode, Modified, ResourceType, WindowsAccessed, WindowsAttributes, WindowsCreated, WindowsModified,
};

/// Every property, its namespace prefix in our answers, and its local name.
const TABLE: [(Property, Prefix, &str); 18] = [
    (ResourceType, Prefix::Dav, "resourcetype"),
    (ContentLength, Prefix::Dav, "getcontentlength"),
    (LastModified, Prefix::Dav, "getlastmodified"),
    (CreationDate, Prefix::Dav, "creationdate"),
    (EntityTag, Prefix::Dav, "getetag"),
    (ContentType, Prefix::Dav, "getcontenttype"),
    (DisplayName, Prefix::Dav, "displayname"),
    (WindowsCreated, Prefix::Microsoft, "Win32CreationTime"),
    (WindowsAccessed, Prefix::Microsoft, "Win32LastAccessTime"),
    (WindowsModified, Prefix::Microsoft, "Win32LastModifiedTime"),
    (WindowsAttributes, Prefix::Microsoft, "Win32FileAttributes"),
    (Modified, Prefix::Own, "modified"),
    (Accessed, Prefix::Own, "accessed"),
    (Changed, Prefix::Own, "changed"),
    (Born, Prefix::Own, "born"),
    (Mode, Prefix::Own, "mode"),
    (Link, Prefix::Own, "link"),
    (Collected, Prefix::Own, "collected"),
];

/// What "all" means: the live properties of RFC 4918 that cost nothing. The Windows client gets only what it uses, because the
/// size of its listings is limited (docs/webdav-clients.md §2.1).
const ALL: [Property; 7] =
    [ResourceType, ContentLength, LastModified, CreationDate, EntityTag, ContentType, DisplayName];
const ALL_FOR_WINDOWS: [Property; 4] = [ResourceType, ContentLength, LastModified, CreationDate];

/// A namespace prefix in our answers. Windows needs elements to have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefix {
    Dav,
    Microsoft,
    Own,
}

impl Prefix {
    fn namespace(self) -> &'static str {
        match self {
            Prefix::Dav => "DAV:",
            Prefix::Microsoft => MICROSOFT,
            Prefix::Own => OWN,
        }
    }
}

impl Property {
    fn from_name(name: &Name) -> Option<Property> {
        TABLE
            .iter()
            .find(|(_, prefix, local)| *local == name.local && prefix.namespace() == name.namespace)
            .map(|(property, _, _)| *property)
    }

    /// Name with prefix, as it is written.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            ResourceType => "D:resourcetype",
            ContentLength => "D:getcontentlength",
            LastModified => "D:getlastmodified",
            CreationDate => "D:creationdate",
            EntityTag => "D:getetag",
            ContentType => "D:getcontenttype",
            DisplayName => "D:displayname",
            WindowsCreated => "Z:Win32CreationTime",
            WindowsAccessed => "Z:Win32LastAccessTime",
            WindowsModified => "Z:Win32LastModifiedTime",
            WindowsAttributes => "Z:Win32FileAttributes",
            Modified => "R:modified",
            Accessed => "R:accessed",
            Changed => "R:changed",
            Born => "R:born",
            Mode => "R:mode",
            Link => "R:link",
            Collected => "R:collected",
        }
    }
}

/// The properties to write for each resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Those that exist here.
    pub known: Vec<Property>,
    /// Elements of those that nothing here has, ready to be written.
    pub unknown: Vec<u8>,
    /// Only names are wanted.
    pub names_only: bool,
    /// What a resource does not have is left out instead of being reported as 404.
    pub lenient: bool,
}

impl Selection {
    /// From what was asked. Windows asks for all and means what it knows; `windows_attributes` gives it those that tell what was
    /// collected.
    pub(crate) fn new(asked: Asked, class: ClientClass, windows_attributes: bool) -> Selection {
        match asked {
            Asked::All { include } => {
                let is_windows = class == ClientClass::MiniRedir;
                let mut known = if is_windows { ALL_FOR_WINDOWS.to_vec() } else { ALL.to_vec() };
                if is_windows && windows_attributes {
                    known.push(WindowsAttributes);
                }
                let mut selection = Selection { known, unknown: Vec::new(), names_only: false, lenient: true };
                selection.add(&include);
                selection
            }
            Asked::Names => {
                let known = TABLE.iter().map(|(property, _, _)| *property).collect();
                Selection { known, unknown: Vec::new(), names_only: true, lenient: true }
            }
            Asked::Named(names) => {
                let mut selection =
                    Selection { known: Vec::new(), unknown: Vec::new(), names_only: false, lenient: false };
                selection.add(&names);
                selection
            }
        }
    }

    fn add(&mut self, names: &[Name]) {
        let mut seen = std::collections::HashSet::new();
        for name in names.iter().filter(|name| seen.insert(*name)) {
            match Property::from_name(name) {
                Some(property) if self.known.contains(&property) => {}
                Some(property) => self.known.push(property),
                None => write_unknown(&mut self.unknown, name),
            }
        }
    }

    /// The start of the answer, with the namespaces that this selection needs.
    pub(crate) fn opening(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(200);
        out.extend_from_slice(br#"<?xml version="1.0" encoding="utf-8"?><D:multistatus xmlns:D="DAV:""#);
        if self.known.iter().any(|property| property.tag().starts_with("Z:")) {
            out.extend_from_slice(br#" xmlns:Z="urn:schemas-microsoft-com:""#);
        }
        if self.known.iter().any(|property| property.tag().starts_with("R:")) {
            out.extend_from_slice(br#" xmlns:R="urn:raptorgate""#);
        }
        out.push(b'>');
        out
    }
}

/// The end of the answer.
pub(crate) const CLOSING: &[u8] = b"</D:multistatus>";

/// An empty element of any namespace.
pub(crate) fn write_unknown(out: &mut Vec<u8>, name: &Name) {
    if name.namespace == "DAV:" {
        out.extend_from_slice(b"<D:");
        out.extend_from_slice(name.local.as_bytes());
        out.extend_from_slice(b"/>");
    } else if name.namespace.is_empty() {
        out.push(b'<');
        out.extend_from_slice(name.local.as_bytes());
        out.extend_from_slice(b"/>");
    } else {
        out.extend_from_slice(b"<N:");
        out.extend_from_slice(name.local.as_bytes());
        out.extend_from_slice(b" xmlns:N=\"");
        escape_into(out, &name.namespace);
        out.extend_from_slice(b"\"/>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_the_tags_and_the_namespaces_agree() {
        for (property, prefix, local) in TABLE {
            let name = Name { namespace: prefix.namespace().into(), local: local.into() };
            assert_eq!(Property::from_name(&name), Some(property));
            assert_eq!(property.tag().split_once(':').unwrap().1, local);
        }
        assert_eq!(Property::from_name(&Name::dav("quota-used-bytes")), None);
        assert_eq!(Property::from_name(&Name { namespace: OWN.into(), local: "getetag".into() }), None);
    }

    #[test]
    fn what_nothing_has_is_written_back_with_its_namespace() {
        let names = vec![
            Name::dav("quota-used-bytes"),
            Name { namespace: "urn:a&b".into(), local: "x".into() },
            Name { namespace: String::new(), local: "bare".into() },
            Name::dav("quota-used-bytes"),
        ];
        let selection = Selection::new(Asked::Named(names), ClientClass::Other, false);
        let text = String::from_utf8(selection.unknown).unwrap();
        assert_eq!(text, "<D:quota-used-bytes/><N:x xmlns:N=\"urn:a&amp;b\"/><bare/>");
        assert!(selection.known.is_empty());
    }
}
