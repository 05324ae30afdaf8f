//! Whether a certificate is one of the cluster's: it is checked against each of the cluster's
//! CAs, and against nothing else.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::certificate::describe;
use crate::model::probe::{Certificate, Trust};

/// The most CAs of a cluster: two while EKS replaces one by another.
///
/// <https://docs.aws.amazon.com/eks/latest/userguide/cert-signing.html>
const CAS_MAX: usize = 8;
/// The largest bundle of them, in Base64.
const BUNDLE_MAX: usize = 256 << 10;

/// The certificate authorities of a cluster.
#[derive(Debug)]
pub(super) struct Authorities {
    /// Each as the only root; or why none is known.
    cas: Result<Vec<Arc<RootCertStore>>, String>,
    provider: Arc<CryptoProvider>,
}

impl Authorities {
    /// The CAs in `certificateAuthority.data`: PEM in Base64.
    pub(super) fn new(recorded: Option<&str>) -> Self {
        let cas = recorded.ok_or_else(|| "the cluster's CA is not recorded".to_owned()).and_then(parse);
        Self { cas, provider: Arc::new(aws_lc_rs::default_provider()) }
    }

    /// Whether a certificate with its chain is one of the cluster's, for a host name.
    fn trust(
        &self,
        end_entity: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        now: UnixTime,
    ) -> Trust {
        let cas = match &self.cas {
            Ok(cas) => cas,
            Err(why) => return Trust::Unknown(why.clone()),
        };
        let parsed = match ParsedCertificate::try_from(end_entity) {
            Ok(parsed) => parsed,
            Err(error) => return Trust::Unknown(format!("its certificate cannot be checked: {error}")),
        };
        let algorithms = self.provider.signature_verification_algorithms.all;
        let mut unknown = None;
        for (position, roots) in (1..).zip(cas) {
            let at =
                |time| verify_server_cert_signed_by_trust_anchor(&parsed, roots, chain, time, algorithms);
            let Err(error) = at(now) else {
                return match verify_server_name(&parsed, host) {
                    Ok(()) => Trust::Signed { position, of: cas.len() },
                    Err(_) => Trust::Invalid(format!("it is not for {}", host.to_str())),
                };
            };
            // Validity and purpose are checked before the signature.
            let Error::InvalidCertificate(problem) = error else { continue };
            match problem {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => {
                    let shown = describe(end_entity);
                    if instants(&shown).any(|time| at(time).is_ok()) {
                        let is_expired = i64::try_from(now.as_secs()).is_ok_and(|now| now > shown.not_after);
                        let why =
                            if is_expired { "it has expired" } else { "it or its chain is not valid now" };
                        return Trust::Invalid(why.to_owned());
                    }
                }
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                    if self.is_of_client(roots, end_entity, chain, now) {
                        return Trust::Invalid("it is not a server's".to_owned());
                    }
                    unknown = Some("its certificate is neither a server's nor a client's".to_owned());
                }
                CertificateError::UnsupportedSignatureAlgorithmContext { .. }
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                    unknown = Some("the algorithm of its signature is not supported".to_owned());
                }
                _ => {}
            }
        }
        unknown.map_or(Trust::Unsigned, Trust::Unknown)
    }

    /// Whether a CA signed the certificate of a client.
    fn is_of_client(
        &self,
        roots: &Arc<RootCertStore>,
        end_entity: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        let provider = Arc::clone(&self.provider);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider).build();
        verifier.is_ok_and(|verifier| verifier.verify_client_cert(end_entity, chain, now).is_ok())
    }
}

/// Instants at which a certificate is valid: its chain may be valid at only some of them.
fn instants(certificate: &Certificate) -> impl Iterator<Item = UnixTime> + use<> {
    let (begin, end) = (certificate.not_before, certificate.not_after);
    let middle = begin.midpoint(end);
    [end, middle, begin].into_iter().filter_map(|at| {
        let seconds = u64::try_from(at).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    })
}

fn parse(recorded: &str) -> Result<Vec<Arc<RootCertStore>>, String> {
    let unreadable = || "the recorded CA of the cluster cannot be read".to_owned();
    if recorded.len() > BUNDLE_MAX {
        return Err("the recorded CA of the cluster is too large".to_owned());
    }
    let pem = STANDARD.decode(recorded.trim()).map_err(|_| unreadable())?;
    let mut cas = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem).take(CAS_MAX) {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
        cas.push(Arc::new(roots));
    }
    if cas.is_empty() { Err(unreadable()) } else { Ok(cas) }
}

/// A verifier that records the certificate that is shown, and ends the handshake unless a CA of
/// the cluster signed it.
#[derive(Debug)]
pub(super) struct Recorder {
    authorities: Arc<Authorities>,
    shown: Mutex<Option<(Certificate, Trust)>>,
}

impl Recorder {
    /// A verifier for one connection, and the configuration that uses it.
    pub(super) fn new(authorities: &Arc<Authorities>) -> Result<(Arc<Self>, ClientConfig), Error> {
        let recorder = Arc::new(Self { authorities: Arc::clone(authorities), shown: Mutex::new(None) });
        let provider = Arc::clone(&authorities.provider);
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Each handshake shows the certificate.
        config.resumption = rustls::client::Resumption::disabled();
        Ok((recorder, config))
    }

    /// The certificate that was shown, if any.
    pub(super) fn take(&self) -> Option<(Certificate, Trust)> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.authorities.provider.signature_verification_algorithms
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let trust = self.authorities.trust(end_entity, intermediates, server_name, now);
        let goes_on = matches!(trust, Trust::Signed { .. } | Trust::Invalid(_));
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some((describe(end_entity), trust));
        if goes_on {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, self.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}
