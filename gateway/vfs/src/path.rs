//! Where a directory or file is: endpoint, accessor and raw components, never joined and split again.

use std::fmt;
use std::sync::Arc;

use crate::endpoint::EndpointId;
use crate::error::{Error, ErrorKind, Result};

/// The longest component any accessor has: a Windows name has 255 UTF-16 units, so at most 765 bytes; registry value names
/// have up to 16,383 characters.
pub const MAX_COMPONENT_BYTES: usize = 65_535;
/// The deepest path that is accepted.
pub const MAX_COMPONENTS: usize = 1_024;

/// A place on an endpoint: accessor and raw components below it. No components: the accessor's own root.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct EndpointPath {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Velociraptor's accessor: `auto`, `ntfs`, `registry`, `file`, …
    pub accessor: Arc<str>,
    /// Raw components, as the endpoint spells them.
    pub components: Arc<[Arc<str>]>,
}

impl EndpointPath {
    /// The root of an accessor.
    pub fn accessor_root(endpoint: EndpointId, accessor: impl Into<Arc<str>>) -> EndpointPath {
        EndpointPath { endpoint, accessor: accessor.into(), components: Arc::from([]) }
    }

    /// The path of the child called `name`.
    ///
    /// # Errors
    /// `Invalid` for names that must never reach an endpoint: empty, `.`, `..` (the server would pass `..` through,
    /// docs/velociraptor-api.md §4.1), or a UNC first component.
    pub fn child(&self, name: &str) -> Result<EndpointPath> {
        check_component(name, self.components.is_empty())?;
        if self.components.len() >= MAX_COMPONENTS {
            return Err(Error::new(ErrorKind::NameTooLong, "the path has too many components"));
        }
        let mut components = Vec::with_capacity(self.components.len() + 1);
        components.extend(self.components.iter().cloned());
        components.push(Arc::from(name));
        Ok(EndpointPath {
            endpoint: self.endpoint.clone(),
            accessor: self.accessor.clone(),
            components: components.into(),
        })
    }

    /// The path of the directory that holds this; `None` at the accessor's root.
    pub fn parent(&self) -> Option<EndpointPath> {
        let (_, rest) = self.components.split_last()?;
        Some(EndpointPath { endpoint: self.endpoint.clone(), accessor: self.accessor.clone(), components: rest.into() })
    }

    /// The last component; `None` at the accessor's root.
    pub fn name(&self) -> Option<&str> {
        self.components.last().map(AsRef::as_ref)
    }
}

impl fmt::Display for EndpointPath {
    /// For people and the ledger only: never parsed.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "/{}/{}", self.endpoint, self.accessor)?;
        for component in self.components.iter() {
            write!(formatter, "/{component}")?;
        }
        Ok(())
    }
}

/// Refuses components that could leave the endpoint or the sub-tree (D2).
///
/// # Errors
/// `Invalid` with the reason; `NameTooLong` past [`MAX_COMPONENT_BYTES`].
pub fn check_component(name: &str, first: bool) -> Result<()> {
    if name.is_empty() || name == "." || name == ".." {
        return Err(Error::invalid("the components `.`, `..` and the empty one are never sent to an endpoint"));
    }
    if name.contains('\0') {
        return Err(Error::invalid("a name cannot contain a zero byte"));
    }
    if first && (name.starts_with(r"\\") && !is_device_namespace(name) || name.starts_with("//")) {
        return Err(Error::invalid("network paths are not served: they would make the endpoint contact other hosts"));
    }
    if name.len() > MAX_COMPONENT_BYTES {
        return Err(Error::new(ErrorKind::NameTooLong, "the name is longer than any accessor allows"));
    }
    Ok(())
}

/// `\\.\C:` and `\\?\GLOBALROOT\Device\…` are volumes of the endpoint itself, not of another host.
fn is_device_namespace(name: &str) -> bool {
    let rest = name.strip_prefix(r"\\.\").or_else(|| name.strip_prefix(r"\\?\"));
    rest.is_some_and(|rest| {
        let upper = rest.to_ascii_uppercase();
        !upper.starts_with("UNC\\")
            && !upper.starts_with("GLOBALROOT\\DEVICE\\MUP")
            && !upper.starts_with("GLOBALROOT\\DEVICE\\LANMAN")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_endpoint() {
        let root = EndpointPath::accessor_root(EndpointId::root_org("C.1"), "auto");
        for bad in ["", ".", "..", r"\\host", r"\\?\UNC\host", "//host", "a\0b", r"\\?\globalroot\device\mup\host"] {
            assert_eq!(root.child(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad:?}");
        }
        for good in ["...", "C:", r"\\.\C:", r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy1", "a/b", " "] {
            assert!(root.child(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn the_parent_of_a_child_is_the_directory() {
        let root = EndpointPath::accessor_root(EndpointId::root_org("C.1"), "auto");
        let child = root.child("etc").unwrap().child("hosts").unwrap();
        assert_eq!(child.to_string(), "/C.1/auto/etc/hosts");
        assert_eq!(child.parent().unwrap().parent().unwrap(), root);
        assert_eq!(root.parent(), None);
        assert_eq!(child.name(), Some("hosts"));
    }
}
