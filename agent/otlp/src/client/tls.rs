//! TLS settings from PEM files: whom to trust and what to show.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, client::WantsClientCert};

use super::config::{ClientIdentity, TlsFiles};
use super::error::SetupError;

/// The settings for an `https` endpoint.
pub(crate) fn client_config(files: &TlsFiles) -> Result<ClientConfig, SetupError> {
    with_identity(trusting(files.authorities.as_deref())?, files.identity.as_ref())
}

/// Settings that trust nobody: for an endpoint without TLS, where no file need exist.
pub(crate) fn unused() -> Result<ClientConfig, SetupError> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, rustls::WantsVerifier>, SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(tls_error)
}

fn tls_error(error: rustls::Error) -> SetupError {
    SetupError::Tls(error.to_string())
}

fn trusting(authorities: Option<&Path>) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, SetupError> {
    let Some(path) = authorities else {
        return builder()?.with_native_roots().map_err(|error| {
            SetupError::Tls(format!("no authority of the system can be read ({error}); set OTEL_EXPORTER_OTLP_CERTIFICATE"))
        });
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| file_error(path, error))?;
    }
    Ok(builder()?.with_root_certificates(roots))
}

fn with_identity(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: Option<&ClientIdentity>,
) -> Result<ClientConfig, SetupError> {
    let Some(identity) = identity else { return Ok(builder.with_no_client_auth()) };
    let key = PrivateKeyDer::from_pem_file(&identity.key).map_err(|error| file_error(&identity.key, error))?;
    builder.with_client_auth_cert(certificates(&identity.certificate)?, key).map_err(tls_error)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| file_error(path, error))?;
    if certificates.is_empty() {
        return Err(file_error(path, "holds no certificate in PEM"));
    }
    Ok(certificates)
}

fn file_error(path: &Path, problem: impl ToString) -> SetupError {
    SetupError::File { path: path.to_owned(), problem: problem.to_string() }
}
