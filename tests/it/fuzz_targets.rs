//! The fuzz targets compile with this version of the library, and accept inputs: each runs on a
//! few. cargo-fuzz, which generates inputs, needs a nightly compiler, and is no part of the checks.

/// Takes the place of the macro of libfuzzer-sys: the target becomes a function.
macro_rules! fuzz_target {
    (|$input:ident: $type:ty| $body:block) => {
        pub(crate) fn run($input: $type) $body
    };
}
pub(crate) use fuzz_target;

/// Declares a target; the attributes are those of a program.
macro_rules! targets {
    ($($(#[$attribute:meta])* $name:ident $path:literal;)*) => {
        $(
            $(#[$attribute])*
            #[allow(unused_attributes, unused_imports, clippy::pedantic, reason = "it is a program of another crate")]
            #[path = $path]
            mod $name;
        )*
        /// The files of the targets.
        const FILES: &[&str] = &[$($path),*];
    };
}

targets! {
    bundles "../../fuzz/fuzz_targets/bundles.rs";
    dig "../../fuzz/fuzz_targets/dig.rs";
    evidence "../../fuzz/fuzz_targets/evidence.rs";
    policy "../../fuzz/fuzz_targets/policy.rs";
    reports "../../fuzz/fuzz_targets/reports.rs";
    ss "../../fuzz/fuzz_targets/ss.rs";
    tables "../../fuzz/fuzz_targets/tables.rs";
}

/// The target of certificates compiles a file of the library into its own crate, and is the only
/// one that is not compiled here.
const ELSEWHERE: [&str; 1] = ["certificates.rs"];

#[test]
fn all_targets_are_here() {
    let dir = crate::common::root().join("fuzz/fuzz_targets");
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !ELSEWHERE.contains(&name.as_str()))
        .collect();
    found.sort();
    let known: Vec<_> = FILES.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    assert_eq!(found, known);
}

#[test]
fn targets_accept_inputs() {
    // It leaves a directory behind.
    let _: fn(_) = bundles::run;
    let capture = b"ESTAB 0 0 192.168.1.20:5000 3.39.55.189:443 users:((\"kubelet\",pid=1,fd=2))\n";
    for bytes in [&b""[..], capture, b"\0\0\xff\x1b[31m\0{\"a\": 1}\0", &[0xff; 300]] {
        let text = String::from_utf8_lossy(bytes);
        dig::run(bytes);
        evidence::run(bytes);
        policy::run(&text);
        reports::run(bytes);
        ss::run((bytes, 7));
        tables::run((vec![([127, 0, 0, 1], 1, [0; 16], 443, 1, 5, vec![(5, 1, bytes.to_vec())])], false, 9));
    }
}
