//! `api_client.yaml`: where the server is and who we are to it (docs/velociraptor-api.md §1.1).

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The file that `velociraptor config api_client` writes.
///
/// It holds a private key: `Debug` leaves the key out.
#[derive(Clone, serde::Deserialize)]
pub struct ApiConfig {
    /// The deployment's own CA, PEM: the only one that is trusted.
    pub ca_certificate: String,
    /// Our certificate, PEM.
    pub client_cert: String,
    /// Our key, PEM, not encrypted.
    pub client_private_key: String,
    /// `host:port`, or `unix:///path`.
    pub api_connection_string: String,
    /// Common name of our certificate; informative.
    #[serde(default)]
    pub name: String,
    /// Name that the server's certificate has; empty: `VelociraptorServer`.
    #[serde(default)]
    pub pinned_server_name: String,
    /// The longest answer that is accepted, in bytes; 0: 64 MiB.
    #[serde(default)]
    pub max_grpc_recv_size: u64,
}

/// Why the file cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct ConfigError {
    path: PathBuf,
    problem: String,
}

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(String),
    Unix(PathBuf),
}

const SERVER_NAME: &str = "VelociraptorServer";
/// A file with three PEM blocks has some 6 KB; anything much longer is something else.
const MAX_FILE_BYTES: u64 = 1 << 20;
const MAX_RECEIVE: usize = 1 << 30;
const DEFAULT_RECEIVE: usize = 64 << 20;

impl ApiConfig {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub fn load(path: &Path) -> Result<ApiConfig, ConfigError> {
        let fail = |problem: String| ConfigError { path: path.to_owned(), problem };
        let metadata = std::fs::metadata(path).map_err(|error| fail(open_problem(&error)))?;
        if metadata.len() > MAX_FILE_BYTES {
            return Err(fail("this is no api_client.yaml: it is larger than 1 MiB".into()));
        }
        let text = std::fs::read(path).map_err(|error| fail(open_problem(&error)))?;
        let text =
            String::from_utf8(text).map_err(|_| fail("this is no api_client.yaml: it is not UTF-8 text".into()))?;
        warn_about_permissions(path, &metadata);
        ApiConfig::parse(&text).map_err(fail)
    }

    /// Reads and checks the text of a file; the error says what is wrong and what to do.
    ///
    /// # Errors
    /// One line without the path.
    pub fn parse(text: &str) -> Result<ApiConfig, String> {
        let config: ApiConfig = serde_yaml::from_str(text).map_err(|error| yaml_problem(&error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        check_pem(&self.ca_certificate, "ca_certificate", "CERTIFICATE")?;
        check_pem(&self.client_cert, "client_cert", "CERTIFICATE")?;
        if self.client_private_key.contains("ENCRYPTED") {
            return Err("client_private_key is encrypted: write the file again without --password \
                        (velociraptor config api_client), and keep it readable for its owner only"
                .into());
        }
        check_pem(&self.client_private_key, "client_private_key", "PRIVATE KEY")?;
        self.address().map(|_| ())
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> Result<Address, String> {
        let text = self.api_connection_string.trim();
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(format!("api_connection_string is {text}: a socket is written unix:///absolute/path"));
            }
            return Ok(Address::Unix(PathBuf::from(path)));
        }
        let hint = "it should be HOST:PORT, such as 127.0.0.1:8001";
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("api_connection_string is `{text}`: {hint}"))?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let plain = !host.is_empty() && !host.contains([':', '/', '@', ' ', '[', ']']);
        if !(plain || bracketed) || port.parse::<u16>().is_err() {
            return Err(format!("api_connection_string is `{text}`: {hint}"));
        }
        Ok(Address::Tcp(text.to_owned()))
    }

    /// Name that the server's certificate must have, whatever the host is called (§1.2).
    pub(crate) fn server_name(&self) -> &str {
        let pinned = self.pinned_server_name.trim();
        if pinned.is_empty() { SERVER_NAME } else { pinned }
    }

    /// The longest answer that is accepted, in bytes.
    pub(crate) fn receive_limit(&self) -> usize {
        match usize::try_from(self.max_grpc_recv_size) {
            Ok(0) => DEFAULT_RECEIVE,
            Ok(bytes) => bytes.min(MAX_RECEIVE),
            Err(_) => MAX_RECEIVE,
        }
    }
}

impl fmt::Debug for ApiConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ApiConfig")
            .field("api_connection_string", &self.api_connection_string)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn open_problem(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "no such file: write one on the server with `velociraptor --config server.config.yaml config \
             api_client --name raptorgate --role investigator,api api_client.yaml`"
                .into()
        }
        std::io::ErrorKind::PermissionDenied => {
            "cannot be read by this user: run as its owner, or give it to this user".into()
        }
        _ => format!("cannot be read: {error}"),
    }
}

fn yaml_problem(error: &str) -> String {
    let first = error.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unreadable");
    let missing = ["ca_certificate", "client_cert", "client_private_key", "api_connection_string"]
        .into_iter()
        .find(|key| first.contains("missing field") && first.contains(&format!("`{key}`")));
    match missing {
        Some(key) => {
            format!("the key {key} is missing: this is not the file that `velociraptor config api_client` writes")
        }
        None => format!("this is no api_client.yaml: {first}"),
    }
}

