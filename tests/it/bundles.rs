//! Bundles of nodes' logs, as eks-log-collector and a `NodeDiagnostic` make them.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tar::{Builder, EntryType, Header};

use crate::common::{Netcheck, copy_of, fixtures, scratch, story};
use crate::tables::entries;
use crate::tables::printers::netstat_of;

const HOST: &str = "9F5EA1B2C3D4E5F60718293A4B5C6D7E.gr7.ap-northeast-2.eks.amazonaws.com";

/// An archive, with entries in the order in which they are added.
struct Bundle(Builder<GzEncoder<Vec<u8>>>);

impl Bundle {
    fn new() -> Self {
        Self(Builder::new(GzEncoder::new(Vec::new(), Compression::fast())))
    }

    /// Adds a file, of any path: the builder refuses those that climb.
    fn file(self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        self.entry(path, EntryType::Regular, contents.as_ref())
    }

    fn entry(mut self, path: &str, kind: EntryType, contents: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(contents.len() as u64);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        self.0.append(&header, contents).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap().finish().unwrap()
    }
}

/// An archive with these files.
pub(crate) fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    files.iter().fold(Bundle::new(), |bundle, (path, contents)| bundle.file(path, contents)).bytes()
}

/// The endpoint's host in a story.
fn endpoint(dir: &Path) -> String {
    let cluster: Value = serde_json::from_slice(&fs::read(dir.join("cluster.json")).unwrap()).unwrap();
    cluster["cluster"]["endpoint"].as_str().unwrap().replace("https://", "")
}

/// What curl 8 prints in five attempts, with its progress meter and the answer.
fn curl(host: &str, addresses: &[&str]) -> String {
    let attempt = |number: u8| {
        format!(
            "curling https://{host} ({number} of 5) 2026-01-31T01:02:0{number}.004UTC\n\n\n* Host {host}:443 was resolved.\n* IPv6: (none)\n* IPv4: {}\n  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n                                 Dload  Upload   Total   Spent    Left  Speed\n\r  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0*   Trying {}:443...\n* Connected to {host} ({}) port 443\n* ALPN: curl offers h2,http/1.1\n}} [5 bytes data]\n* TLSv1.3 (OUT), TLS handshake, Client hello (1):\n* SSL connection using TLSv1.3 / TLS_AES_128_GCM_SHA256 / X25519 / RSASSA-PSS\n> GET /livez?verbose HTTP/2\n< HTTP/2 200\n< audit-id: 5d1e0a52-9a77-4d0e-bd0e-2f2a1f2c9b11\n<\n[+]ping ok\n[+]log ok\nlivez check passed\n* Connection #0 to host {host} left intact\n",
            addresses.join(", "),
            addresses[0],
            addresses[0],
        )
    };
    (1..=5).map(attempt).collect()
}

fn kubeconfig(host: &str) -> String {
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority: /etc/kubernetes/pki/ca.crt\n    server: https://{host}\n  name: kubernetes\nkind: Config\n"
    )
}

/// The archive of a node of a story, in the layout of eks-log-collector 0.7.8.
fn of_node(dir: &Path, node: &str, instance: &str) -> Bundle {
    let host = endpoint(dir);
    let capture = fs::read(dir.join(format!("nodes/{node}.txt"))).unwrap();
    let netstat = netstat_of(&entries(&capture), false);
    Bundle::new()
        .entry("./", EntryType::Directory, b"")
        .entry("./kernel/", EntryType::Directory, b"")
        .file("./kernel/dmesg.current", vec![b'x'; 300_000])
        .file("./system/instance-id.txt", format!("{instance}\n"))
        .file("./system/netstat.txt", netstat)
        .file("./kubelet/kubeconfig.yaml", kubeconfig(&host))
        .file("./networking/conntrack.txt", fs::read(fixtures().join("conntrack/conntrack.txt")).unwrap())
        .file("./networking/resolv.conf", "nameserver 192.168.0.2\nsearch ap-northeast-2.compute.internal\n")
        .file("./networking/curl_api_server.txt", curl(&host, &["192.168.1.55", "192.168.2.66"]))
        .file("./var_log/messages", vec![b'y'; 500_000])
}

