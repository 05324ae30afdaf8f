//! Pipes, devices, sockets, directories and links where a file is expected: in evidence,
//! which may be from somebody else, as settings, and as destinations. None delays a run,
//! and no link shows a file of this machine.

use std::fmt::Write;
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

/// Every file that is read.
const FILES: [&str; 12] = [
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
    "probe/here.json",
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
                assert!(ran.stderr.contains("remove it"), "{kind}: {}", ran.stderr);
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
    for file in ["notes", "kubernetes/pods.json"] {
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

#[test]
fn settings_are_read_from_regular_files_alone() {
    let dir = scratch();
    let fifo = dir.path().join("eks-netcheck.toml");
    make_fifo(&fifo);
    let audit = || Netcheck::audit(&story("study-public")).dir(dir.path());
    let named = |path: &Path| audit().arg("--policy").arg(path);
    let check = || Netcheck::new(["policy", "check"]).dir(dir.path());
    for netcheck in [
        audit(),
        named(&fifo),
        named(Path::new("/dev/zero")),
        named(Path::new("/dev/ptmx")),
        named(dir.path()),
        check(),
        check().arg(&fifo),
    ] {
        let ran = run(netcheck);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        let refused = ["it is not a regular file; pass - to", "it is a directory; pass a file in it"];
        assert!(refused.iter().any(|text| ran.stderr.contains(text)), "{}", ran.stderr);
    }
    // A pipe of the shell.
    let script = format!(
        "exec {} audit --cluster myeks --evidence {} --policy <(echo)",
        env!("CARGO_BIN_EXE_eks-netcheck"),
        story("study-public").display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A baseline, a plan and a bundle are read before anything is judged. What of each is no regular
/// file neither delays the run nor is shown.
#[test]
fn inputs_that_are_named_are_read_from_regular_files_alone() {
    let dir = scratch();
    fs::write(dir.path().join("private"), "password=SECRET\n").unwrap();
    let fifo = dir.path().join("fifo.tar.gz");
    make_fifo(&fifo);
    let socket = dir.path().join("socket");
    drop(UnixListener::bind(&socket).unwrap());
    let story = story("study-public");
    for path in [&fifo, &socket, Path::new("/dev/zero"), Path::new("/dev/ptmx"), dir.path()] {
        let simulate = Netcheck::new(["simulate", "--evidence"]).arg(&story).arg("--plan");
        for netcheck in [
            Netcheck::audit(&story).arg("--baseline").arg(path),
            Netcheck::audit(&story).arg("--bundle").arg(path),
            simulate.arg(path),
        ] {
            let ran = run(netcheck.dir(dir.path()));
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
            let refused = ["is not a regular file", "is a directory; pass a file in it"];
            assert!(refused.iter().any(|text| ran.stderr.contains(text)), "{}", ran.stderr);
        }
    }
    // Of what is neither, nothing is quoted.
    let private = dir.path().join("private");
    for option in ["--baseline", "--bundle", "--policy"] {
        let ran = run(Netcheck::audit(&story).arg(option).arg(&private));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{option}: {}", ran.stderr);
        assert!(!ran.stderr.contains("SECRET"), "{option}: {}", ran.stderr);
    }
}

/// A sparse file of 1 TiB.
#[test]
fn named_files_above_the_limit_are_refused() {
    let dir = scratch();
    let path = dir.path().join("large.tar.gz");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let story = story("study-public");
    let simulate = Netcheck::new(["simulate", "--evidence"]).arg(&story).arg("--plan");
    for netcheck in [
        Netcheck::audit(&story).arg("--baseline").arg(&path),
        Netcheck::audit(&story).arg("--bundle").arg(&path),
        Netcheck::audit(&story).arg("--policy").arg(&path),
        simulate.arg(&path),
    ] {
        let ran = run(netcheck);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("is larger than"), "{}", ran.stderr);
    }
}

/// kubectl would wait for the other end of a pipe.
#[cfg(feature = "live")]
#[test]
fn a_kubeconfig_is_a_regular_file() {
    let dir = scratch();
    let fifo = dir.path().join("config");
    make_fifo(&fifo);
    for path in [&fifo, Path::new("/dev/zero")] {
        let audit = Netcheck::new(["audit", "--cluster", "myeks", "--region", "ap-northeast-2"]);
        let ran = run(audit.args(&["--nodes", "kubectl", "--kubeconfig"]).arg(path).dir(dir.path()));
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("cannot read the kubeconfig"), "{}", ran.stderr);
        assert!(ran.stderr.contains("it is not a regular file"), "{}", ran.stderr);
    }
}

/// Both are read before AWS is queried.
#[cfg(feature = "live")]
#[test]
fn accounts_and_certificates_are_read_from_regular_files_alone() {
    let dir = scratch();
    let fifo = dir.path().join("accounts");
    make_fifo(&fifo);
    for file in [&fifo, Path::new("/dev/zero")] {
        let audit = Netcheck::new(["audit", "--all-clusters", "--region", "ap-northeast-2", "--accounts"]);
        let ran = run(audit.arg(file).dir(dir.path()));
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("cannot read the accounts"), "{}", ran.stderr);
        assert!(ran.stderr.contains("it is not a regular file"), "{}", ran.stderr);
        let audit = Netcheck::new(["audit", "--cluster", "myeks", "--region", "ap-northeast-2"]);
        let ran = run(audit.env("AWS_CA_BUNDLE", file.to_str().unwrap()).dir(dir.path()));
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(
            ran.stderr.contains("AWS_CA_BUNDLE") && ran.stderr.contains("regular file"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_step_summary_that_is_no_regular_file_is_a_warning() {
    let dir = scratch();
    let path = |name: &str| dir.path().join(name);
    make_fifo(&path("fifo"));
    drop(UnixListener::bind(path("socket")).unwrap());
    fs::write(path("private"), "before\n").unwrap();
    symlink(path("private"), path("link")).unwrap();
    symlink(path("nothing"), path("dangling")).unwrap();
    make_fifo(&path("read"));
    let reader = fs::OpenOptions::new().read(true).write(true).open(path("read")).unwrap();
    for name in ["fifo", "read", "socket", "link", "dangling", ".", "/dev/full", "/dev/ptmx"] {
        for (evidence, code) in [("study-public", 1), ("private-only", 0)] {
            let audit = Netcheck::audit(&story(evidence)).env("GITHUB_ACTIONS", "true");
            let ran = run(audit.env("GITHUB_STEP_SUMMARY", path(name).to_str().unwrap()).dir(dir.path()));
            assert_eq!(ran.code, code, "{name}: {}", ran.stderr);
            assert!(ran.stderr.starts_with("warning: cannot write to "), "{name}: {}", ran.stderr);
        }
    }
    drop(reader);
    assert_eq!(fs::read_to_string(path("private")).unwrap(), "before\n");
    assert!(!path("nothing").exists());
    // A regular file is appended to.
    let audit = Netcheck::audit(&story("private-only")).env("GITHUB_ACTIONS", "true");
    audit.env("GITHUB_STEP_SUMMARY", path("private").to_str().unwrap()).dir(dir.path()).run();
    assert!(fs::read_to_string(path("private")).unwrap().starts_with("before\n## eks-netcheck"));
}

#[test]
fn a_report_to_a_pipe_that_nothing_reads_is_refused_before_the_work() {
    let dir = scratch();
    let fifo = dir.path().join("fifo");
    make_fifo(&fifo);
    let write = format!("json={}", fifo.display());
    let story = story("study-public");
    for netcheck in [Netcheck::audit(&story), Netcheck::diff(&story, &story)] {
        let ran = run(netcheck.arg("--write").arg(&write));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("no process reads this pipe"), "{}", ran.stderr);
    }
}

/// A reader that is slow gets the whole report, which is larger than the buffer of a pipe.
#[test]
fn a_report_to_a_pipe_waits_for_its_reader() {
    let copy = copy_of("study-public");
    let mut capture = fs::read_to_string(copy.path().join("nodes/n1.txt")).unwrap();
    for port in 20_000..21_000 {
        let process = "users:((\"kubelet\",pid=2984,fd=9))";
        writeln!(capture, "ESTAB 0 0 192.168.1.20:{port} 3.39.55.189:443 {process}").unwrap();
    }
    fs::write(copy.path().join("nodes/n1.txt"), capture).unwrap();
    let dir = scratch();
    let fifo = dir.path().join("fifo");
    make_fifo(&fifo);
    let read = dir.path().join("read");
    let mut reader = Command::new("sh")
        .args(["-c", "exec 3<\"$0\"; sleep 2; cat <&3 >\"$1\""])
        .args([&fifo, &read])
        .spawn()
        .unwrap();
    // The reader waits for a writer; until it does, opening is refused.
    let write = format!("json={}", fifo.display());
    let ran = loop {
        let ran = run(Netcheck::audit(copy.path()).args(&["--write", &write, "--format", "json"]));
        if ran.code != 2 {
            break ran;
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert!(reader.wait().unwrap().success());
    let read = fs::read(read).unwrap();
    assert!(read.len() > 200_000, "{}", read.len());
    assert!(ran.code == 1 && ran.stdout.as_bytes() == read, "{}", ran.stderr);
}

/// A pipeline whose first command failed does not replace a policy by the default one.
#[test]
fn an_empty_standard_input_is_no_policy() {
    let ran =
        crate::common::Netcheck::audit(&crate::common::story("private-only")).args(&["--policy", "-"]).run();
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("standard input is empty"), "{}", ran.stderr);
}
