//! Describes arbitrary bytes as the certificate that a server shows. The parser is a part of the
//! live collection, which this crate builds without: its file alone is compiled here, so that the
//! dependencies of the collection are not built with instrumentation.
#![no_main]

use eks_netcheck::model;
use libfuzzer_sys::fuzz_target;

#[path = "../../src/collect/probe/certificate.rs"]
mod certificate;

/// The subject of what cannot be parsed.
const UNREADABLE: &str = "(cannot be read)";

fuzz_target!(|der: &[u8]| {
    let shown = certificate::describe(der);
    assert_eq!(shown.fingerprint.len(), 64);
    assert!(shown.names.len() <= 100);
    for text in shown.names.iter().chain([&shown.subject, &shown.issuer]) {
        // The last one says that some are left out.
        assert!(text.chars().count() <= 301, "{text}");
    }
    // The fingerprint is that of all bytes, and a certificate ends where it says.
    let longer = certificate::describe(&[der, &[0]].concat());
    assert_ne!(longer.fingerprint, shown.fingerprint);
    assert!(shown.subject == UNREADABLE || longer.subject == UNREADABLE, "{longer:?}");
    for unreadable in [&shown, &longer].into_iter().filter(|one| one.subject == UNREADABLE) {
        assert!(unreadable.names.is_empty() && unreadable.issuer == UNREADABLE);
    }
});
