//! TLS for RPC (RFC 9289): our certificate, the clients' CA, and whom a client's certificate names.
//!
//! TLS 1.3 alone. The protocol name `sunrpc` is offered and not required: Linux' `tlshd` sends none. Nothing is remembered from one
//! connection for the next, so that every connection is judged by the files as they are now.

mod principal;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use crate::config::{Require, TlsFiles};
use crate::error::Error;

pub(crate) use principal::named_by;

/// The name of RPC in the handshake (RFC 9289 §7.2).
const PROTOCOL: &[u8] = b"sunrpc";

/// Who we are, and by which CA clients are judged: from files, which are read again when they have changed.
pub(crate) struct Identity {
    files: TlsFiles,
    require: Require,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    settings: Arc<ServerConfig>,
    stamps: Vec<Stamp>,
}

/// How a file is told from an earlier one at its place.
type Stamp = Option<(SystemTime, u64)>;

impl Identity {
    /// Reads the files.
    ///
    /// # Errors
    /// [`Error::Tls`], naming the file.
    pub(crate) fn load(files: TlsFiles, require: Require) -> Result<Identity, Error> {
        let stamps = stamps(&files);
        let settings = Arc::new(settings(&files, require)?);
        Ok(Identity { files, require, loaded: Mutex::new(Loaded { settings, stamps }) })
    }

    /// The settings by the files as they are now; those of before while the new ones cannot be used.
    pub(crate) async fn current(self: &Arc<Self>) -> Arc<ServerConfig> {
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || this.reread()).await;
        read.unwrap_or_else(|_| self.lock().settings.clone())
    }

    fn reread(&self) -> Arc<ServerConfig> {
        let stamps = stamps(&self.files);
        let mut loaded = self.lock();
        if loaded.stamps != stamps {
            loaded.stamps = stamps;
            match settings(&self.files, self.require) {
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

fn settings(files: &TlsFiles, require: Require) -> Result<ServerConfig, Error> {
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
            let verifier = if require == Require::Certificate { verifier } else { verifier.allow_unauthenticated() };
            verifier.build().map_err(at(path))?
        }
    };
    let mut settings = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(at(&files.certificate))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(at(&files.certificate))?;
    settings.alpn_protocols = vec![PROTOCOL.to_vec()];
    settings.session_storage = Arc::new(NoServerSessionStorage {});
    settings.send_tls13_tickets = 0;
    Ok(settings)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(at(path))?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(at(path))?;
    if certificates.is_empty() {
        return Err(at(path)("there is no certificate (PEM) in it"));
    }
    Ok(certificates)
}

fn at<E: ToString>(path: &Path) -> impl Fn(E) -> Error + '_ {
    move |reason| Error::Tls { path: path.to_owned(), reason: reason.to_string() }
}
