//! Files and links that are refused, or not read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::{assert_refused, with_file};
use crate::common::{Netcheck, copy_of};

#[test]
fn files_with_an_unexpected_extension_are_refused() {
    assert_refused(&with_file("nodes/n3.log", b""), &["n3.log is not named NAME.txt"]);
    assert_refused(&with_file("dns/here.json", b""), &["here.json is not named NAME.txt"]);
}

/// What editors and operating systems put beside evidence is listed, and has no effect.
#[test]
fn copies_and_files_of_systems_are_no_evidence() {
    let copy = copy_of("private-only");
    let path = |name: &str| copy.path().join(name);
    let before = Netcheck::audit(copy.path()).json();
    let copies =
        ["nodes/n1.txt~", "nodes/#n1.txt#", "nodes/n2.txt.bak", "dns/n1.txt.orig", "dns/here.txt.old"];
    for name in copies {
        std::fs::write(path(name), "ESTAB 0 0 1.1.1.1:1 2.2.2.2:443\n").unwrap();
    }
    let hidden = ["nodes/.n1.txt.swp", "nodes/.DS_Store", "nodes/._n1.txt", "dns/.nfs0001"];
    for name in hidden.iter().chain(&["nodes/Thumbs.db", "dns/desktop.ini"]) {
        std::fs::write(path(name), b"\0\xff").unwrap();
    }
    let (mut report, code) = Netcheck::audit(copy.path()).json();
    let gaps = report["gaps"].as_array_mut().unwrap();
    let mut listed: Vec<_> = gaps
        .extract_if(.., |gap| gap["detail"].as_str().unwrap().ends_with(", and not read"))
        .map(|gap| format!("{}: {}", gap["what"].as_str().unwrap(), gap["detail"].as_str().unwrap()))
        .collect();
    listed.sort();
    assert_eq!(
        listed,
        [
            "dns/desktop.ini: a file of an operating system, and not read",
            "dns/here.txt.old: a copy of here.txt, and not read",
            "dns/n1.txt.orig: a copy of n1.txt, and not read",
            "nodes/#n1.txt#: a copy of n1.txt, and not read",
            "nodes/Thumbs.db: a file of an operating system, and not read",
            "nodes/n1.txt~: a copy of n1.txt, and not read",
            "nodes/n2.txt.bak: a copy of n2.txt, and not read",
        ]
    );
    assert_eq!((report, code), before);
    // A reader of the table gets them too.
    let ran = Netcheck::audit(copy.path()).run();
    assert!(ran.code == 0 && ran.stdout.contains("not read: dns/desktop.ini, "), "{}", ran.stdout);
    let ran = Netcheck::diff(copy.path(), copy.path()).run();
    assert!(ran.code == 0 && ran.stdout.contains("nodes/n1.txt~"), "{} {}", ran.stderr, ran.stdout);
    // The only capture of a node, with a wrong name, does not vanish.
    std::fs::remove_file(path("nodes/n2.txt")).unwrap();
    assert_refused(&Netcheck::audit(copy.path()).run(), &["n2.txt.bak is not named NAME.txt"]);
}

