//! Parses arbitrary bytes as a `dig +short` answer: either addresses or a gap with detail and hint.
#![no_main]

use eks_netcheck::evidence::dns::parse_answer;
use eks_netcheck::model::gap::Observed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match parse_answer("here", Some("a.example"), bytes).0.answer {
        Observed::Seen(answer) => assert!(!answer.addresses.is_empty()),
        Observed::Unseen(gap) => assert!(!gap.detail.is_empty() && !gap.hint.is_empty()),
    }
});
