//! The root certificates of requests to AWS: those of `AWS_CA_BUNDLE`, and beside them the
//! first of these that there are:
//!
//! 1. those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, if either is set;
//! 2. those of the system;
//! 3. those that this program was built with, Mozilla's, so that it also runs where there is
//!    nothing else. They are as old as the program, and do not stand in for a store that
//!    cannot be read.

use std::io::{self, Read};
use std::path::Path;

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tracing::debug;

use super::cause::configuration;
use crate::collect::error::{CollectError, Result};
use crate::evidence::files::open_regular;

/// The largest bundle of certificates that is read.
const BUNDLE_MAX: u64 = 16 << 20;

/// The certificates to trust, where `variable` is set of the two of the system's.
///
/// # Errors
/// If the bundle cannot be read, a place that the environment names has no certificates, or the
/// system's store has none that can be read and used.
pub(super) fn trusted(bundle: Option<&Path>, variable: Option<&str>) -> Result<TlsContext> {
    let mut pem = String::new();
    if let Some(bundle) = bundle {
        for certificate in read_bundle(bundle)? {
            push(&mut pem, &certificate);
        }
    }
    let found = rustls_native_certs::load_native_certs();
    // A system's store may have certificates that cannot be used.
    let usable: Vec<_> = found.certs.iter().filter(|certificate| is_usable(certificate)).collect();
    debug!(certificates = usable.len(), errors = ?found.errors, "root certificates of the system");
    let cause = || found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
    match variable {
        Some(name) if usable.is_empty() => {
            let problem = format!("{name}: there are no root certificates there{}", cause());
            return Err(CollectError::Configuration(problem));
        }
        None if usable.is_empty() && !(found.errors.is_empty() && found.certs.is_empty()) => {
            let problem = format!(
                "the system's store of root certificates has none that can be used{}; repair it, or name others \
                 with SSL_CERT_FILE",
                cause()
            );
            return Err(CollectError::Configuration(problem));
        }
        None if usable.is_empty() => {
            debug!("the system has no root certificates: those of the program are used");
            for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
                push(&mut pem, root);
            }
        }
        _ => {
            for certificate in usable {
                push(&mut pem, certificate);
            }
        }
    }
    let roots = TrustStore::empty().with_pem_certificate(pem);
    let tls = TlsContext::builder().with_trust_store(roots).build();
    tls.map_err(|error| configuration("the root certificates", &error))
}

fn is_usable(certificate: &CertificateDer<'_>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}

/// Writes a certificate as the SDK reads it.
fn push(pem: &mut String, certificate: &CertificateDer<'_>) {
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    STANDARD.encode_string(certificate, pem);
    pem.push_str("\n-----END CERTIFICATE-----\n");
}

/// The certificates of a bundle.
fn read_bundle(bundle: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read_file(bundle).map_err(|error| {
        configuration(&format!("AWS_CA_BUNDLE: cannot read {}", bundle.display()), &error)
    })?;
    let usable: Vec<_> = CertificateDer::pem_slice_iter(&pem).flatten().filter(is_usable).collect();
    if usable.is_empty() {
        let problem = format!("AWS_CA_BUNDLE: {} contains no certificates in PEM format", bundle.display());
        return Err(CollectError::Configuration(problem));
    }
    Ok(usable)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let invalid = |problem| io::Error::new(io::ErrorKind::InvalidData, problem);
    let file = open_regular(path)?.ok_or_else(|| invalid("it is not a regular file"))?;
    let mut pem = Vec::new();
    file.take(BUNDLE_MAX + 1).read_to_end(&mut pem)?;
    if pem.len() as u64 > BUNDLE_MAX {
        return Err(invalid("it is larger than 16 MiB"));
    }
    Ok(pem)
}
