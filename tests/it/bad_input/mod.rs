//! Malformed evidence: exit code 2, one message that names the object and the
//! next step, and no output. What is wrong with one node alone is a gap.

mod captures;
mod files;
mod gaps;
mod refusals;

use std::fs;

use crate::common::{Netcheck, Ran, copy_of};

/// Checks that a run was refused with a message that contains all of `expected`.
fn assert_refused(ran: &Ran, expected: &[&str]) {
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    for text in expected {
        assert!(ran.stderr.contains(text), "{text:?} is not in {}", ran.stderr);
    }
}

/// An audit of a story whose `file` contains `text`.
fn with_file(file: &str, text: &[u8]) -> Ran {
    let copy = copy_of("study-public");
    let path = copy.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    Netcheck::audit(copy.path()).run()
}
