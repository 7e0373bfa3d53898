//! The uploads of one job as a tree: accessor first, then the components. Every upload has exactly one place in it, under a name that
//! can be shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;

use super::SETTLES;
use super::content::UploadDetails;
use crate::attributes::FileType;
use crate::backend::{ContentLocation, Observation, Upload};
use crate::error::{Error, Result};
use crate::node::Identity;
use crate::path::{MAX_COMPONENT_BYTES, MAX_COMPONENTS};
use crate::snapshot::{EntryFields, Rows, Times};
use crate::store::{Place, UploadsPlace};
use crate::tree::Directory;
use crate::vfs::Inner;

/// More uploads of one job are refused: all of them are in memory for a moment.
const MOST_UPLOADS: usize = 1_000_000;

impl Inner {
    /// Reads all uploads of a job and publishes them, the job's own directory last.
    pub(super) async fn read_uploads(self: &Arc<Self>, directory: &Arc<Directory>, place: &UploadsPlace) -> Result<()> {
        let now = self.clock.now();
        let job = self.job_of(directory).await?;
        let mut layout = Layout::default();
        let mut pages = self.backend.uploads(&place.job);
        while let Some(page) = pages.next().await {
            page?.into_iter().try_for_each(|upload| layout.add(upload))?;
        }
        drop(pages);
        let observation = Observation { job: job.id, by: job.by, started: job.started, seen: now, first_row: 0 };
        let settled = job.ended.is_some_and(|ended| now.since(ended) >= SETTLES);
        let stored = layout.stored.take();
        let mut listings = Vec::new();
        layout.top.into_listings(stored.as_ref(), Vec::new(), &mut listings)?;
        for (below, rows) in listings {
            let at = if below.is_empty() {
                directory.clone()
            } else {
                let path = |length: usize| below.iter().take(length);
                let identity = |length| {
                    path(length).fold(directory.node.own, |parent: Identity, name| self.keys.child(parent, name, 0))
                };
                let (parent, own) = (identity(below.len() - 1), identity(below.len()));
                let place = UploadsPlace { below, stored: stored.clone(), ..place.clone() };
                self.tree.known(directory.node.export, parent, own, Place::Uploads(place)).await?
            };
            self.publish_rows(&at, rows, observation.clone(), settled).await?;
        }
        Ok(())
    }
}

/// Uploads by their place.
#[derive(Default)]
struct Layout {
    top: Folder,
    /// Where the server keeps the job's uploads, in front of accessor and components.
    stored: Option<ContentLocation>,
    count: usize,
}

#[derive(Default)]
struct Folder {
    folders: BTreeMap<Arc<str>, Folder>,
    files: BTreeMap<Arc<str>, File>,
}

/// What is kept of an upload: 100,000 of them are in memory at once.
struct File {
    size: u64,
    /// Only if there is anything to say.
    details: Option<Box<UploadDetails>>,
}

impl Layout {
    fn add(&mut self, upload: Upload) -> Result<()> {
        self.count += 1;
        if self.count > MOST_UPLOADS {
            return Err(Error::backend(format!(
                "the flow uploaded more than {MOST_UPLOADS} files: more than can be shown as a tree"
            )));
        }
        if upload.components.len() >= MAX_COMPONENTS {
            return Err(Error::backend("the flow uploaded something with more components than a path can have"));
        }
        let Upload { accessor, components, opened_size, content } = upload;
        let own: Vec<&str> = std::iter::once(&accessor).chain(&components).map(String::as_str).collect();
        let stored = prefix(&content.location, &own);
        if self.stored.is_none() {
            self.stored.clone_from(&stored);
        }
        let mut shown: Vec<Arc<str>> = own.iter().map(|name| showable(name)).collect();
        if components.is_empty() {
            shown.push(showable(""));
        }
        let as_it_is = shown.iter().map(|name| &**name).eq(own.iter().copied());
        let mut details = UploadDetails {
            size_when_opened: (opened_size != content.size).then_some(opened_size),
            sparse: content.sparse,
            sha256_endpoint: content.sha256_endpoint,
            components: (!as_it_is).then(|| components.clone()),
            location: (!as_it_is || stored.is_none() || stored != self.stored).then(|| content.location.clone()),
        };
        let Some(mut name) = shown.pop() else { return Ok(()) };
        let folder = shown.into_iter().fold(&mut self.top, |folder, name| folder.folders.entry(name).or_default());
        // The same place twice is the same upload: the server kept the later one. Others only look alike.
        while let Some(other) = folder.files.get(&name)
            && !other.is_at(&details)
        {
            name = format!("{name}~").into();
            details.components = Some(components.clone());
            details.location = Some(content.location.clone());
        }
        let details = (details != UploadDetails::default()).then(|| Box::new(details));
        folder.files.insert(name, File { size: content.size, details });
        Ok(())
    }
}

