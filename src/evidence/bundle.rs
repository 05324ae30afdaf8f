//! Bundles of a node's logs: the archives of eks-log-collector, of Systems Manager's
//! `AWSSupport-CollectEKSInstanceLogs`, and of a `NodeDiagnostic` of the node monitoring agent.
//!
//! An archive is read as a stream, and nothing of it is written to disk: a few small files
//! first, then the sockets. It may be from somebody else, so only regular files with the
//! exact names of these count, and its size is limited when it is decompressed.
//!
//! <https://github.com/awslabs/amazon-eks-ami/tree/main/log-collector-script/linux>
//! <https://github.com/aws/eks-node-monitoring-agent>

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::error::EvidenceError;
use super::files::{BUNDLE, open_inside, open_regular, too_large};
use crate::capture::line::Row;
use crate::capture::reading::CaptureSummary;
use crate::model::name::NodeName;

/// A file of a bundle that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// `netstat -plant`.
    Netstat,
    /// The same in another directory.
    NetstatOfNetworking,
    /// `conntrack -S` and `conntrack -L`.
    Conntrack,
    /// `conntrack -L -f ipv6`.
    Conntrack6,
    /// `/etc/resolv.conf`.
    ResolvConf,
    /// `curl -v` of the API server.
    Curl,
    /// `ip route show table all`.
    Routes,
    /// The configuration with which the kubelet connects to the API server.
    Kubeconfig,
    /// The id of the instance.
    InstanceId,
}

/// The names of the parts.
const PARTS: [(&str, &str, Part); 9] = [
    ("system", "netstat.txt", Part::Netstat),
    ("networking", "netstat.txt", Part::NetstatOfNetworking),
    ("networking", "conntrack.txt", Part::Conntrack),
    ("networking", "conntrack6.txt", Part::Conntrack6),
    ("networking", "resolv.conf", Part::ResolvConf),
    ("networking", "curl_api_server.txt", Part::Curl),
    ("networking", "iproute.txt", Part::Routes),
    ("kubelet", "kubeconfig.yaml", Part::Kubeconfig),
    ("system", "instance-id.txt", Part::InstanceId),
];

impl Part {
    /// The part with this path, at the root of the archive or in one directory there.
    /// Absolute paths and those that climb are none.
    fn of(path: &[u8]) -> Option<Self> {
        let path = std::str::from_utf8(path).ok()?;
        let names: Vec<_> = path.split('/').filter(|name| *name != ".").take(4).collect();
        let [above @ .., dir, file] = names.as_slice() else { return None };
        let is_root = matches!(above, [] | [_]) && above.iter().all(|name| !matches!(*name, "" | ".."));
        let known = PARTS.iter().find(|(in_dir, name, _)| in_dir == dir && name == file);
        known.filter(|_| is_root).map(|(.., part)| *part)
    }

    /// Whether the part lists sockets or connections, and is not kept in memory.
    fn is_capture(self) -> bool {
        matches!(self, Self::Netstat | Self::NetstatOfNetworking | Self::Conntrack | Self::Conntrack6)
    }
}

/// The largest archive.
const BUNDLE_MAX: u64 = 1 << 30;
/// The largest of the small files.
const SMALL_MAX: u64 = 1 << 20;
/// The most entries of an archive.
const ENTRIES_MAX: usize = 100_000;
/// The largest size of an archive that is decompressed.
const UNPACKED_MAX: u64 = 2 << 30;
/// The size of an archive that is decompressed in any case, and how many times as large as the
/// compressed one it may be beyond it. Logs become some 10 to 50 times as large.
const UNPACKED_MIN: u64 = 64 << 20;
const RATIO_MAX: u64 = 200;

/// The first bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A bundle.
#[derive(Debug)]
pub(super) struct Bundle {
    /// The node.
    pub(super) name: NodeName,
    /// The archive.
    pub(super) path: PathBuf,
    /// The evidence directory that the archive must be in, if it is in one.
    root: Option<PathBuf>,
    /// What its small files say, or why it cannot be used.
    pub(super) contents: Result<Contents, String>,
}

