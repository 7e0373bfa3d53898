//! TLS for whoever listens: our certificate, the clients' CA, and whom a client's certificate names.
//!
//! The files are read again when they have changed, so that a new certificate needs no restart; while the new ones cannot be used,
//! those of before go on.

mod principal;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

pub use principal::named_by;

/// The files of TLS, all PEM. They are read again when they have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, and those between it and its CA.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The CA whose certificates clients may show; `None`: clients are not asked.
    pub client_ca: Option<PathBuf>,
}

/// What a listener agrees to.
#[derive(Debug, Clone)]
pub struct TlsTerms {
    /// TLS 1.2 too: Windows' WebDAV client knows nothing newer before Windows 11.
    pub old_clients: bool,
    /// Who shows no certificate of the clients' CA is turned away.
    pub certificate_required: bool,
    /// Names of protocols (ALPN) that are offered, the best first.
    pub protocols: Vec<Vec<u8>>,
    /// A client may come back without a whole handshake; it is then not judged by the files as they are now.
    pub resumption: bool,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct TlsError {
    path: PathBuf,
    reason: String,
}

/// Who we are, and by which CA clients are judged.
pub struct TlsIdentity {
    files: TlsFiles,
    terms: TlsTerms,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    settings: Arc<ServerConfig>,
    stamps: Vec<Stamp>,
}

/// How a file is told from an earlier one at its place.
type Stamp = Option<(SystemTime, u64)>;

impl TlsIdentity {
    /// Reads the files.
    ///
    /// # Errors
    /// If one of them cannot be used; the text names it.
    pub fn load(files: TlsFiles, terms: TlsTerms) -> Result<TlsIdentity, TlsError> {
        let stamps = stamps(&files);
        let settings = Arc::new(settings(&files, &terms)?);
        Ok(TlsIdentity { files, terms, loaded: Mutex::new(Loaded { settings, stamps }) })
    }

    /// The settings by the files as they are now; those of before while the new ones cannot be used.
    pub async fn current(self: &Arc<Self>) -> Arc<ServerConfig> {
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || this.reread()).await;
        read.unwrap_or_else(|_| self.lock().settings.clone())
    }

    fn reread(&self) -> Arc<ServerConfig> {
        let stamps = stamps(&self.files);
        let mut loaded = self.lock();
        if loaded.stamps != stamps {
            loaded.stamps = stamps;
            match settings(&self.files, &self.terms) {
                Ok(settings) => {
                    tracing::info!(certificate = %self.files.certificate.display(), "the files of TLS were read again");
                    loaded.settings = Arc::new(settings);
                }
                Err(error) => tracing::error!(%error, "the new files of TLS cannot be used; those of before go on"),
            }
        }
        loaded.settings.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(files: &TlsFiles) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| std::fs::metadata(path).and_then(|file| Ok((file.modified()?, file.len()))).ok();
    [&files.certificate, &files.key].into_iter().chain(&files.client_ca).map(stamp).collect()
}

fn settings(files: &TlsFiles, terms: &TlsTerms) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(at(&files.key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match &files.client_ca {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(at(path))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            // Who shows none may still be welcome; who shows one must show a good one.
            let verifier = if terms.certificate_required { verifier } else { verifier.allow_unauthenticated() };
            verifier.build().map_err(at(path))?
        }
    };
    let versions: &[&SupportedProtocolVersion] =
        if terms.old_clients { rustls::ALL_VERSIONS } else { &[&rustls::version::TLS13] };
    let mut settings = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(at(&files.certificate))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(at(&files.certificate))?;
    settings.alpn_protocols = terms.protocols.clone();
    if !terms.resumption {
        settings.session_storage = Arc::new(NoServerSessionStorage {});
        settings.send_tls13_tickets = 0;
    }
    Ok(settings)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(at(path))?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(at(path))?;
    if certificates.is_empty() {
        return Err(at(path)("there is no certificate (PEM) in it"));
    }
    Ok(certificates)
}

fn at<E: ToString>(path: &Path) -> impl Fn(E) -> TlsError + '_ {
    move |reason| TlsError { path: path.to_owned(), reason: reason.to_string() }
}
