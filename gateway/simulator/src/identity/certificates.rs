//! The deployment's own CA, the server's certificate, API certificates and `api_client.yaml`
//! (`docs/velociraptor-api.md` §1.1, §1.2, §1.3).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::clock::Clock;
use crate::disk;
use crate::error::Error;

/// CN and SAN of the server, whatever host it runs on.
pub(crate) const SERVER_NAME: &str = "VelociraptorServer";

const DAYS_OF_THE_CA: i64 = 3650;
const DAYS_OF_A_LEAF: i64 = 365;

/// The CA with its key, and the server's identity.
pub(crate) struct Authority {
    folder: PathBuf,
    clock: Clock,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, both PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    /// Opens the CA under `folder`, or makes one.
    pub(crate) fn open(folder: &Path, clock: Clock) -> Result<Self, Error> {
        disk::make_folder(folder)?;
        let certificate_path = folder.join("ca.pem");
        let key_path = folder.join("ca.key");
        let params = ca_params(&clock)?;
        if certificate_path.exists() && key_path.exists() {
            let certificate = std::fs::read_to_string(&certificate_path).map_err(Error::state(&certificate_path))?;
            let key = std::fs::read_to_string(&key_path).map_err(Error::state(&key_path))?;
            let key = KeyPair::from_pem(&key).map_err(|reason| Error::damaged(&key_path, reason))?;
            return Ok(Self { folder: folder.to_path_buf(), clock, certificate, issuer: Issuer::new(params, key) });
        }
        let key = KeyPair::generate().map_err(certificate_error)?;
        let certificate = params.self_signed(&key).map_err(certificate_error)?.pem();
        disk::replace_secret(&key_path, key.serialize_pem().as_bytes())?;
        disk::replace(&certificate_path, certificate.as_bytes())?;
        Ok(Self { folder: folder.to_path_buf(), clock, certificate, issuer: Issuer::new(params, key) })
    }

    /// A new leaf certificate, made by the one function that serves the server and API users alike (§1.2).
    pub(crate) fn issue(&self, name: &str) -> Result<Identity, Error> {
        let mut params = CertificateParams::new(vec![name.to_string()]).map_err(certificate_error)?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, "Velociraptor");
        subject.push(DnType::CommonName, name);
        params.distinguished_name = subject;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        set_validity(&mut params, &self.clock, DAYS_OF_A_LEAF)?;
        let key = KeyPair::generate().map_err(certificate_error)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(certificate_error)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The server's TLS settings: TLS 1.3, a client certificate of our CA is a must, ALPN `h2` (§1.3).
    pub(crate) fn server_config(&self) -> Result<rustls::ServerConfig, Error> {
        self.tls(true, &[&rustls::version::TLS13], b"h2")
    }

    /// The same for the GUI, where a certificate may be asked for, or not at all (§10).
    pub(crate) fn gui_config(&self, ask_for_certificate: bool) -> Result<rustls::ServerConfig, Error> {
        self.tls(ask_for_certificate, rustls::DEFAULT_VERSIONS, b"http/1.1")
    }

    fn tls(
        &self,
        ask_for_certificate: bool,
        versions: &[&'static rustls::SupportedProtocolVersion],
        protocol: &[u8],
    ) -> Result<rustls::ServerConfig, Error> {
        let identity = self.server_identity()?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|reason| Error::damaged(&self.folder.join("server.pem"), reason))?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
            .map_err(|reason| Error::damaged(&self.folder.join("server.key"), reason))?;
        let anchor = CertificateDer::from_pem_slice(self.certificate.as_bytes())
            .map_err(|reason| Error::damaged(&self.folder.join("ca.pem"), reason))?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(anchor).map_err(|reason| Error::Certificate(reason.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = if ask_for_certificate {
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|reason| Error::Certificate(reason.to_string()))?
        } else {
            rustls::server::WebPkiClientVerifier::no_client_auth()
        };
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|reason| Error::Certificate(reason.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|reason| Error::Certificate(reason.to_string()))?;
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }

    /// Writes `api_client.yaml` for `name`, as `velociraptor config api_client` does: mode 0600, these keys (§1.1).
    pub(crate) fn write_api_client(&self, path: &Path, name: &str, connection: &str) -> Result<(), Error> {
        let identity = self.issue(name)?;
        let mut text = String::new();
        for (key, pem) in [
            ("ca_certificate", &self.certificate),
            ("client_cert", &identity.certificate),
            ("client_private_key", &identity.key),
        ] {
            text.push_str(key);
            text.push_str(": |\n");
            for line in pem.lines().filter(|line| !line.is_empty()) {
                text.push_str("  ");
                text.push_str(line);
                text.push('\n');
            }
        }
        text.push_str(&format!("api_connection_string: {connection}\nname: {name}\n"));
        disk::replace_secret(path, text.as_bytes())
    }

    fn server_identity(&self) -> Result<Identity, Error> {
        let certificate_path = self.folder.join("server.pem");
        let key_path = self.folder.join("server.key");
        if certificate_path.exists() && key_path.exists() {
            return Ok(Identity {
                certificate: std::fs::read_to_string(&certificate_path).map_err(Error::state(&certificate_path))?,
                key: std::fs::read_to_string(&key_path).map_err(Error::state(&key_path))?,
            });
        }
        let identity = self.issue(SERVER_NAME)?;
        disk::replace_secret(&key_path, identity.key.as_bytes())?;
        disk::replace(&certificate_path, identity.certificate.as_bytes())?;
        Ok(identity)
    }
}

/// The common name of a leaf of this CA: the principal (§1.5).
///
/// The CA has no common name, so the first one in the certificate is the subject's.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
    let bytes = certificate.as_ref();
    let at = bytes.windows(COMMON_NAME.len()).position(|window| window == COMMON_NAME)?;
    let value = bytes.get(at + COMMON_NAME.len()..)?;
    let length = usize::from(*value.get(1)?);
    if length > 0x7f {
        return None;
    }
    String::from_utf8(value.get(2..2 + length)?.to_vec()).ok()
}

/// An authority that makes no trusted anchor of its own: CA without CN, SAN-only name (§1.2).
fn ca_params(clock: &Clock) -> Result<CertificateParams, Error> {
    let mut params =
        CertificateParams::new(vec!["Velociraptor_ca.velocidex.com".to_string()]).map_err(certificate_error)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Velociraptor CA");
    params.distinguished_name = subject;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    set_validity(&mut params, clock, DAYS_OF_THE_CA)?;
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, clock: &Clock, days: i64) -> Result<(), Error> {
    let now = i64::try_from(clock.seconds()).unwrap_or_default();
    let moment = |seconds: i64| {
        time::OffsetDateTime::from_unix_timestamp(seconds).map_err(|reason| Error::Certificate(reason.to_string()))
    };
    params.not_before = moment(now.saturating_sub(86_400))?;
    params.not_after = moment(now.saturating_add(days.saturating_mul(86_400)))?;
    Ok(())
}

fn certificate_error(reason: rcgen::Error) -> Error {
    Error::Certificate(reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_principal_is_the_common_name_of_the_leaf() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), Clock::system()).unwrap();
        let identity = authority.issue("vfsgw").unwrap();
        let der = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
        assert_eq!(common_name(&der).as_deref(), Some("vfsgw"));
    }

    #[tokio::test]
    async fn a_reopened_authority_issues_leaves_of_the_same_ca() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(folder.path(), Clock::system()).unwrap();
        let second = Authority::open(folder.path(), Clock::system()).unwrap();
        assert_eq!(first.certificate, second.certificate);
        second.server_config().unwrap();
    }
}