/// What a printed command leaves that fails is listed, also if it is all that there is of a file; what was
/// recorded before is unchanged.
#[test]
fn a_recording_that_failed_leaves_the_earlier_one() {
    let copy = copy_of("private-only");
    let path = |name: &str| copy.path().join(name);
    let capture = fs::read_to_string(path("nodes/n2.txt")).unwrap();
    let nameless =
        capture.lines().map(|row| row.split("users:").next().unwrap()).collect::<Vec<_>>().join("\n");
    fs::write(path("nodes/n2.txt"), &nameless).unwrap();
    fs::remove_file(path("subnets.json")).unwrap();
    let (before, _) = Netcheck::audit(copy.path()).json();
    let gaps = before["gaps"].as_array().unwrap();
    let command = |what: &str, program: &str| {
        let hints = gaps.iter().filter(|gap| gap["what"] == what);
        let hint = hints.map(|gap| gap["hint"].as_str().unwrap()).find(|hint| hint.contains(program));
        let hint = hint.unwrap_or_else(|| panic!("{what}: {gaps:#?}"));
        hint.split_once(": ").unwrap().1.to_owned()
    };
    let commands = [command("node n2", "ssh"), command("subnets.json", "aws")];
    let run = |programs: &str| {
        for command in &commands {
            let script = format!("{programs}; {command}");
            let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            assert!(output.stderr.is_empty(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        }
    };
    run("ssh() { echo half; return 255; }; aws() { return 254; }");
    assert_eq!(fs::read_to_string(path("nodes/n2.txt")).unwrap(), nameless);
    assert!(!path("subnets.json").exists());
    // Nothing is left where the first recording of a node failed either.
    fs::write(path("nodes/n3.txt.new"), "").unwrap();
    let (mut report, _) = Netcheck::audit(copy.path()).json();
    let gaps = report["gaps"].as_array_mut().unwrap();
    let listed: Vec<_> = gaps
        .extract_if(.., |gap| gap["detail"].as_str().unwrap().ends_with(", and not read"))
        .map(|gap| format!("{}: {}", gap["what"].as_str().unwrap(), gap["detail"].as_str().unwrap()))
        .collect();
    let left = |dir: &str, file: &str| {
        format!("{dir}{file}.new: what a command left that was to write {file} and failed, and not read")
    };
    assert_eq!(listed, [left("nodes/", "n2.txt"), left("nodes/", "n3.txt"), left("", "subnets.json")]);
    assert_eq!(report, before);
    run(&format!("ssh() {{ cat <<'END'\n{capture}\nEND\n}}; aws() {{ echo '{{}}'; }}"));
    assert_eq!(fs::read_to_string(path("nodes/n2.txt")).unwrap().trim_end(), capture.trim_end());
    assert!(path("subnets.json").is_file() && !path("nodes/n2.txt.new").exists());
}

#[test]
fn broken_links_and_links_to_special_files_are_refused() {
    let copy = copy_of("study-public");
    symlink("nodes", copy.path().join("loop")).unwrap();
    fs::remove_dir_all(copy.path().join("nodes")).unwrap();
    symlink("loop", copy.path().join("nodes")).unwrap();
    assert_refused(&Netcheck::audit(copy.path()).run(), &["nodes", "symbolic link"]);

    let copy = copy_of("study-public");
    fs::remove_file(copy.path().join("vpc.json")).unwrap();
    symlink("/nonexistent", copy.path().join("vpc.json")).unwrap();
    assert_refused(&Netcheck::audit(copy.path()).run(), &["vpc.json is a dangling symbolic link"]);

    for (target, message) in
        [("/dev/zero", "not a regular file"), ("/nonexistent", "a dangling symbolic link")]
    {
        let copy = copy_of("study-public");
        symlink(target, copy.path().join("nodes/n3.txt")).unwrap();
        assert_refused(&Netcheck::audit(copy.path()).run(), &["nodes/n3.txt", message]);
    }
}

#[test]
fn unreadable_files_are_refused() {
    let copy = copy_of("study-public");
    let path = copy.path().join("vpc.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root can read it regardless.
    if fs::read(&path).is_err() {
        assert_refused(&Netcheck::audit(copy.path()).run(), &["vpc.json", "Permission denied"]);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_refused(&Netcheck::audit(copy.path()).run(), &["vpc.json is not a regular file"]);
}

/// Unknown files are listed, without effect on the verdict; one whose name is almost right
/// is recognised.
#[test]
fn unknown_files_are_listed() {
    let copy = crate::common::copy_of("private-only");
    let listed = || {
        let (report, code) = Netcheck::audit(copy.path()).json();
        let gaps = report["gaps"].as_array().unwrap().iter();
        let of_unknown = gaps.filter(|gap| gap["detail"].as_str().unwrap().contains("not read"));
        let texts = of_unknown
            .map(|gap| format!("{}: {}", gap["what"].as_str().unwrap(), gap["detail"].as_str().unwrap()));
        (texts.collect::<Vec<_>>(), code)
    };
    assert_eq!(listed(), (Vec::new(), 0));
    std::fs::create_dir(copy.path().join("kubernetes")).unwrap();
    for name in ["NetworkInterfaces.json", "describe-vpc.json", "kubernetes/pods.json", "notes.md", ".hidden"]
    {
        std::fs::write(copy.path().join(name), "x").unwrap();
    }
    let (texts, code) = listed();
    assert_eq!(code, 0);
    assert_eq!(
        texts,
        [
            "NetworkInterfaces.json: not read; the name of that file is network-interfaces.json",
            "describe-vpc.json: not read; the name of that file is vpc.json",
            "kubernetes/pods.json: not a file of an evidence directory, and not read",
            "notes.md: not a file of an evidence directory, and not read",
        ]
    );
    for number in 0..100 {
        std::fs::write(copy.path().join(format!("x{number}")), "x").unwrap();
    }
    assert_eq!(listed().0.len(), 11);
}

/// A link to a file or a directory outside the evidence directory is refused, one that
/// stays inside is followed.
#[test]
fn links_must_stay_inside() {
    let outside = crate::common::scratch();
    std::fs::write(outside.path().join("private"), "password=SECRET\n").unwrap();
    std::fs::create_dir(outside.path().join("dir")).unwrap();
    std::fs::write(outside.path().join("dir/n9.txt"), "password=SECRET\n").unwrap();
    for (target, link) in [
        ("private", "dns/zz.txt"),
        ("private", "nodes/zz.txt"),
        ("private", "nodes.txt"),
        ("private", "manifest.json"),
        ("private", "cluster.json"),
        ("private", "subnets.json"),
        ("dir", "dns"),
        ("dir", "nodes"),
        ("dir", "kubernetes"),
        ("dir", "probe"),
    ] {
        let copy = crate::common::copy_of("private-only");
        let path = copy.path().join(link);
        let _ = std::fs::remove_file(&path);
        let _ = std::fs::remove_dir_all(&path);
        symlink(outside.path().join(target), &path).unwrap();
        let ran = Netcheck::audit(copy.path()).run();
        assert_eq!(ran.code, 2, "{link}: {}", ran.stdout);
        assert!(ran.stderr.contains(link) && ran.stderr.contains("leads out"), "{link}: {}", ran.stderr);
        assert!(!(ran.stderr + &ran.stdout).contains("SECRET"), "{link}");
    }
    let copy = crate::common::copy_of("private-only");
    std::fs::rename(copy.path().join("nodes"), copy.path().join("captures")).unwrap();
    symlink("captures", copy.path().join("nodes")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
}

/// Files that an evidence directory may have and that are not read yet are listed.
#[test]
fn files_that_are_not_read_are_listed() {
    let copy = crate::common::copy_of("private-only");
    std::fs::write(copy.path().join("nodes/n3.tar.gz"), "x").unwrap();
    std::fs::write(copy.path().join("nodes/n1.tar.gz"), "x").unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    let gaps = report["gaps"].as_array().unwrap();
    let rules_of = |what: &str| {
        let gap = gaps.iter().find(|gap| gap["what"] == what).unwrap();
        gap["rules"].as_array().unwrap().len()
    };
    // n1 was captured as well.
    assert_eq!((code, gaps.len()), (3, 2), "{gaps:?}");
    assert_eq!(rules_of("nodes/n1.tar.gz"), 0);
    assert!(rules_of("node n3") > 0);
    let node = report["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "n3").unwrap();
    assert_eq!(node["status"], "malformed");
}