impl Bundle {
    /// The bundle of a node in an evidence directory.
    ///
    /// # Errors
    /// If the archive cannot be opened, or is of another instance than that of its name.
    pub(super) fn in_directory(name: NodeName, root: &Path, path: PathBuf) -> Result<Self, EvidenceError> {
        let mut bundle = Self { name, path, root: Some(root.to_owned()), contents: Err(String::new()) };
        bundle.contents = read_contents(bundle.open()?).map_err(|error| problem(&error));
        let instance = bundle.contents.as_ref().ok().and_then(|contents| contents.instance.as_deref());
        match instance {
            Some(instance) if is_instance_id(bundle.name.as_str()) && instance != bundle.name.as_str() => {
                Err(EvidenceError::Unusable(format!(
                    "{} is of the instance {instance}, not of {}; rename it",
                    bundle.path.display(),
                    bundle.name
                )))
            }
            _ => Ok(bundle),
        }
    }

    /// A bundle at another path. Its node is named after the instance, or else after the
    /// node's address.
    ///
    /// # Errors
    /// If it cannot be opened, or does not show of which node it is.
    pub(super) fn of_file(path: &Path) -> Result<Self, EvidenceError> {
        let mut bundle = Self {
            name: NodeName::unnamed(),
            path: path.to_owned(),
            root: None,
            contents: Err(String::new()),
        };
        bundle.contents = read_contents(bundle.open()?).map_err(|error| problem(&error));
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let of_contents = bundle.contents.as_ref().ok().and_then(|contents| {
            let address = contents.address.map(|address| address.to_string());
            contents.instance.clone().or(address)
        });
        let name = of_contents.or_else(|| instance_in_name(file).map(ToOwned::to_owned));
        let name = name.or_else(|| file.strip_suffix(BUNDLE).map(ToOwned::to_owned));
        bundle.name = name.and_then(|name| name.parse().ok()).ok_or_else(|| {
            EvidenceError::Unusable(format!(
                "{} does not show of which node it is; name it after the node: NODE{BUNDLE}",
                path.display()
            ))
        })?;
        Ok(bundle)
    }

    /// Opens the archive.
    fn open(&self) -> Result<fs::File, EvidenceError> {
        let path = &self.path;
        let file = match &self.root {
            Some(root) => open_inside(root, path, BUNDLE_MAX)?,
            None => open_regular(path).map_err(EvidenceError::io("read", path))?,
        };
        let file =
            file.ok_or_else(|| EvidenceError::Unusable(format!("{} is not a regular file", path.display())))?;
        let size = file.metadata().map_err(EvidenceError::io("read", path))?.len();
        if size > BUNDLE_MAX { Err(too_large(path, BUNDLE_MAX)) } else { Ok(file) }
    }

    /// Reads the sockets and passes each row to `sink`: those that netstat lists, or else the
    /// connections that conntrack does. `None` if the bundle has neither. Of two lists of
    /// netstat, the first is read.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn read_sockets(
        &self,
        contents: &Contents,
        mut sink: impl FnMut(Row<'_>),
    ) -> Result<Option<Sockets>, EvidenceError> {
        let mut empty = None;
        let of_netstat = [Part::Netstat, Part::NetstatOfNetworking];
        let kinds: [&[Part]; 3] =
            [&[Part::Netstat], &[Part::NetstatOfNetworking], &[Part::Conntrack, Part::Conntrack6]];
        let has_any = |parts: &&[Part]| parts.iter().any(|part| contents.captures.contains(part));
        for parts in kinds.into_iter().filter(has_any) {
            let mut summary: Option<CaptureSummary> = None;
            let walked = walk(self.open()?, |part, entry| {
                if parts.contains(&part) {
                    let one = CaptureSummary::read(&self.name, entry, &mut sink)?;
                    match &mut summary {
                        Some(summary) => summary.merge(one),
                        None => summary = Some(one),
                    }
                }
                Ok(())
            });
            walked.map_err(EvidenceError::io("read", &self.path))?;
            match summary {
                // netstat is not installed everywhere: the file has its error then.
                Some(summary) if summary.tally.rows == 0 => empty = empty.or(Some(summary)),
                Some(summary) => {
                    let has_two = parts == [of_netstat[0]] && contents.captures.contains(&of_netstat[1]);
                    let has_second = has_two && self.has_rows(of_netstat[1])?;
                    return Ok(Some(Sockets { summary, has_second }));
                }
                None => {}
            }
        }
        Ok(empty.map(|summary| Sockets { summary, has_second: false }))
    }

    /// Whether a part lists any socket.
    fn has_rows(&self, wanted: Part) -> Result<bool, EvidenceError> {
        let mut has_rows = false;
        let walked = walk(self.open()?, |part, entry| {
            if part == wanted {
                has_rows = CaptureSummary::read(&self.name, entry, |_| {})?.tally.rows > 0;
            }
            Ok(())
        });
        walked.map_err(EvidenceError::io("read", &self.path))?;
        Ok(has_rows)
    }
}

