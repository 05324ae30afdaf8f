//! Places: which are refused, and how they are normalised.

use std::path::Path;

use super::{reach, with_acls};
use crate::common::{Netcheck, story};

/// A block with bits behind its prefix is refused, as in `simulate`.
#[test]
fn a_block_with_bits_behind_its_prefix_is_refused() {
    for (block, word) in [
        ("203.0.113.7/24", "write 203.0.113.0/24"),
        ("2001:db8::1/64", "write 2001:db8::/64"),
        ("203.0.113.7/0", "did you mean 203.0.113.7/32"),
    ] {
        let ran = reach(&story("public-and-private-stale"), block).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{block}");
        assert!(
            ran.stderr.contains("bits are set behind the prefix") && ran.stderr.contains(word),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_place_that_is_none_is_refused() {
    for (from, message) in [
        ("10.0.0.0/40", "10.0.0.0/40"),
        ("10.0.0.256", "is not an address"),
        ("10.0.0", "is not an address"),
        ("2001:db8::g", "is not an address"),
        ("10.0.0.0/", "is not a CIDR block"),
        ("/", "is not a CIDR block"),
        ("", "a node name consists of"),
        ("a b", "a node name consists of"),
        ("-x", "unexpected argument"),
        ("n9", "no such node; the nodes are n1, n2"),
        ("\u{202e}x", "a node name consists of"),
        ("224.0.0.1", "not an address of a place"),
        ("127.0.0.1", "not an address of a place"),
        ("169.254.169.254", "not an address of a place"),
        ("169.254.0.0/16", "not an address of a place"),
        ("0.0.0.0", "not an address of a place"),
        ("255.255.255.255", "not an address of a place"),
        ("::1", "not an address of a place"),
        ("fe80::1", "not an address of a place"),
        ("ff02::1", "not an address of a place"),
        ("10.100.0.1", "not an address of a place"),
        ("10.100.7.0/24", "not an address of a place"),
    ] {
        let ran = reach(&story("private-only"), from).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{from:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(message), "{from:?}: {}", ran.stderr);
    }
    let ran = reach(Path::new("/nonexistent"), "here").run();
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let ran = reach(&story("private-only"), "here").args(&["--region", "eu-west-1"]).run();
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let other = Netcheck::new(["reach", "--cluster", "other", "--evidence"]).arg(story("private-only")).run();
    assert_eq!(other.code, 4, "{}", other.stderr);
}

/// A place has one name, however it is written.
#[test]
fn places_are_normalised() {
    let dir = with_acls();
    for (from, same) in [("::ffff:192.168.11.10", "192.168.11.10"), ("::ffff:10.9.0.0/112", "10.9.0.0/16")] {
        assert_eq!(reach(dir.path(), from).json(), reach(dir.path(), same).json(), "{from}");
    }
    for node in ["i-00d7b63458527ea51", "192.168.1.20"] {
        assert_eq!(reach(dir.path(), node).run().code, 0, "{node}");
    }
}