impl File {
    /// Whether the server keeps it where `details` say of another one of the same name.
    fn is_at(&self, details: &UploadDetails) -> bool {
        self.details.as_ref().and_then(|own| own.location.as_ref()) == details.location.as_ref()
    }
}

impl Folder {
    /// The listings of this folder at `below` and of all below it, each after those below it.
    fn into_listings(
        self,
        stored: Option<&ContentLocation>,
        below: Vec<Arc<str>>,
        listings: &mut Vec<(Vec<Arc<str>>, Rows)>,
    ) -> Result<()> {
        let mut rows = Rows::new();
        let is_taken = |name: &str| self.folders.contains_key(name) || self.files.contains_key(name);
        for name in self.folders.keys() {
            let volume = volume(name).filter(|volume| below.len() == 1 && !is_taken(volume));
            push(&mut rows, FileType::Directory, name, volume.as_deref(), 0, None)?;
        }
        for (name, file) in &self.files {
            let details = file.details.as_deref();
            if !self.folders.contains_key(name) {
                push(&mut rows, FileType::Regular, name, None, file.size, details)?;
                continue;
            }
            // It was uploaded as a file, and something below it too: both are here.
            let mut other = format!("{name}~file");
            while is_taken(&other) {
                other.push('~');
            }
            let mut details = details.cloned().unwrap_or_default();
            if details.location.is_none() {
                details.location = stored.map(|stored| at(stored, &below, name));
            }
            if details.components.is_none() {
                details.components = Some(below.iter().skip(1).chain([name]).map(ToString::to_string).collect());
            }
            push(&mut rows, FileType::Regular, &other, None, file.size, Some(&details))?;
        }
        for (name, folder) in self.folders {
            let mut path = below.clone();
            path.push(name);
            folder.into_listings(stored, path, listings)?;
        }
        listings.push((below, rows));
        Ok(())
    }
}

/// Where the server keeps the upload `name` of the directory at `below`, if it keeps it under its own names.
pub(super) fn at(stored: &ContentLocation, below: &[Arc<str>], name: &str) -> ContentLocation {
    let mut location = stored.clone();
    location.components.extend(below.iter().map(ToString::to_string));
    location.components.push(name.to_owned());
    location
}

/// What stands in front of an upload's own names in its location, if they end it.
fn prefix(location: &ContentLocation, own: &[&str]) -> Option<ContentLocation> {
    let length = location.components.len().checked_sub(own.len())?;
    let (prefix, rest) = location.components.split_at(length);
    let ends = rest.iter().map(String::as_str).eq(own.iter().copied());
    ends.then(|| ContentLocation { org: location.org.clone(), components: prefix.to_vec() })
}

/// The name in the tree of a component, which a job may have called anything.
fn showable(name: &str) -> Arc<str> {
    match name {
        "" => "(empty)".into(),
        "." | ".." => format!("({name})").into(),
        name if name.len() > MAX_COMPONENT_BYTES => {
            let mut cut = MAX_COMPONENT_BYTES - 1;
            while !name.is_char_boundary(cut) {
                cut -= 1;
            }
            format!("{}~", &name[..cut]).into()
        }
        name => name.into(),
    }
}

/// How people call a volume of the raw file system: `C:`, `VSS3`.
fn volume(name: &str) -> Option<String> {
    if let Some(drive) = name.strip_prefix(r"\\.\") {
        return (drive.len() == 2 && drive.ends_with(':')).then(|| drive.to_owned());
    }
    let number = name.strip_prefix(r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy")?;
    (!number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())).then(|| format!("VSS{number}"))
}