/// The sockets of a bundle.
pub(super) struct Sockets {
    /// A summary of the list that was read.
    pub(super) summary: CaptureSummary,
    /// Whether another list of sockets was not read.
    pub(super) has_second: bool,
}

/// Why an archive cannot be used.
fn problem(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early: it was cut".to_owned(),
        _ => error.to_string(),
    }
}

/// What the small files of a bundle say.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The id of the instance.
    pub(super) instance: Option<String>,
    /// The node's own address: the source address of its default route.
    pub(super) address: Option<IpAddr>,
    /// The host to which its kubelet connects.
    pub(super) server: Option<String>,
    /// The lines in which curl reports what the endpoint's name resolved to; `None` if it
    /// was not run.
    pub(super) answer: Option<Vec<u8>>,
    /// Its name servers.
    pub(super) name_servers: Vec<String>,
    captures: Vec<Part>,
}

/// Reads the small files of a bundle, and checks that it is whole.
///
/// # Errors
/// If it cannot be read, is damaged, or exceeds a limit.
fn read_contents(file: fs::File) -> io::Result<Contents> {
    let mut contents = Contents::default();
    let mut small = BTreeMap::new();
    walk(file, |part, entry| {
        if part.is_capture() {
            contents.captures.push(part);
            return Ok(());
        }
        let mut bytes = Vec::new();
        entry.take(SMALL_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > SMALL_MAX {
            return Err(io::Error::other("a file of it that is small in such a bundle exceeds 1 MiB"));
        }
        small.insert(part, bytes);
        Ok(())
    })?;
    contents.captures.sort_unstable();
    let text = |part| small.get(&part).map(|bytes: &Vec<u8>| String::from_utf8_lossy(bytes));
    let instance = text(Part::InstanceId).map(|text| text.trim().to_owned());
    contents.instance = instance.filter(|id| is_instance_id(id));
    contents.address = text(Part::Routes).and_then(|text| own_address(&text));
    contents.server = text(Part::Kubeconfig).and_then(|text| server(&text));
    contents.answer = text(Part::Curl).map(|text| lines_of_curl(&text));
    contents.name_servers = text(Part::ResolvConf).map(|text| name_servers(&text)).unwrap_or_default();
    Ok(contents)
}

/// Passes the parts of an archive to `visit`, in the order in which they are in it.
fn walk(file: fs::File, mut visit: impl FnMut(Part, &mut dyn Read) -> io::Result<()>) -> io::Result<()> {
    let size = file.metadata()?.len();
    let max = UNPACKED_MAX.min(UNPACKED_MIN + size.saturating_mul(RATIO_MAX));
    let mut file = BufReader::new(file);
    match file.fill_buf()? {
        [] => return Err(io::Error::other("it is empty")),
        start if !start.starts_with(&GZIP) && start.len() >= GZIP.len() => {
            return Err(io::Error::other("it is not a gzip archive"));
        }
        _ => {}
    }
    let decoder = MultiGzDecoder::new(file);
    let mut archive = tar::Archive::new(Limited { reader: decoder, left: max, max });
    let mut seen = Vec::new();
    // Extended headers are not interpreted: they would be read into memory, and no part has
    // a name that needs one.
    for (number, entry) in archive.entries()?.raw(true).enumerate() {
        if number == ENTRIES_MAX {
            return Err(io::Error::other(format!("it has more than {ENTRIES_MAX} entries")));
        }
        let mut entry = entry?;
        // Links and devices are none.
        let part = if entry.header().entry_type().is_file() { Part::of(&entry.path_bytes()) } else { None };
        let Some(part) = part else { continue };
        if seen.contains(&part) {
            return Err(io::Error::other("it has the same file twice"));
        }
        seen.push(part);
        visit(part, &mut entry)?;
    }
    // The checksum of gzip is at the end. What stands in front of it, and below the end of the
    // archive, is no entry: another archive, for one.
    let mut rest = BufReader::new(archive.into_inner());
    loop {
        let piece = rest.fill_buf()?;
        let length = piece.len();
        if length == 0 {
            return Ok(());
        }
        if piece.iter().any(|byte| *byte != 0) {
            return Err(io::Error::other("it has data below its end, such as a second archive"));
        }
        rest.consume(length);
    }
}

/// A reader that fails at a limit.
struct Limited<R> {
    reader: R,
    left: u64,
    max: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::other(format!(
                "it is larger than {} MiB when it is decompressed, which logs of this size are not",
                self.max >> 20
            ))
        })?;
        Ok(read)
    }
}

