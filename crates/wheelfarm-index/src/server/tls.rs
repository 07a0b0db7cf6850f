//! TLS: a certificate and its key from two files, read again when they change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The server's certificate.
#[derive(Clone)]
pub struct Tls {
    held: Arc<Held>,
    config: Arc<ServerConfig>,
}

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// A file is not what it should be.
    #[error("`{}` {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The certificate that is shown to clients.
struct Held {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
    /// What the files looked like when they were last read.
    seen: Mutex<Stamp>,
}

/// Size and time of both files: when they differ, something has changed.
type Stamp = [Option<(u64, SystemTime)>; 2];

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.held.certificate.display())
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({})", self.certificate.display())
    }
}

impl Tls {
    /// Reads a chain of certificates, the server's first, and its private key, both in PEM.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let seen = stamp(certificate, key);
        let current = read(&provider, certificate, key)?;
        let held = Arc::new(Held {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            provider: provider.clone(),
            current: RwLock::new(Arc::new(current)),
            seen: Mutex::new(seen),
        });
        let unusable = |error: rustls::Error| content(certificate, error);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(held.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(unusable)?;
        Ok(Self {
            held,
            config: Arc::new(config),
        })
    }

    /// Reads both files again. New connections get the new certificate; if it cannot be used, the old one stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let held = &self.held;
        *held.seen.lock().unwrap_or_else(PoisonError::into_inner) =
            stamp(&held.certificate, &held.key);
        let read = read(&held.provider, &held.certificate, &held.key)?;
        *held.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
        Ok(())
    }

    /// Reloads, and says in the log how it went.
    pub fn reload_and_tell(&self) {
        let path = self.held.certificate.display();
        match self.reload() {
            Ok(()) => tracing::info!(certificate = %path, "the certificate was read again"),
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used: the old one stays");
            }
        }
    }

    /// Reloads whenever the files change. Never ends.
    pub(super) async fn follow(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = stamp(&self.held.certificate, &self.held.key);
            let seen = *self
                .held
                .seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if now != seen {
                self.reload_and_tell();
            }
        }
    }

    pub(super) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        self.config.clone().into()
    }
}

impl ResolvesServerCert for Held {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(current.clone())
    }
}

fn read(
    provider: &CryptoProvider,
    certificate: &Path,
    key: &Path,
) -> Result<CertifiedKey, TlsError> {
    let text = fs_err::read(certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| content(certificate, error))?;
    if chain.is_empty() {
        return Err(content(certificate, "has no certificate in PEM"));
    }
    let text = fs_err::read(key)?;
    let private = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| content(key, format!("has no private key in PEM: {error}")))?;
    let usable = CertifiedKey::from_der(chain, private, provider);
    usable.map_err(|error| content(key, format!("does not go with the certificate: {error}")))
}

fn content(path: &Path, reason: impl fmt::Display) -> TlsError {
    TlsError::Content {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn stamp(certificate: &Path, key: &Path) -> Stamp {
    [certificate, key].map(|path| {
        let metadata = fs_err::metadata(path).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    })
}