const N1: &str = "i-00d7b63458527ea51";
const N2: &str = "i-0488858d872db36eb";

/// A copy of `private-only` whose nodes are bundles, with their answers in them.
fn private_only_in_bundles() -> tempfile::TempDir {
    let copy = copy_of("private-only");
    for (node, instance) in [("n1", N1), ("n2", N2)] {
        let bundle = of_node(&story("private-only"), node, instance).bytes();
        fs::write(copy.path().join(format!("nodes/{node}.tar.gz")), bundle).unwrap();
        fs::remove_file(copy.path().join(format!("nodes/{node}.txt"))).unwrap();
        fs::remove_file(copy.path().join(format!("dns/{node}.txt"))).unwrap_or_default();
    }
    copy
}

fn gaps_of(report: &Value, what: &str) -> String {
    let gaps = report["gaps"].as_array().unwrap().iter().filter(|gap| gap["what"] == what);
    let text =
        |gap: &Value| format!("{}: {}\n", gap["why"].as_str().unwrap(), gap["detail"].as_str().unwrap());
    gaps.map(text).collect::<Vec<_>>().concat()
}

/// Bundles with netstat have the result of captures of the same nodes.
#[test]
fn bundles_have_the_result_of_captures() {
    let (expected, code) = Netcheck::audit(&story("private-only")).json();
    let copy = private_only_in_bundles();
    let (report, with_bundles) = Netcheck::audit(copy.path()).json();
    assert_eq!((with_bundles, &report["gaps"]), (code, &expected["gaps"]));
    for key in ["findings", "node_traffic", "verdict"] {
        assert_eq!(report[key], expected[key], "{key}");
    }
    for node in report["nodes"].as_array().unwrap() {
        assert_eq!((&node["via"], &node["status"]), (&"bundle".into(), &"read".into()));
    }
    // The address to which curl connected is the node's own answer.
    let answers: Vec<_> =
        report["dns"].as_array().unwrap().iter().map(|answer| answer["vantage"].as_str().unwrap()).collect();
    assert_eq!(answers, ["here", "n1", "n2"]);
    assert_eq!(report["dns"][1]["addresses"], serde_json::json!(["192.168.1.55", "192.168.2.66"]));
}

/// The output of curl 7, whose progress is in front of the address; and of no curl at all.
#[test]
fn the_address_that_answered_is_the_answer_of_the_node() {
    let copy = private_only_in_bundles();
    let host = endpoint(copy.path());
    let capture = fs::read(story("private-only").join("nodes/n1.txt")).unwrap();
    let audit = |curl: Option<String>| {
        let mut bundle = Bundle::new()
            .file("system/netstat.txt", netstat_of(&entries(&capture), false))
            .file("networking/resolv.conf", "nameserver 10.9.8.7\n");
        if let Some(curl) = curl {
            bundle = bundle.file("networking/curl_api_server.txt", curl);
        }
        fs::write(copy.path().join("nodes/n1.tar.gz"), bundle.bytes()).unwrap();
        let (report, _) = Netcheck::audit(copy.path()).json();
        let dns = report["dns"].as_array().unwrap().clone();
        (dns.into_iter().find(|answer| answer["vantage"] == "n1"), report["gaps"].to_string())
    };
    let meter = "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n                                 Dload  Upload   Total   Spent    Left  Speed\n\r  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0";
    let (answer, _) = audit(Some(format!(
        "curling https://{host} (1 of 5)\n\n\n{meter}*   Trying 192.168.1.55:443...\n* Connected to {host} (192.168.1.55) port 443 (#0)\n< x: 9.9.9.9\n[+]ping ok\n9.9.9.9\n"
    )));
    assert_eq!(answer.unwrap()["addresses"], serde_json::json!(["192.168.1.55"]));
    let (answer, gaps) = audit(None);
    assert!(answer.is_none() && gaps.contains("name servers are 10.9.8.7"), "{gaps}");
    let (answer, gaps) = audit(Some(format!("curling https://{host}\n* Could not resolve host: {host}\n")));
    assert!(answer.is_none() && gaps.contains("curl did not get an address"), "{gaps}");
}