/// Whether a text is the id of an instance, or of a hybrid node.
fn is_instance_id(text: &str) -> bool {
    let number = text.strip_prefix("i-").or_else(|| text.strip_prefix("mi-"));
    number.is_some_and(|number| {
        (8..=17).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// The id of the instance in the name of a bundle, such as
/// `eks_i-0123456789abcdef0_2026-01-31_0102-UTC_0.7.8.tar.gz`.
fn instance_in_name(name: &str) -> Option<&str> {
    name.split(|char: char| !char.is_ascii_alphanumeric() && char != '-').find(|word| is_instance_id(word))
}

/// The lines of curl itself, without those of the answer and its progress, which may be in
/// front of them.
fn lines_of_curl(text: &str) -> Vec<u8> {
    let own = text.lines().filter_map(|line| {
        let start = if line.starts_with('*') { Some(0) } else { line.find("*   Trying ") };
        start.map(|start| &line[start..])
    });
    own.flat_map(|line| [line, "\n"]).collect::<String>().into_bytes()
}

/// The source address of the default route with the lowest metric.
fn own_address(routes: &str) -> Option<IpAddr> {
    let sources = routes.lines().filter(|line| line.starts_with("default ")).filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let after = |key| words.iter().position(|word| *word == key).and_then(|at| words.get(at + 1));
        // Routes of other tables are those of secondary interfaces.
        if after("table").is_some_and(|table| *table != "main") {
            return None;
        }
        let metric = after("metric").and_then(|metric| metric.parse().ok()).unwrap_or(0u32);
        Some((metric, after("src")?.parse().ok()?))
    });
    sources.min().map(|(_, address)| address)
}

/// The host of the server in a kubeconfig.
fn server(kubeconfig: &str) -> Option<String> {
    let url =
        kubeconfig.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix("server:"))?;
    let url = url.trim().trim_matches(['"', '\'']);
    let rest = url.strip_prefix("https://")?;
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    };
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

fn name_servers(resolv_conf: &str) -> Vec<String> {
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        let address = (words.next() == Some("nameserver")).then(|| words.next()).flatten()?;
        address.parse::<IpAddr>().ok().map(|address| address.to_string())
    };
    resolv_conf.lines().filter_map(of_line).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_parts() {
        for (path, expected) in [
            ("system/netstat.txt", Some(Part::Netstat)),
            ("./system/netstat.txt", Some(Part::Netstat)),
            ("eks-log-collector/system/netstat.txt", Some(Part::Netstat)),
            ("./networking/conntrack6.txt", Some(Part::Conntrack6)),
            ("/system/netstat.txt", None),
            ("../system/netstat.txt", None),
            ("x/../system/netstat.txt", None),
            ("a/b/system/netstat.txt", None),
            ("system/netstat.txt/", None),
            ("netstat.txt", None),
            ("system\\netstat.txt", None),
            ("", None),
        ] {
            assert_eq!(Part::of(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn small_files_are_read() {
        let routes = "default via 192.168.2.1 dev ens6 table 2 src 192.168.2.9\n\
            default via 192.168.1.1 dev ens6 proto dhcp src 192.168.1.77 metric 1024\n\
            default via 192.168.1.1 dev ens5 proto dhcp src 192.168.1.20 metric 512\n\
            local 192.168.1.20 dev ens5 table local proto kernel scope host src 192.168.1.20\n";
        assert_eq!(own_address(routes), Some("192.168.1.20".parse().expect("an address")));
        for (text, host) in [
            (
                "clusters:\n- cluster:\n    server: https://ABC.gr7.eu-west-1.eks.amazonaws.com\n",
                "abc.gr7.eu-west-1.eks.amazonaws.com",
            ),
            ("  server: \"https://lb.example:6443/\"\n", "lb.example"),
        ] {
            assert_eq!(server(text).as_deref(), Some(host));
        }
        assert_eq!(server("server: MASTER_ENDPOINT\n"), None);
        assert_eq!(name_servers("search x\nnameserver 192.168.0.2\nnameserver x\n"), ["192.168.0.2"]);
        let name = "eks_i-0123456789abcdef0_2026-01-31_0102-UTC_0.7.8.tar.gz";
        assert_eq!(instance_in_name(name), Some("i-0123456789abcdef0"));
        assert_eq!(instance_in_name("n1.tar.gz"), None);
    }
}
