//! The state directory itself: made private, locked against a second gateway, marked with the version of its format.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// What `format` says. A change of the layout or of any record's meaning takes the next number.
const FORMAT: &str = "raptorgate state 1\n";
/// Evidence is nobody else's business.
const PRIVATE_DIRECTORY: u32 = 0o700;
/// As above.
pub(crate) const PRIVATE_FILE: u32 = 0o600;

/// A state directory that is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct Layout {
    state: PathBuf,
    /// Released by the operating system when the process ends in whatever way.
    _lock: File,
}

impl Layout {
    /// Makes the directory if need be, locks it, and checks its format.
    pub(crate) fn claim(state: &Path) -> Result<Layout, OpenError> {
        make_private(state)?;
        let lock = lock(state)?;
        check_format(state)?;
        let layout = Layout { state: state.into(), _lock: lock };
        make_private(&layout.content())?;
        Ok(layout)
    }

    /// Where the embedded store lives.
    pub(crate) fn index(&self) -> PathBuf {
        self.state.join("index")
    }

    /// Where contents live.
    pub(crate) fn content(&self) -> PathBuf {
        self.state.join("content")
    }

    /// The state directory.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }
}

/// Makes `directory` and what is missing above it, readable by the owner only.
pub(crate) fn make_private(directory: &Path) -> Result<(), OpenError> {
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_DIRECTORY)
        .create(directory)
        .map_err(|error| OpenError::io(directory, error))
}

fn lock(state: &Path) -> Result<File, OpenError> {
    let path = state.join("lock");
    let failed = |error| OpenError::io(&path, error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE_FILE)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = Read::take(&file, 32).read_to_string(&mut text);
            let pid = read.ok().and_then(|_| text.trim().parse().ok());
            return Err(OpenError::InUse { state: state.into(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

fn check_format(state: &Path) -> Result<(), OpenError> {
    let path = state.join("format");
    match fs::read_to_string(&path) {
        Ok(found) if found == FORMAT => Ok(()),
        Ok(found) => {
            Err(OpenError::Format { state: state.into(), found: found.trim_end().into(), expected: FORMAT.trim_end() })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => write_whole(&path, FORMAT.as_bytes()),
        Err(error) => Err(OpenError::io(&path, error)),
    }
}

/// Writes a small private file so that it is there whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    let unfinished = path.with_extension("new");
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE_FILE).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|error| OpenError::io(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_gateways_cannot_use_one_state() {
        let state = tempfile::tempdir().unwrap();
        let first = Layout::claim(state.path()).unwrap();
        let refusal = Layout::claim(state.path()).unwrap_err();
        assert!(matches!(&refusal, OpenError::InUse { pid, .. } if *pid == Some(std::process::id())), "{refusal}");
        drop(first);
        Layout::claim(state.path()).unwrap();
    }

    #[test]
    fn a_state_of_another_format_is_refused_and_left_alone() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("format");
        fs::write(&path, "raptorgate state 99\n").unwrap();
        let refusal = Layout::claim(state.path()).unwrap_err().to_string();
        assert!(refusal.contains("state 99") && refusal.contains("state 1"), "{refusal}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "raptorgate state 99\n");
    }

    #[test]
    fn the_state_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let state = parent.path().join("a/state");
        let layout = Layout::claim(&state).unwrap();
        for directory in [&state, &layout.content()] {
            assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
        }
        for file in ["lock", "format"] {
            assert_eq!(fs::metadata(state.join(file)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