/// `--bundle` adds nodes, which are named after their instances.
#[test]
fn bundles_are_named_after_their_instances() {
    let copy = private_only_in_bundles();
    let dir = scratch();
    let mut paths = Vec::new();
    for (node, name) in
        [("n1", "eks_i-00d7b63458527ea51_2026-01-31_0102-UTC_0.7.8.tar.gz"), ("n2", "other.tar.gz")]
    {
        let path = dir.path().join(name);
        fs::rename(copy.path().join(format!("nodes/{node}.tar.gz")), &path).unwrap();
        paths.push(path);
    }
    let (report, code) = Netcheck::audit(copy.path()).arg("--bundle").arg(&paths[0]).arg(&paths[1]).json();
    let names: Vec<_> =
        report["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!((code, names), (0, vec![N1, N2]));
    // One node alone: the other one is missing.
    let (report, code) = Netcheck::audit(copy.path()).arg("--bundle").arg(&paths[0]).json();
    assert_eq!(code, 3, "{}", report["gaps"]);
    // The same node twice.
    let ran =
        Netcheck::audit(copy.path()).arg("--bundle").arg(&paths[0]).arg("--bundle").arg(&paths[0]).run();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("are both of node i-00d7b63458527ea51"), "{}", ran.stderr);
    fs::copy(&paths[0], copy.path().join("nodes/i-0123456789abcdef0.tar.gz")).unwrap();
    let ran = Netcheck::audit(copy.path()).run();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("rename it"), "{}", ran.stderr);
}

/// What is no archive of a node is an error of usage.
#[test]
fn bundles_that_cannot_be_opened_are_refused() {
    let dir = scratch();
    let pipe = dir.path().join("pipe.tar.gz");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let unnamed = dir.path().join("-x.tar.gz");
    fs::write(&unnamed, "x").unwrap();
    let missing = dir.path().join("missing.tar.gz");
    for (path, why) in [
        (dir.path(), "not a regular file"),
        (&pipe, "not a regular file"),
        (&missing, "cannot read"),
        (&unnamed, "does not show of which node it is"),
    ] {
        let ran = Netcheck::audit(&story("private-only")).arg("--bundle").arg(path).run();
        assert_eq!(ran.code, 2, "{}: {}", path.display(), ran.stdout);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
    }
    let ran = Netcheck::audit(&story("private-only")).args(&["--bundle", "x", "--nodes", "ssh"]).run();
    assert_eq!(ran.code, 2);
}

/// A bundle of a node of another cluster is refused; a kubelet behind a load balancer of the
/// operator's own is not of another cluster.
#[test]
fn bundles_of_other_clusters_are_refused() {
    let copy = private_only_in_bundles();
    let path = copy.path().join("nodes/n1.tar.gz");
    let with_server = |host: &str| {
        let capture = fs::read(story("private-only").join("nodes/n1.txt")).unwrap();
        let bundle = Bundle::new()
            .file("system/netstat.txt", netstat_of(&entries(&capture), false))
            .file("kubelet/kubeconfig.yaml", kubeconfig(host));
        fs::write(&path, bundle.bytes()).unwrap();
        Netcheck::audit(copy.path()).run()
    };
    let ran = with_server(HOST);
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("of a node of another cluster"), "{}", ran.stderr);
    // In another domain of EKS.
    assert_eq!(with_server("0F5EA1B2C3D4E5F60718293A4B5C6D7E.eks-cluster.ap-northeast-2.api.aws").code, 2);
    assert_eq!(with_server("internal-api.elb.ap-northeast-2.amazonaws.com").code, 0);
    let own = endpoint(&story("private-only"));
    assert_eq!(with_server(&own.to_ascii_uppercase()).code, 0);
}

