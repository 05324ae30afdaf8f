//! Parses arbitrary bytes as the output of a tool that resolves a name: either addresses, or
//! a gap with detail and hint. Without a host, answers for any name count.
#![no_main]

use eks_netcheck::evidence::dns::parse_answer;
use eks_netcheck::model::gap::Observed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [one, any] = [Some("a.example"), None].map(|host| {
        match parse_answer("here", host, bytes).0.answer {
            Observed::Seen(answer) => {
                assert!(!answer.addresses.is_empty());
                answer.addresses.len()
            }
            Observed::Unseen(gap) => {
                assert!(!gap.detail.is_empty() && !gap.hint.is_empty());
                0
            }
        }
    });
    assert!(any >= one);
});
