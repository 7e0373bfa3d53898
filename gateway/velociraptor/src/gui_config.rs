//! Where the server's GUI is and who we are to it (docs/velociraptor-api.md §10).

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::config::warn_about_permissions;

/// A way to the server through its GUI, for servers whose API port cannot be reached.
///
/// `Debug` leaves out what is secret.
#[derive(Clone)]
pub struct GuiConfig {
    pub(crate) url: GuiUrl,
    pub(crate) login: Login,
    /// The only CAs that are trusted, PEM; `None`: those of this machine.
    pub(crate) ca: Option<Vec<u8>>,
}

/// Who we are.
#[derive(Clone)]
pub(crate) enum Login {
    /// Basic authentication.
    Password { user: String, password: String },
    /// A client certificate and its key, PEM.
    Certificate { chain: Vec<u8>, key: Vec<u8> },
}

/// `https://host:port/base/`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuiUrl {
    /// Without brackets if it is an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `GUI.base_path`: empty, or with a slash in front and none at the end.
    pub(crate) base: String,
}

/// Why this cannot work, and what to do about it: one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GuiConfigError(String);

/// What names a GUI and us to it, as a user gives it.
#[derive(Debug, Clone, Default)]
pub struct GuiLogin {
    /// The user of the GUI.
    pub user: Option<String>,
    /// The file with the user's password.
    pub password_file: Option<PathBuf>,
    /// The file with our certificate, PEM.
    pub certificate: Option<PathBuf>,
    /// The file with its key, PEM.
    pub key: Option<PathBuf>,
}

/// The variable that may hold the password.
pub const PASSWORD_VARIABLE: &str = "RAPTORGATE_GUI_PASSWORD";
/// Of `https`; the GUI itself usually listens at 8889, which its URL then says.
const PORT: u16 = 443;
/// Passwords, certificates and keys are short.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl GuiConfig {
    /// Puts together and checks what the user gave. `password` is what the variable [`PASSWORD_VARIABLE`] holds.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub fn load(
        url: &str,
        login: &GuiLogin,
        password: Option<String>,
        ca: Option<&Path>,
    ) -> Result<GuiConfig, GuiConfigError> {
        let url = GuiUrl::parse(url).map_err(GuiConfigError)?;
        let login = read_login(login, password)?;
        let ca = ca.map(|file| read_pem(file, "CERTIFICATE")).transpose()?;
        Ok(GuiConfig { url, login, ca })
    }

    /// The address, with the base path.
    pub fn address(&self) -> String {
        self.url.to_string()
    }

    /// Our name on the server, as far as we know it.
    pub fn user(&self) -> String {
        match &self.login {
            Login::Password { user, .. } => user.clone(),
            Login::Certificate { chain, .. } => common_name(chain).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for GuiConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GuiConfig").field("url", &self.url).field("user", &self.user()).finish_non_exhaustive()
    }
}

impl GuiUrl {
    /// Takes a URL apart. What a browser shows, `…/app/index.html#/…`, is understood as well.
    pub(crate) fn parse(text: &str) -> Result<GuiUrl, String> {
        let wrong = |why: &str| {
            format!(
                "the URL of the GUI is `{text}`: {why}; it should be like https://server:8889/, with GUI.base_path if the server has one"
            )
        };
        let Some(rest) = text.trim().strip_prefix("https://") else {
            return Err(match text.trim().strip_prefix("http://") {
                Some(_) => wrong("without TLS everybody on the way could read the password and change evidence"),
                None => wrong("it does not begin with https://"),
            });
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(wrong("user and password do not belong there (--gui-user, --gui-password-file)"));
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').or(port.is_empty().then_some(""))),
            None => authority.split_once(':').map_or((authority, Some("")), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some("") => Some(PORT),
            Some(port) => port.parse().ok().filter(|port| *port != 0),
            None => None,
        };
        let port = port.ok_or_else(|| wrong("its port is no number"))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
            return Err(wrong("it names no host"));
        }
        let path = path.find("/app/").map_or(path, |at| &path[..at]);
        let base = path.trim_end_matches('/');
        let base = base.strip_suffix("/app").unwrap_or(base);
        if !base.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)) {
            return Err(wrong("its path has characters that a URL cannot have"));
        }
        Ok(GuiUrl { host: host.to_owned(), port, base: base.to_owned() })
    }

    /// `host:port`, with brackets where they are needed.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for GuiUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "https://{}{}/", self.authority(), self.base)
    }
}

