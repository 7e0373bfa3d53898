//! Names of the artifacts that the driver starts, and the text of those that an administrator installs once
//! (docs/velociraptor-api.md §8.1).

/// An artifact of our own: its name on the server and its definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Artifact {
    /// Name on the server.
    pub name: &'static str,
    /// Definition, as an administrator would paste it.
    pub yaml: &'static str,
}

/// Lists many directories in one flow.
pub const LIST_MANY: Artifact =
    Artifact { name: "Custom.Raptorgate.ListMany", yaml: include_str!("../artifacts/ListMany.yaml") };
/// Collects many files in one flow, with the endpoint's hashes.
pub const FETCH_MANY: Artifact =
    Artifact { name: "Custom.Raptorgate.FetchMany", yaml: include_str!("../artifacts/FetchMany.yaml") };
/// Collects ranges of one file, each as an upload of its own.
pub const READ_RANGES: Artifact =
    Artifact { name: "Custom.Raptorgate.ReadRanges", yaml: include_str!("../artifacts/ReadRanges.yaml") };

/// All of our own.
pub const ALL: [Artifact; 3] = [LIST_MANY, FETCH_MANY, READ_RANGES];

/// Lists a directory; the server's VFS shows its result (§4.3).
pub(crate) const LIST_DIRECTORY: &str = "System.VFS.ListDirectory";
/// Its source with one row per entry.
pub(crate) const LISTING: &str = "System.VFS.ListDirectory/Listing";
/// Its source with one row per directory that could be read.
pub(crate) const STATS: &str = "System.VFS.ListDirectory/Stats";
/// Collects a file; the server's VFS shows its result (§5.1).
pub(crate) const DOWNLOAD_FILE: &str = "System.VFS.DownloadFile";
/// The only source of [`LIST_MANY`].
pub(crate) const LIST_MANY_ROWS: &str = "Custom.Raptorgate.ListMany/Listing";
/// The source of [`READ_RANGES`] with one row per range.
pub(crate) const READ_RANGES_DATA: &str = "Custom.Raptorgate.ReadRanges/Data";
/// Its source with the file's size and times before it is read.
pub(crate) const READ_RANGES_STAT: &str = "Custom.Raptorgate.ReadRanges/Stat";
/// The same, after it was read.
pub(crate) const READ_RANGES_AFTER: &str = "Custom.Raptorgate.ReadRanges/After";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_has_the_name_it_is_started_by() {
        for artifact in ALL {
            assert_eq!(artifact.yaml.lines().next(), Some(format!("name: {}", artifact.name).as_str()));
        }
        assert!(LIST_MANY_ROWS.starts_with(LIST_MANY.name) && READ_RANGES_DATA.starts_with(READ_RANGES.name));
    }
}