/// The rest of the evidence comes from AWS and DNS; the nodes are not logged in to.
#[cfg(feature = "live")]
#[test]
fn bundles_are_audited_with_the_answers_of_aws() {
    let copy = private_only_in_bundles();
    let aws = crate::aws::Aws::of("private-only");
    let bundle = |node: &str| copy.path().join(format!("nodes/{node}.tar.gz"));
    let audit = |bundles: [PathBuf; 2]| {
        let [n1, n2] = bundles.map(|path| path.display().to_string());
        aws.run("audit").args(&["--timeout", "20", "--bundle", &n1, "--bundle", &n2])
    };
    let (report, _) = audit([bundle("n1"), bundle("n2")]).json();
    let (recorded, _) = Netcheck::audit(copy.path()).json();
    // EC2 names the nodes by their ids.
    let paths = |report: &Value| {
        let nodes = report["node_traffic"].as_array().unwrap().iter();
        nodes.map(|node| (node["path"].clone(), node["components"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(paths(&report), paths(&recorded), "{report:#}");
    for node in report["nodes"].as_array().unwrap() {
        assert_eq!((&node["via"], &node["status"]), (&"bundle".into(), &"read".into()), "{report:#}");
    }
    // Of another cluster.
    let other = copy.path().join("n1.tar.gz");
    let bytes = Bundle::new().file("kubelet/kubeconfig.yaml", kubeconfig(HOST)).bytes();
    fs::write(&other, bytes).unwrap();
    let ran = audit([other, bundle("n2")]).run();
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("of a node of another cluster"), "{}", ran.stderr);
}

/// Auto Mode and Bottlerocket have no netstat: conntrack shows the connections of the node's
/// own address, and is never a pass.
#[test]
fn bundles_with_conntrack_alone_have_no_processes() {
    let copy = copy_of("private-only");
    let host = endpoint(copy.path());
    fs::remove_file(copy.path().join("nodes/n1.txt")).unwrap();
    let conntrack = fs::read(fixtures().join("conntrack/conntrack.txt")).unwrap();
    let routes = "default via 192.168.1.1 dev eth0 proto dhcp src 192.168.1.20 metric 1024\nlocal 192.168.1.20 dev eth0 table local proto kernel scope host src 192.168.1.20\n";
    let bundle = || {
        Bundle::new()
            .file("networking/conntrack.txt", &conntrack)
            .file("networking/conntrack6.txt", "*** Output of conntrack -L -f ipv6 ***\n")
            .file("kubelet/kubeconfig.yaml", kubeconfig(&host))
    };
    let audit = |bytes: Vec<u8>| {
        // A name that says nothing about its address.
        fs::write(copy.path().join("nodes/worker.tar.gz"), bytes).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        assert_eq!(code, 3);
        let node = report["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "worker").unwrap();
        assert_eq!((&node["status"], &node["via"]), (&"no-process-names".into(), &"bundle".into()));
        let traffic = report["node_traffic"]
            .as_array()
            .unwrap()
            .iter()
            .find(|traffic| traffic["node"] == "worker")
            .unwrap();
        assert_eq!(traffic["path"], "unknown");
        let rows =
            report["connections"].as_array().unwrap().iter().filter(|row| row["node"] == "worker").count();
        (rows, gaps_of(&report, "node worker"))
    };
    let (rows, gaps) = audit(bundle().bytes());
    assert_eq!(rows, 0);
    assert!(gaps.contains("none of the connections counts as its own"), "{gaps}");
    let (rows, gaps) = audit(bundle().file("networking/iproute.txt", routes).bytes());
    assert_eq!(rows, 3, "{gaps}");
    let (rows, gaps) = audit(bundle().file("system/instance-id.txt", N1).bytes());
    assert_eq!(rows, 3, "{gaps}");
    // netstat that is not installed.
    let netstat = "timeout: failed to run command 'netstat': No such file or directory\n";
    let (rows, _) =
        audit(bundle().file("system/instance-id.txt", N1).file("system/netstat.txt", netstat).bytes());
    assert_eq!(rows, 3);
}

/// A bundle that was cut, or is damaged, anywhere is not read.
#[test]
fn bundles_that_were_cut_are_not_read() {
    let copy = private_only_in_bundles();
    let path = copy.path().join("nodes/n1.tar.gz");
    let bytes = fs::read(&path).unwrap();
    let is_unread = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        assert_eq!(code, 3);
        let gaps = gaps_of(&report, "node n1");
        assert!(gaps.starts_with("malformed: its bundle of logs cannot be read"), "{gaps}");
    };
    for length in (0..bytes.len()).step_by(bytes.len() / 20) {
        is_unread(&bytes[..length]);
    }
    is_unread(&bytes[..bytes.len() - 1]);
    for at in [12, bytes.len() / 2, bytes.len() - 6] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        is_unread(&damaged);
    }
    is_unread(b"PK\x03\x04 not gzip");
    let gaps = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        assert_eq!(code, 3);
        gaps_of(&report, "node n1")
    };
    assert!(gaps(b"PK\x03\x04 not gzip").contains("it is not a gzip archive"));
    assert!(gaps(b"").contains("it is empty"));
    // A second archive, in the same gzip file or in one of its own, and text.
    let tar = |bytes: &[u8]| {
        let mut tar = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut tar).unwrap();
        tar
    };
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let one = tar(&bytes);
    for rest in [&one[..], b"x", &[vec![0; 70_000], b"x".to_vec()].concat()] {
        let below = "it has data below its end";
        assert!(gaps(&gzip(&[&one[..], rest].concat())).contains(below), "{}", rest.len());
        assert!(gaps(&[&bytes[..], &gzip(rest)].concat()).contains(below), "{}", rest.len());
    }
    // tar fills its last record with zeros.
    fs::write(&path, gzip(&[&one[..], &[0; 10_240]].concat())).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).json().1, 0);
    let ran = Netcheck::audit(copy.path()).run();
    assert!(ran.stdout.contains("n1"), "{}", ran.stdout);
}