/// Checks that `text` holds a PEM block whose label ends with `label`, and that its body is base64.
fn check_pem(text: &str, key: &str, label: &str) -> Result<(), String> {
    let broken = |what: &str| format!("{key} {what}: copy the file again from the server, with its line breaks");
    let begin = text.find("-----BEGIN ").ok_or_else(|| broken("is no PEM text"))?;
    let block = text.get(begin..).unwrap_or_default();
    let mut lines = block.lines().map(str::trim);
    let head = lines.next().unwrap_or_default();
    let found = head.strip_prefix("-----BEGIN ").and_then(|head| head.strip_suffix("-----")).unwrap_or_default();
    if !found.ends_with(label) {
        return Err(broken(&format!("holds a PEM block `{found}`, not `{label}`")));
    }
    let end = format!("-----END {found}-----");
    let mut body = String::with_capacity(block.len());
    let mut closed = false;
    for line in lines {
        if line == end {
            closed = true;
            break;
        }
        body.push_str(line);
    }
    if !closed {
        return Err(broken("is cut off"));
    }
    match STANDARD.decode(&body) {
        Ok(bytes) if !bytes.is_empty() => Ok(()),
        _ => Err(broken("is damaged")),
    }
}

#[cfg(unix)]
pub(crate) fn warn_about_permissions(path: &Path, metadata: &std::fs::Metadata) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{mode:03o}"),
            "the file holds a secret that other users can reach: chmod 600 it"
        );
    }
}

#[cfg(not(unix))]
pub(crate) fn warn_about_permissions(_path: &Path, _metadata: &std::fs::Metadata) {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pem(label: &str) -> String {
        format!("  -----BEGIN {label}-----\n  AAAAAAAA\n  -----END {label}-----\n")
    }

    fn yaml() -> String {
        format!(
            "ca_certificate: |\n{}client_cert: |\n{}client_private_key: |\n{}api_connection_string: 127.0.0.1:8001\nname: gateway\n",
            pem("CERTIFICATE"),
            pem("CERTIFICATE"),
            pem("RSA PRIVATE KEY")
        )
    }

    #[test]
    fn the_file_of_the_command_line_tool_is_read() {
        let config = ApiConfig::parse(&yaml()).unwrap();
        assert_eq!(config.address().unwrap(), Address::Tcp("127.0.0.1:8001".into()));
        assert_eq!(config.name, "gateway");
        assert_eq!(config.server_name(), "VelociraptorServer");
        assert_eq!(config.receive_limit(), 64 << 20);
    }

    #[test]
    fn fields_added_by_hand_are_honoured() {
        let config =
            ApiConfig::parse(&format!("{}pinned_server_name: Other\nmax_grpc_recv_size: 1000000\n", yaml())).unwrap();
        assert_eq!(config.server_name(), "Other");
        assert_eq!(config.receive_limit(), 1_000_000);
    }

    #[test]
    fn a_socket_of_this_machine_is_an_address() {
        let config = ApiConfig::parse(&yaml().replace("127.0.0.1:8001", "unix:///run/velociraptor.sock")).unwrap();
        assert_eq!(config.address().unwrap(), Address::Unix("/run/velociraptor.sock".into()));
    }

    #[test]
    fn every_fault_of_the_file_is_one_line_that_says_what_to_do() {
        let without_ca = yaml().replace("ca_certificate", "ca_certificat");
        let cases = [
            (without_ca.as_str(), "the key ca_certificate is missing"),
            (&yaml().replace("RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "without --password"),
            (&yaml().replace("AAAAAAAA", "A?"), "ca_certificate is damaged"),
            (&yaml().replace("127.0.0.1:8001", "server"), "HOST:PORT"),
            (&yaml().replace("127.0.0.1:8001", "https://server:8001"), "HOST:PORT"),
            (&yaml().replace("127.0.0.1:8001", "unix://run/x"), "unix:///absolute/path"),
            (&yaml().replace("-----END CERTIFICATE-----", ""), "ca_certificate is cut off"),
            ("just text", "no api_client.yaml"),
            ("", "no api_client.yaml"),
        ];
        for (text, expected) in cases {
            let problem = ApiConfig::parse(text).unwrap_err();
            assert!(problem.contains(expected), "{problem:?} should contain {expected:?}");
            assert!(!problem.contains('\n'), "{problem:?} is one line");
        }
    }

    #[test]
    fn a_missing_file_says_how_to_make_one() {
        let error = ApiConfig::load(Path::new("/nonexistent/api_client.yaml")).unwrap_err();
        assert!(error.to_string().contains("config api_client"), "{error}");
    }

    #[test]
    fn the_key_is_never_printed() {
        let config = ApiConfig::parse(&yaml()).unwrap();
        assert!(!format!("{config:?}").contains("PRIVATE"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,200}", address in "\\PC{0,30}") {
            let _ = ApiConfig::parse(&text);
            let yaml = yaml().replace("127.0.0.1:8001", &serde_json::to_string(&address).unwrap());
            if let Ok(config) = ApiConfig::parse(&yaml) {
                prop_assert!(config.address().is_ok());
            }
        }
    }
}
