//! Pipes, devices, sockets, directories and links where a file is expected: in evidence,
//! which may be from somebody else, as settings, and as destinations. None delays a run,
//! and no link shows a file of this machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::common::{Netcheck, Ran, copy_of, scratch, story};

/// How long a run may take that reads no file.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs it. A run that takes too long fails the test.
fn run(netcheck: Netcheck) -> Ran {
    let (sender, ran) = mpsc::channel();
    thread::spawn(move || sender.send(netcheck.run()));
    ran.recv_timeout(LIMIT).expect("the run ends")
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Puts something at a path that is not a regular file of the directory.
fn put(kind: &str, path: &Path, outside: &Path) {
    match kind {
        "fifo" => make_fifo(path),
        // The path of a socket has a limit; a link to it has none.
        "socket" => drop(UnixListener::bind(path).unwrap()),
        "directory" => fs::create_dir(path).unwrap(),
        "link to /dev/zero" => symlink("/dev/zero", path).unwrap(),
        "link to a device by /proc" => symlink("/proc/self/fd/0", path).unwrap(),
        "absolute link" => symlink(outside.join("private"), path).unwrap(),
        "relative link" => {
            let up = path.parent().unwrap().components().skip(1).map(|_| "../");
            let target = up.collect::<String>() + outside.join("private").to_str().unwrap();
            symlink(target, path).unwrap();
        }
        "chain of links" => {
            symlink(outside.join("link"), path).unwrap();
            let _ = symlink("private", outside.join("link"));
        }
        _ => panic!("{kind}"),
    }
}

const KINDS: [&str; 8] = [
    "fifo",
    "socket",
    "directory",
    "link to /dev/zero",
    "link to a device by /proc",
    "absolute link",
    "relative link",
    "chain of links",
];

/// Every file that is read, and bundles, which a later version reads.
const FILES: [&str; 11] = [
    "cluster.json",
    "network-interfaces.json",
    "security-groups.json",
    "manifest.json",
    "nodes.txt",
    "dns/here.txt",
    "dns/n9.txt",
    "nodes/n1.txt",
    "nodes/n9.txt",
    "nodes/n9.tar.gz",
    "kubernetes/nodes.json",
];

#[test]
fn special_files_and_links_out_of_the_evidence_are_refused() {
    let outside = scratch();
    fs::write(outside.path().join("private"), "password=SECRET\n").unwrap();
    for file in FILES {
        for kind in KINDS {
            let copy = copy_of("study-public");
            let path = copy.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let _ = fs::remove_file(&path);
            put(kind, &path, outside.path());
            let audit = run(Netcheck::audit(copy.path()));
            let diff = run(Netcheck::diff(copy.path(), &story("study-public")));
            for ran in [audit, diff] {
                assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{kind} as {file}: {}", ran.stderr);
                assert!(ran.stderr.contains(file), "{kind}: {}", ran.stderr);
                assert!(ran.stderr.contains("replace it by a copy"), "{kind}: {}", ran.stderr);
                assert!(!ran.stderr.contains("SECRET"), "{kind} as {file}");
            }
        }
    }
}

/// What is not read is a gap, whatever it is.
#[test]
fn special_files_that_are_not_read_are_gaps() {
    let outside = scratch();
    fs::write(outside.path().join("private"), "password=SECRET\n").unwrap();
    for file in ["notes", "kubernetes/pods.json", "probe/here.json"] {
        for kind in KINDS {
            let copy = copy_of("private-only");
            let path = copy.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            put(kind, &path, outside.path());
            let ran = run(Netcheck::audit(copy.path()));
            assert_eq!(ran.code, 0, "{kind} as {file}: {}", ran.stderr);
            assert!(ran.stdout.contains(file) && !ran.stdout.contains("SECRET"), "{}", ran.stdout);
        }
    }
}

#[test]
fn what_is_not_a_directory_inside_is_refused_in_the_place_of_one() {
    let outside = scratch();
    fs::write(outside.path().join("n9.txt"), "password=SECRET\n").unwrap();
    for sub in ["dns", "nodes", "kubernetes", "probe"] {
        for kind in ["fifo", "file", "dangling link", "link out", "link out by .."] {
            let copy = copy_of("study-public");
            let path = copy.path().join(sub);
            let _ = fs::remove_dir_all(&path);
            match kind {
                "fifo" => make_fifo(&path),
                "file" => fs::write(&path, "x").unwrap(),
                "dangling link" => symlink("nowhere", &path).unwrap(),
                "link out" => symlink(outside.path(), &path).unwrap(),
                _ => symlink("../", &path).unwrap(),
            }
            let ran = run(Netcheck::audit(copy.path()));
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{kind} as {sub}: {}", ran.stderr);
            assert!(ran.stderr.contains(sub) && !ran.stderr.contains("SECRET"), "{}", ran.stderr);
        }
    }
}

#[test]
fn links_that_stay_inside_are_followed_and_the_directory_itself_can_be_one() {
    let copy = copy_of("private-only");
    let real = copy.path().join("n2");
    fs::rename(copy.path().join("nodes/n2.txt"), &real).unwrap();
    symlink("../n2", copy.path().join("nodes/n2.txt")).unwrap();
    let parent = scratch();
    let link = parent.path().join("evidence");
    symlink(copy.path(), &link).unwrap();
    assert_eq!(Netcheck::audit(&link).run().code, 0);
    fs::remove_file(copy.path().join("nodes/n2.txt")).unwrap();
    symlink(&real, copy.path().join("nodes/n2.txt")).unwrap();
    assert_eq!(Netcheck::audit(&link).run().code, 0);
}

/// The file that was opened is checked, not the one that its path led to before.
#[cfg(target_os = "linux")]
#[test]
fn a_link_that_is_exchanged_while_it_is_read_shows_no_file_of_this_machine() {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{CWD, RenameFlags, renameat_with};

    let outside = scratch();
    let (private, other) = (outside.path().join("private"), outside.path().join("other"));
    fs::write(&private, "password=SECRET\n").unwrap();
    let copy = copy_of("study-public");
    fs::write(copy.path().join("inside"), "; nothing\n").unwrap();
    let link = copy.path().join("dns/n9.txt");
    symlink("../inside", &link).unwrap();
    symlink(&private, &other).unwrap();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                renameat_with(CWD, &link, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let runs: Vec<_> = (0..150).map(|_| Netcheck::audit(copy.path()).run()).collect();
        ended.store(true, Ordering::Relaxed);
        for ran in runs {
            assert!(!(ran.stdout + &ran.stderr).contains("SECRET"));
        }
    });
}

/// Sparse files of 1 TiB take neither memory nor time.
#[test]
fn files_above_the_limit_are_refused_unread() {
    for file in ["cluster.json", "vpc.json", "manifest.json", "nodes.txt", "nodes/n1.txt", "dns/here.txt"] {
        let copy = copy_of("study-public");
        fs::File::create(copy.path().join(file)).unwrap().set_len(1 << 40).unwrap();
        let ran = run(Netcheck::audit(copy.path()));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{file}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(file) && ran.stderr.contains("is larger than the limit"),
            "{}",
            ran.stderr
        );
    }
}
