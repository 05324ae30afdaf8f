//! Certificates in PEM, compared as text: whether two files have the same ones.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The Base64 text of each certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certificates(BTreeSet<String>);

impl Certificates {
    /// Parses PEM; `None` if there is no certificate.
    pub(super) fn parse(pem: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(pem).ok()?;
        let blocks = text.split("-----BEGIN CERTIFICATE-----").skip(1);
        let blocks = blocks.filter_map(|block| block.split("-----END CERTIFICATE-----").next());
        let certificates: BTreeSet<_> = blocks.map(|block| block.split_whitespace().collect()).collect();
        (!certificates.is_empty()).then_some(Self(certificates))
    }
}

/// Decodes Base64; `None` if it is not that. Line breaks are ignored.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_whitespace().collect();
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        for (text, expected) in [("", ""), ("QQ==", "A"), ("QUI=", "AB"), ("QUJD\nRA==", "ABCD")] {
            assert_eq!(decode_base64(text).as_deref(), Some(expected.as_bytes()), "{text}");
        }
        assert_eq!(decode_base64("-----"), None);
    }

    #[test]
    fn certificates_are_equal_however_their_lines_break() {
        let one = "-----BEGIN CERTIFICATE-----\nAB\nCD\n-----END CERTIFICATE-----\n";
        let same = "junk\r\n-----BEGIN CERTIFICATE-----\r\nABCD\r\n-----END CERTIFICATE-----";
        let more = format!("{one}{}", one.replace("AB", "EF"));
        let parse = |text: &str| Certificates::parse(text.as_bytes());
        assert_eq!(parse(one), parse(same));
        assert_ne!(parse(one), parse(&more));
        assert_eq!(parse("AB"), None);
    }
}
