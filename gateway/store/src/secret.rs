//! The secret that identities and handles are made with: born at the first start, never changed, because every mount depends on it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::OpenError;
use crate::layout;

/// Bytes of the secret.
const LENGTH: usize = 32;

/// The secret of the state directory `state`; made (mode 0600) if there is none yet.
///
/// # Errors
/// `OpenError::Secret` if the file has another length or others may read it; it is never overwritten.
pub fn secret(state: &Path) -> Result<[u8; LENGTH], OpenError> {
    let path = state.join("secret");
    match fs::read(&path) {
        Ok(bytes) => checked(&path, &bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            layout::make_private(state)?;
            let mut bytes = [0; LENGTH];
            getrandom::fill(&mut bytes).map_err(|error| OpenError::io(&path, error.into()))?;
            layout::write_whole(&path, &bytes)?;
            // Handles minted with a secret that a power failure takes back would all be stale.
            File::open(state)
                .and_then(|directory| directory.sync_all())
                .map_err(|error| OpenError::io(state, error))?;
            Ok(bytes)
        }
        Err(error) => Err(OpenError::io(&path, error)),
    }
}

fn checked(path: &Path, bytes: &[u8]) -> Result<[u8; LENGTH], OpenError> {
    let wrong = |reason: String| OpenError::Secret { path: path.into(), reason };
    let mode = fs::metadata(path).map_err(|error| OpenError::io(path, error))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(wrong(format!("may be read by others (mode {mode:04o}): run `chmod 600` on it")));
    }
    bytes.try_into().map_err(|_| {
        wrong(format!(
            "has {} bytes instead of {LENGTH}: restore it from a backup, or remove it and mount again everywhere",
            bytes.len()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_made_once_and_private() {
        let parent = tempfile::tempdir().unwrap();
        let state = parent.path().join("state");
        let first = secret(&state).unwrap();
        assert_eq!(secret(&state).unwrap(), first);
        assert_ne!(first, [0; LENGTH]);
        assert_eq!(fs::metadata(state.join("secret")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_secret_of_another_length_is_refused_and_kept() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("secret");
        for length in [0, 31, 33] {
            layout::write_whole(&path, &vec![7; length]).unwrap();
            assert!(secret(state.path()).unwrap_err().to_string().contains(&format!("{length} bytes")));
            assert_eq!(fs::read(&path).unwrap().len(), length);
        }
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        let state = tempfile::tempdir().unwrap();
        secret(state.path()).unwrap();
        let path = state.path().join("secret");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(secret(state.path()).unwrap_err().to_string().contains("chmod 600"));
    }
}