/// Links, devices, absolute paths, paths that climb, other directories: none is a part of a
/// bundle, and nothing is written anywhere.
#[test]
fn hostile_entries_are_not_read() {
    let copy = private_only_in_bundles();
    let capture = fs::read(story("private-only").join("nodes/n1.txt")).unwrap();
    let netstat = netstat_of(&entries(&capture), false);
    let public = netstat.replace("192.168.1.55:443", "3.39.55.189:443");
    let hostile = |bundle: Bundle| {
        bundle
            .file("/system/netstat.txt", &public)
            .file("../system/netstat.txt", &public)
            .file("x/../system/netstat.txt", &public)
            .file("a/b/system/netstat.txt", &public)
            .entry("networking/netstat.txt", EntryType::Symlink, b"")
            .entry("networking/resolv.conf", EntryType::Link, b"")
            .entry("networking/conntrack.txt", EntryType::Fifo, b"")
            .entry("networking/conntrack6.txt", EntryType::Char, b"")
    };
    let before = tree(copy.path());
    let audit = |bundle: Bundle| {
        fs::write(copy.path().join("nodes/n1.tar.gz"), bundle.bytes()).unwrap();
        Netcheck::audit(copy.path()).dir(copy.path()).json()
    };
    let (report, code) = audit(hostile(Bundle::new()).file("system/netstat.txt", &netstat));
    assert_eq!(code, 0, "{}", report["findings"]);
    let (report, code) = audit(hostile(Bundle::new()));
    assert_eq!(code, 3);
    let gaps = gaps_of(&report, "node n1");
    assert!(gaps.contains("contains neither system/netstat.txt nor networking/conntrack.txt"), "{gaps}");
    // The same name twice: tar extracts the last one.
    let twice = Bundle::new().file("system/netstat.txt", &netstat).file("./system/netstat.txt", &public);
    let (report, code) = audit(twice);
    assert_eq!(code, 3);
    assert!(gaps_of(&report, "node n1").contains("the same file twice"));
    assert_eq!(tree(copy.path()), before);
    // A link in the directory that leads out of it.
    let outside = scratch();
    let target = outside.path().join("n1.tar.gz");
    fs::rename(copy.path().join("nodes/n1.tar.gz"), &target).unwrap();
    std::os::unix::fs::symlink(&target, copy.path().join("nodes/n1.tar.gz")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 2);
}

/// The paths in a directory.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.extend(tree(&path));
        }
        paths.push(path);
    }
    paths.sort();
    paths
}

