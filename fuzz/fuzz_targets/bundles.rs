//! Bundles of a node's logs: archives of arbitrary entries, damaged at arbitrary places. None
//! that was cut is read, and no entry but those with the exact names is.
#![no_main]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::LazyLock;

use eks_netcheck::evidence::directory::EvidenceDir;
use eks_netcheck::evidence::nodes::read_nodes;
use eks_netcheck::model::gap::GapReason;
use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use tar::{Builder, EntryType, Header};

/// The names of entries: those of bundles first.
const NAMES: [&str; 14] = [
    "system/netstat.txt",
    "./networking/netstat.txt",
    "x/networking/conntrack.txt",
    "networking/conntrack6.txt",
    "networking/resolv.conf",
    "networking/curl_api_server.txt",
    "networking/iproute.txt",
    "kubelet/kubeconfig.yaml",
    "system/instance-id.txt",
    "/system/netstat.txt",
    "../system/netstat.txt",
    "x/../system/netstat.txt",
    "a/b/system/netstat.txt",
    "",
];
/// The types of entries: files first.
const KINDS: [EntryType; 6] = [
    EntryType::Regular,
    EntryType::Continuous,
    EntryType::Symlink,
    EntryType::XHeader,
    EntryType::GNULongName,
    EntryType::GNUSparse,
];

/// A directory with one bundle.
static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("eks-netcheck-fuzz-{}", std::process::id()));
    fs::create_dir_all(dir.join("nodes")).expect("a directory");
    dir
});

type Entry = (u8, u8, Vec<u8>);

fuzz_target!(|input: (Vec<Entry>, Vec<(u16, u8)>, u16)| {
    let (entries, damage, cut) = input;
    let mut builder = Builder::new(Vec::new());
    let mut has_sockets = false;
    for (name, kind, contents) in &entries {
        let name = usize::from(*name) % NAMES.len();
        let kind = KINDS[usize::from(*kind) % KINDS.len()];
        has_sockets |= name < 4 && matches!(kind, EntryType::Regular | EntryType::Continuous);
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..NAMES[name].len()].copy_from_slice(NAMES[name].as_bytes());
        header.set_entry_type(kind);
        header.set_size(contents.len() as u64);
        header.set_cksum();
        builder.append(&header, &contents[..]).expect("memory");
    }
    let mut archive = builder.into_inner().expect("memory");
    for (at, change) in &damage {
        let at = usize::from(*at) % archive.len();
        archive[at] ^= change;
    }
    let is_damaged = damage.iter().any(|(_, change)| *change != 0);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&archive).expect("memory");
    let bytes = encoder.finish().expect("memory");
    let (rows, _) = read(&bytes);
    assert!(is_damaged || has_sockets || rows == 0, "rows of no file");
    let length = usize::from(cut) % bytes.len();
    let (rows, is_refused) = read(&bytes[..length]);
    assert!(rows == 0 && is_refused, "a bundle that was cut is read");
});

/// The number of rows of a bundle, and whether it is refused.
fn read(bytes: &[u8]) -> (usize, bool) {
    fs::write(DIR.join("nodes/n1.tar.gz"), bytes).expect("a file");
    let dir = EvidenceDir::open(&DIR).expect("a directory");
    let mut rows = 0;
    // It may be of an instance of another name.
    let Ok(nodes) = read_nodes(&dir, |_, _| rows += 1) else { return (rows, true) };
    let gaps = nodes.iter().flat_map(|node| &node.gaps);
    (rows, { gaps }.any(|gap| gap.why == GapReason::Malformed))
}
