//! The user and password of the WebDAV listener: made at the first start, kept private (D3).

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::private_file;

/// 32 symbols that nobody confuses and no shell or URL needs to quote.
const SYMBOLS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 5 bits each: 100 bits.
const LENGTH: usize = 20;
const USER: &str = "raptorgate";

/// Why the credentials cannot be used. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file is not as it should be.
    #[error("{} {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credentials {
    /// These credentials.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Credentials {
        Credentials { user: user.into(), password: password.into() }
    }

    /// The credentials in `STATE/webdav-password` (one line `user:password`), made if there are none yet.
    ///
    /// # Errors
    /// If the file is no such line, if others may read it, or if the operating system refuses. It is never overwritten.
    pub fn load_or_create(state: &Path) -> Result<Credentials, CredentialsError> {
        let path = state.join("webdav-password");
        let failed = |source| CredentialsError::Io { path: path.clone(), source };
        match fs::read_to_string(&path) {
            Ok(text) => {
                let wrong = |reason: String| CredentialsError::File { path: path.clone(), reason };
                if let Some(mode) = private_file::open_to_others(&path).map_err(failed)? {
                    return Err(wrong(format!("may be read by others (mode {mode:04o}): run `chmod 600` on it")));
                }
                let parsed = text.trim_end_matches(['\r', '\n']).split_once(':');
                let parsed = parsed.filter(|(user, password)| !user.is_empty() && !password.is_empty());
                let (user, password) = parsed.ok_or_else(|| {
                    wrong("is no line `user:password`: write one, or remove the file to have a new one made".into())
                })?;
                Ok(Credentials::new(user, password))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let made = Credentials::new(USER, random_password().map_err(failed)?);
                private_file::make_directory(state).map_err(failed)?;
                let line = format!("{}:{}\n", made.user, made.password);
                private_file::write(&path, line.as_bytes()).map_err(failed)?;
                Ok(made)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Whether somebody gave these. Takes the same time wherever they differ.
    pub fn matches(&self, user: &str, password: &str) -> bool {
        let given = [Sha256::digest(user), Sha256::digest(password)];
        let expected = [Sha256::digest(&self.user), Sha256::digest(&self.password)];
        let pairs = given.iter().flatten().zip(expected.iter().flatten());
        pairs.fold(0, |difference, (given, expected)| difference | (given ^ expected)) == 0
    }
}

/// A password of 100 random bits that can be typed.
///
/// # Errors
/// If the operating system gives no random bytes.
pub fn random_password() -> io::Result<String> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes)?;
    let symbols = bytes.iter().filter_map(|byte| SYMBOLS.get(usize::from(byte % 32)));
    Ok(symbols.map(|symbol| char::from(*symbol)).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn credentials_are_made_once_and_private() {
        let parent = tempfile::tempdir().unwrap();
        let state = parent.path().join("state");
        let made = Credentials::load_or_create(&state).unwrap();
        assert_eq!(Credentials::load_or_create(&state).unwrap(), made);
        assert_eq!(made.password().len(), LENGTH);
        let path = state.join("webdav-password");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Credentials::load_or_create(&state).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn a_file_without_credentials_is_refused_and_kept() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("webdav-password");
        for text in ["", "\n", "user", ":password", "user:\n"] {
            private_file::write(&path, text.as_bytes()).unwrap();
            assert!(Credentials::load_or_create(state.path()).is_err(), "{text:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        private_file::write(&path, b"alice:a:b c\r\n").unwrap();
        assert_eq!(Credentials::load_or_create(state.path()).unwrap(), Credentials::new("alice", "a:b c"));
    }

    #[test]
    fn only_the_right_user_with_the_right_password_matches() {
        let credentials = Credentials::new("alice", "secret");
        assert!(credentials.matches("alice", "secret"));
        for (user, password) in [("alice", "Secret"), ("bob", "secret"), ("", ""), ("alic", "esecret")] {
            assert!(!credentials.matches(user, password), "{user} {password}");
        }
    }

    #[test]
    fn passwords_are_never_shown_in_debug_output_and_never_repeat() {
        let made = random_password().unwrap();
        assert_ne!(made, random_password().unwrap());
        assert!(!format!("{:?}", Credentials::new("alice", made.clone())).contains(&made));
    }
}