/// Archives that become very large, have many entries, or a header of any size, end early.
#[test]
fn archives_that_grow_are_refused() {
    let copy = private_only_in_bundles();
    let refused = |bytes: Vec<u8>, why: &str| {
        assert!(bytes.len() < 4 << 20, "{}", bytes.len());
        fs::write(copy.path().join("nodes/n1.tar.gz"), bytes).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        let gaps = gaps_of(&report, "node n1");
        assert_eq!(code, 3);
        assert!(gaps.contains(why), "{gaps}");
    };
    let zeros = vec![0; 1 << 20];
    let bomb = |kind: EntryType, name: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let mut header = Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_size(200 << 20);
        header.set_cksum();
        encoder.write_all(header.as_bytes()).unwrap();
        (0..200).for_each(|_| encoder.write_all(&zeros).unwrap());
        encoder.finish().unwrap()
    };
    let too_large = "when it is decompressed";
    refused(bomb(EntryType::Regular, "var_log/messages"), too_large);
    refused(bomb(EntryType::Regular, "system/netstat.txt"), too_large);
    // A name of 200 MiB, which other readers keep in memory.
    refused(bomb(EntryType::GNULongName, "x"), too_large);
    refused(bomb(EntryType::XHeader, "x"), too_large);
    refused(bomb(EntryType::Regular, "system/instance-id.txt"), "exceeds 1 MiB");
    let mut many = Bundle::new();
    for number in 0..100_001 {
        many = many.file(&format!("f{number}"), "");
    }
    refused(many.bytes(), "more than 100000 entries");
}

/// Which of two lists of sockets is judged is said, unless the other one has none; and so is
/// how to get a better bundle, which needs no login.
#[test]
fn a_second_list_of_sockets_is_said() {
    let copy = private_only_in_bundles();
    let capture = fs::read(story("private-only").join("nodes/n1.txt")).unwrap();
    let netstat = netstat_of(&entries(&capture), false);
    let audit = |bundle: Bundle| {
        fs::write(copy.path().join("nodes/n1.tar.gz"), bundle.bytes()).unwrap();
        Netcheck::audit(copy.path()).json()
    };
    let other = netstat.replace("192.168.1.55:443", "3.39.55.189:443");
    let of = |first: &str, second: &str| {
        Bundle::new().file("networking/netstat.txt", second).file("system/netstat.txt", first)
    };
    let (report, code) = audit(of(&netstat, &other));
    let gaps = report["gaps"].as_array().unwrap();
    let gap = gaps.iter().find(|gap| gap["what"] == "node n1").unwrap();
    assert!(gap["detail"].as_str().unwrap().contains("two lists of sockets"), "{gap}");
    assert!(gap["hint"].as_str().unwrap().contains("eks-log-collector"), "{gap}");
    assert_eq!(code, 3);
    let broken = "timeout: failed to run command 'netstat': No such file or directory\n";
    for (first, second) in [(netstat.as_str(), broken), (broken, netstat.as_str())] {
        let (report, code) = audit(of(first, second));
        assert_eq!((code, gaps_of(&report, "node n1").as_str()), (0, ""));
    }
    // Whatever is missing, the next step is one for a bundle.
    let nameless = netstat_of(&entries(&capture), false).replace("kubelet", "-").replace("kube-proxy", "-");
    for bundle in [
        Bundle::new(),
        Bundle::new().file("system/netstat.txt", broken),
        Bundle::new().file("system/netstat.txt", nameless),
        Bundle::new()
            .file("networking/conntrack.txt", fs::read(fixtures().join("conntrack/conntrack.txt")).unwrap())
            .file("system/instance-id.txt", N1),
    ] {
        let (report, code) = audit(bundle);
        assert_eq!(code, 3);
        let gaps = report["gaps"].as_array().unwrap().iter().filter(|gap| gap["what"] == "node n1");
        let hints: Vec<_> = gaps.map(|gap| gap["hint"].as_str().unwrap()).collect();
        assert!(!hints.is_empty() && hints.iter().all(|hint| !hint.contains("ssh n1")), "{hints:#?}");
    }
}