fn read_login(login: &GuiLogin, password: Option<String>) -> Result<Login, GuiConfigError> {
    let say = |text: &str| Err(GuiConfigError(text.to_owned()));
    match (&login.certificate, &login.key) {
        (Some(chain), Some(key)) => {
            if login.user.is_some() || login.password_file.is_some() {
                return say(
                    "either a user with a password or a certificate with its key: the GUI asks for one of them",
                );
            }
            warn(key);
            let (chain, key) = (read_pem(chain, "CERTIFICATE")?, read_pem(key, "PRIVATE KEY")?);
            return Ok(Login::Certificate { chain, key });
        }
        (Some(_), None) => return say("--gui-certificate needs --gui-key FILE, the certificate's private key"),
        (None, Some(_)) => return say("--gui-key needs --gui-certificate FILE, the certificate of this key"),
        (None, None) => {}
    }
    let Some(user) = login.user.clone().filter(|user| !user.is_empty()) else {
        return say(
            "who are we to the GUI? --gui-user NAME with a password, or --gui-certificate FILE and --gui-key FILE",
        );
    };
    if user.contains(':') || user.contains(char::is_control) {
        return say("the name of a user of the GUI has no colon in it");
    }
    let password = match &login.password_file {
        Some(file) => {
            warn(file);
            let text = String::from_utf8(read(file)?).map_err(|_| {
                GuiConfigError(format!("{}: this is no password: it is not UTF-8 text", file.display()))
            })?;
            text.lines().next().unwrap_or_default().to_owned()
        }
        None => password.unwrap_or_default(),
    };
    if password.is_empty() {
        return Err(GuiConfigError(format!(
            "the password of {user} is missing: write it into a file of mode 600 and name it with --gui-password-file, or set the \
             variable {PASSWORD_VARIABLE}"
        )));
    }
    Ok(Login::Password { user, password })
}

/// Says that a secret lies open.
fn warn(file: &Path) {
    if let Ok(metadata) = std::fs::metadata(file) {
        warn_about_permissions(file, &metadata);
    }
}

fn read(file: &Path) -> Result<Vec<u8>, GuiConfigError> {
    let fail = |problem: String| GuiConfigError(format!("{}: {problem}", file.display()));
    let metadata = std::fs::metadata(file).map_err(|error| fail(format!("cannot be read: {error}")))?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(fail("larger than 1 MiB: this is another file".into()));
    }
    std::fs::read(file).map_err(|error| fail(format!("cannot be read: {error}")))
}

fn read_pem(file: &Path, label: &str) -> Result<Vec<u8>, GuiConfigError> {
    let pem = read(file)?;
    let text = String::from_utf8_lossy(&pem);
    let fail = |problem: &str| Err(GuiConfigError(format!("{}: {problem}", file.display())));
    if text.contains("ENCRYPTED") {
        return fail("the key is encrypted: write it without a password, readable for its owner only");
    }
    if !text.contains(&format!("{label}-----")) {
        return fail(&format!("there is no PEM block `{label}` in it"));
    }
    Ok(pem)
}