fn push(
    rows: &mut Rows,
    file_type: FileType,
    name: &str,
    shown: Option<&str>,
    size: u64,
    details: Option<&UploadDetails>,
) -> Result<()> {
    let details = details.and_then(|details| serde_json::to_string(details).ok());
    let fits = rows.push(&EntryFields {
        name,
        shown,
        file_type,
        mode: if file_type == FileType::Directory { 0o555 } else { 0o444 },
        size,
        size_unknown: false,
        unfetchable: false,
        times: Times::default(), // the server does not keep them
        link: None,
        inline: None,
        details: details.as_deref(),
    });
    if fits { Ok(()) } else { Err(Error::backend("a directory of uploads is larger than a listing can be")) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::content::uploaded;
    use super::*;
    use crate::backend::{FetchedContent, Job};
    use crate::endpoint::EndpointId;
    use proptest::prelude::*;

    fn upload(accessor: &str, components: &[&str], size: u64) -> Upload {
        let components: Vec<String> = components.iter().map(|name| (*name).to_owned()).collect();
        let stored = ["kept", accessor].into_iter().map(str::to_owned).chain(components.iter().cloned());
        let location = ContentLocation { org: "root".into(), components: stored.collect() };
        let content = FetchedContent { size, location, sparse: false, sha256_endpoint: None };
        Upload { accessor: accessor.to_owned(), components, opened_size: size, content }
    }

    /// The tree by the joined names that are shown, and what each file is.
    fn tree(uploads: &[Upload]) -> HashMap<String, Option<FetchedContent>> {
        let mut layout = Layout::default();
        uploads.iter().for_each(|upload| layout.add(upload.clone()).unwrap());
        let stored = layout.stored.take();
        let mut listings = Vec::new();
        layout.top.into_listings(stored.as_ref(), Vec::new(), &mut listings).unwrap();
        let job = Job { endpoint: EndpointId::root_org("C.1"), id: "F.1".into() };
        let mut all = HashMap::new();
        for (below, rows) in listings {
            let place =
                UploadsPlace { job: job.clone(), name: "n".into(), below: below.clone(), stored: stored.clone() };
            for row in rows.iter() {
                assert!(!["", ".", ".."].contains(&row.name()));
                let path = below.iter().map(|name| &**name).chain([row.shown()]).collect::<Vec<_>>().join("/");
                let content = (row.file_type() == FileType::Regular).then(|| uploaded(&place, &row).unwrap());
                assert!(all.insert(path.clone(), content).is_none(), "{path} is there once");
            }
        }
        all
    }

    #[test]
    fn the_accessor_comes_first_and_volumes_have_the_names_that_people_know() {
        let uploads = [
            upload("auto", &["C:", "Windows", "a"], 1),
            upload("ntfs", &[r"\\.\C:", "$MFT"], 2),
            upload("ntfs", &[r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy3", "$MFT"], 3),
        ];
        let tree = tree(&uploads);
        assert_eq!(tree["auto/C:/Windows/a"].as_ref().unwrap(), &uploads[0].content);
        assert!(tree["ntfs/C:"].is_none() && tree["ntfs/VSS3"].is_none());
        assert_eq!(tree[r"ntfs/\\.\C:/$MFT"].as_ref().unwrap().size, 2);
    }

    #[test]
    fn what_is_a_file_and_a_directory_is_both() {
        let uploads = [
            upload("zip", &["a"], 1),
            upload("zip", &["a", "b"], 2),
            upload("zip", &["a~file"], 3),
            upload("zip", &[], 4),
            upload("zip", &["..", "", "x"], 5),
        ];
        let tree = tree(&uploads);
        assert_eq!(tree["zip/a/b"].as_ref().unwrap().size, 2);
        assert_eq!(tree["zip/a~file"].as_ref().unwrap().size, 3);
        assert_eq!(tree["zip/a~file~"].as_ref().unwrap(), &uploads[0].content);
        assert_eq!(tree["zip/(empty)"].as_ref().unwrap(), &uploads[3].content);
        assert_eq!(tree["zip/(..)/(empty)/x"].as_ref().unwrap(), &uploads[4].content);
    }

    #[test]
    fn the_same_place_twice_is_one_file_and_places_that_look_alike_are_two() {
        let mut elsewhere = upload("data", &["x"], 7);
        elsewhere.content.location.components = vec!["elsewhere".to_owned()];
        let uploads = [upload("data", &["x"], 5), upload("data", &["x"], 6), elsewhere.clone()];
        let tree = tree(&uploads);
        assert_eq!(tree["data/x"].as_ref().unwrap().size, 6);
        assert_eq!(tree["data/x~"].as_ref().unwrap(), &elsewhere.content);
        assert_eq!(tree.len(), 3);
        // In the other order too.
        let tree = self::tree(&[elsewhere.clone(), upload("data", &["x"], 5)]);
        assert_eq!(tree["data/x"].as_ref().unwrap(), &elsewhere.content);
        assert_eq!(tree["data/x~"].as_ref().unwrap(), &upload("data", &["x"], 5).content);
    }

    proptest! {
        #[test]
        fn every_upload_is_in_the_tree_once_with_its_own_content(
            paths in proptest::collection::hash_set(proptest::collection::vec("(\\(empty\\)|\\(\\.\\)|[ab]~?|\\.{0,2})", 0..4), 0..30),
            accessors in proptest::collection::vec("(auto|a|\\.\\.)", 30),
        ) {
            let uploads: Vec<Upload> = paths.iter().zip(&accessors).zip(0..).map(|((path, accessor), size)| {
                upload(accessor, &path.iter().map(String::as_str).collect::<Vec<_>>(), size)
            }).collect();
            let mut there: Vec<_> = tree(&uploads).into_values().flatten().map(|content| (content.size, content.location.components)).collect();
            let mut should: Vec<_> = uploads.into_iter().map(|upload| (upload.content.size, upload.content.location.components)).collect();
            there.sort();
            should.sort();
            prop_assert_eq!(there, should);
        }
    }
}
