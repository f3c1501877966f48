//! TLS by files: whom drey asks is always verified, and shown a certificate where it asks for one. The files are read for each
//! connection, so that they may be renewed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_native_certs::load_native_certs;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// By which files, and how they are called in what is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TlsFiles {
    /// Who signs the other side's certificate; none: whom the system trusts.
    pub(super) ca: Option<PathBuf>,
    /// Certificate chain and key that are shown.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
    /// Before `ca`, `cert` and `key`: `engine.`.
    pub(super) called: &'static str,
}

/// # Errors
/// When a file is no good, which is named, or the certificate of the other side is not.
pub(super) async fn connect(
    tcp: TcpStream,
    name: &str,
    files: &TlsFiles,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config(files)?)).connect(name, tcp).await
}

fn config(files: &TlsFiles) -> io::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots(files)?);
    let Some((chain, key)) = &files.identity else { return Ok(builder.with_no_client_auth()) };
    let called = |word: &str| format!("{}{word}", files.called);
    let refused = |why: &dyn std::fmt::Display| told(&called("key"), key, why);
    let certificates = certificates(&called("cert"), chain)?;
    let parsed = PrivateKeyDer::from_pem_slice(&read(&called("key"), key)?).map_err(|why| refused(&why))?;
    builder.with_client_auth_cert(certificates, parsed).map_err(|why| refused(&why))
}

/// Only those of the file, where there is one: whoever signs for the world does not sign for it.
fn roots(files: &TlsFiles) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(file) = &files.ca else {
        roots.add_parsable_certificates(load_native_certs().certs);
        return Ok(roots);
    };
    let called = format!("{}ca", files.called);
    for certificate in certificates(&called, file)? {
        roots.add(certificate).map_err(|why| told(&called, file, &why))?;
    }
    Ok(roots)
}

fn certificates(key: &str, file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let pem = read(key, file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|why| told(key, file, &why))?;
    if found.is_empty() {
        return Err(told(key, file, &"holds no certificate in PEM form"));
    }
    Ok(found)
}

fn read(key: &str, file: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(file).map_err(|why| told(key, file, &why))
}

fn told(key: &str, file: &Path, why: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{key}: {}: {why}", file.display()))
}
