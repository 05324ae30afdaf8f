//! Whether the certificate that a place is shown is one of the cluster's.

use super::gaps;
use super::index::Reachabilities;
use crate::model::probe::{Attempt, ProbeCause, TlsAttempt, Trust};
use crate::model::reachability::{Condition, ConditionKind, EndpointSide, Place};
use crate::model::rule::Step;

const KIND: ConditionKind = ConditionKind::Tls;

impl Reachabilities<'_> {
    /// The certificate is the same for every client, unless something on the way intercepts
    /// TLS: no setting of the cluster bears on it, and what was not seen decides nothing.
    pub(super) fn tls(&self, place: &Place, side: EndpointSide) -> Condition {
        let attempts = self.seen.tls(place, side);
        let signed = attempts.iter().find_map(|(address, attempt)| match attempt {
            TlsAttempt { trust: Trust::Signed { .. }, handshake: Attempt::Done, .. } => Some(address),
            _ => None,
        });
        if let Some(address) = signed {
            return Condition::met(
                KIND,
                format!("as seen: a CA of the cluster signed the certificate of {address}"),
            );
        }
        let failed = attempts.iter().find_map(|(address, attempt)| {
            let why = match (&attempt.trust, &attempt.handshake) {
                (Trust::Unsigned, _) => {
                    let issuer = attempt.certificate.as_ref().map(|shown| shown.issuer.as_str());
                    let issuer = issuer.map(|issuer| format!(" ({issuer} did)")).unwrap_or_default();
                    format!("no CA of the cluster signed the certificate of {address}{issuer}: something on the way intercepts TLS, or it is another server")
                }
                (Trust::Invalid(reason), _) => format!("the certificate of {address} is not valid: {reason}"),
                (Trust::Unknown(_), Attempt::Failed(failure)) if !is_own(attempt) => {
                    format!("the TLS handshake with {address} fails: {}", failure.detail)
                }
                _ => return None,
            };
            Some(why)
        });
        if let Some(why) = failed {
            let text =
                "Exclude the endpoint's name from the inspection of TLS, by a firewall or a proxy (NO_PROXY)";
            return Condition::not_met(KIND, format!("as seen: {why}"), vec![Step::new(text)]);
        }
        if let Some(component) = self.seen.component(place, side) {
            let why =
                format!("as seen: {} is connected, and it verifies the certificate", component.as_str());
            return Condition::met(KIND, why);
        }
        if let Some((address, attempt)) = attempts.iter().find(|(_, attempt)| is_open(attempt)) {
            let reason = match (&attempt.trust, &attempt.handshake) {
                (_, Attempt::Failed(failure)) if attempt.certificate.is_none() => failure.detail.as_str(),
                (Trust::Unknown(reason), _) => reason.as_str(),
                _ => "",
            };
            let detail =
                format!("whether the certificate of {address} is the cluster's is not known: {reason}");
            return Condition::unknown(KIND, gaps::about(place, detail, &self.try_there()));
        }
        let why = "no certificate was seen from there: EKS shows one that a CA of the cluster signed, unless something on the way intercepts TLS";
        Condition::not_applicable(KIND, why)
    }
}

/// Whether an attempt leaves open whether the certificate is the cluster's: the prober was shown
/// one that it could not judge, or could not begin.
fn is_open(attempt: &TlsAttempt) -> bool {
    is_own(attempt) || attempt.certificate.is_some() && matches!(attempt.trust, Trust::Unknown(_))
}

/// Whether the prober ended a handshake itself, so that others may succeed: it could not judge
/// the certificate, or could not begin.
fn is_own(attempt: &TlsAttempt) -> bool {
    match (&attempt.trust, &attempt.handshake) {
        (Trust::Unknown(_), Attempt::Failed(failure)) => {
            attempt.certificate.is_some() || failure.cause == ProbeCause::Failed
        }
        _ => false,
    }
}
