//! Parses arbitrary text as a policy: an error has a message and a position in the
//! text.
#![no_main]

use eks_netcheck::policy::file::parse;
use eks_netcheck::rules::ALL;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let rules: Vec<_> = ALL.iter().map(|rule| rule.id).collect();
    if let Err(error) = parse(text, &rules, Timestamp::UNIX_EPOCH) {
        let lines = text.split('\n').count();
        assert!((1..=lines).contains(&error.line), "{error} of {lines} lines");
        assert!(error.column >= 1 && !error.message.is_empty(), "{error}");
    }
});