/// The common name of a certificate's subject, which comes after the issuer's (RFC 5280 §4.1).
fn common_name(pem: &[u8]) -> Option<String> {
    /// `id-at-commonName`, RFC 5280 appendix A.1.
    const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
    let certificate = CertificateDer::from_pem_slice(pem).ok()?;
    let der = certificate.as_ref();
    let at = der.windows(COMMON_NAME.len()).rposition(|window| window == COMMON_NAME)?;
    let value = der.get(at + COMMON_NAME.len()..)?;
    let length = value.get(1).copied().filter(|length| *length < 0x80)?;
    String::from_utf8(value.get(2..2 + usize::from(length))?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> GuiUrl {
        GuiUrl::parse(text).unwrap()
    }

    #[test]
    fn a_url_is_taken_apart() {
        for text in [
            "https://server:8889/",
            "https://server:8889",
            "https://server:8889/app/index.html#/dashboard",
            "https://server:8889/app/",
        ] {
            assert_eq!(url(text), GuiUrl { host: "server".into(), port: 8889, base: String::new() }, "{text}");
        }
        for text in
            ["https://server/velo", "https://server:443/velo/", "https://server/velo/app/index.html?org_id=root#/"]
        {
            assert_eq!(url(text), GuiUrl { host: "server".into(), port: 443, base: "/velo".into() }, "{text}");
        }
        assert_eq!(url("https://[::1]:8889/x/").to_string(), "https://[::1]:8889/x/");
        assert_eq!(url("https://[::1]").authority(), "[::1]:443");
    }

    #[test]
    fn every_fault_of_a_url_is_one_line_that_says_what_to_do() {
        let cases = [
            ("http://server:8889/", "without TLS"),
            ("server:8889", "https://"),
            ("https://", "no host"),
            ("https://server:port/", "port"),
            ("https://server:0/", "port"),
            ("https://name:secret@server/", "--gui-user"),
            ("https://server/a b", "path"),
        ];
        for (text, expected) in cases {
            let problem = GuiUrl::parse(text).unwrap_err();
            assert!(problem.contains(expected) && problem.contains("https://server:8889/"), "{problem:?}");
            assert!(!problem.contains('\n'), "{problem:?} is one line");
        }
    }

    #[test]
    fn a_login_is_whole_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            Some(folder.path().join(name))
        };
        let load = |login: &GuiLogin, password: Option<&str>| {
            GuiConfig::load("https://server", login, password.map(String::from), None)
        };
        let user = GuiLogin { user: Some("gateway".into()), ..GuiLogin::default() };
        assert!(load(&GuiLogin::default(), None).unwrap_err().to_string().contains("--gui-user"));
        assert!(load(&user, None).unwrap_err().to_string().contains("--gui-password-file"));
        let config = load(&user, Some("secret")).unwrap();
        assert!(
            matches!(&config.login, Login::Password { user, password } if user == "gateway" && password == "secret")
        );
        assert!(!format!("{config:?}").contains("secret"));
        let with_file = GuiLogin { password_file: file("password", "from the file\n"), ..user.clone() };
        let config = load(&with_file, Some("other")).unwrap();
        assert!(matches!(&config.login, Login::Password { password, .. } if password == "from the file"));

        let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let certificate = file("certificate.pem", &pem("CERTIFICATE"));
        let alone = GuiLogin { certificate: certificate.clone(), ..GuiLogin::default() };
        assert!(load(&alone, None).unwrap_err().to_string().contains("--gui-key"));
        let both = GuiLogin { key: file("key.pem", &pem("RSA PRIVATE KEY")), ..alone.clone() };
        assert!(matches!(load(&both, None).unwrap().login, Login::Certificate { .. }));
        let two = GuiLogin { user: Some("gateway".into()), ..both.clone() };
        assert!(load(&two, None).unwrap_err().to_string().contains("either"));
        let locked = GuiLogin { key: file("locked.pem", &pem("ENCRYPTED PRIVATE KEY")), ..alone };
        assert!(load(&locked, None).unwrap_err().to_string().contains("encrypted"));
    }

    proptest! {
        #[test]
        fn no_url_makes_it_fail(text in "(https://)?\\PC{0,40}|https://[a-z\\[\\]:/.@%]{0,30}") {
            if let Ok(url) = GuiUrl::parse(&text) {
                prop_assert_eq!(GuiUrl::parse(&url.to_string()), Ok(url));
            }
        }
    }
}
