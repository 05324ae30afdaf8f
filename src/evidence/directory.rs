//! The evidence directory: files as the ordinary tools print them.
//!
//! A file that is missing is evidence not seen, `cluster.json` aside. A file
//! that is there and cannot be read is an error that names it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::aws::calls::CALLS;
use super::aws::{self as ec2, eks};
use super::dns::parse_answer;
use super::json::{JsonError, from_json};
use super::manifest::Manifest;
use crate::model::cluster::Cluster;
use crate::model::evidence::{Evidence, Observed, Vantage};
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::net::Vpc;
use crate::model::shell::shell_word;

/// Over this, a JSON file is no answer that AWS gives about one VPC.
const JSON_MAX: u64 = 256 << 20;
/// Over this, a text is no answer for one name.
const DNS_MAX: u64 = 1 << 20;

/// A directory of recorded evidence.
#[derive(Debug)]
pub struct EvidenceDir {
    source: Source,
    manifest: Manifest,
}

/// Where files of evidence are.
#[derive(Debug)]
pub(super) enum Source {
    Dir(PathBuf),
    Memory(Memory),
}

/// What was just recorded and is not to stay.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// By their place in the directory that this would be.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) captures: BTreeMap<NodeName, tempfile::TempPath>,
}

impl EvidenceDir {
    /// Opens a directory.
    ///
    /// # Errors
    /// If it is none, or its manifest cannot be read.
    pub fn open(root: &Path) -> Result<Self> {
        let meta = fs::metadata(root)
            .with_context(|| format!("cannot read the evidence directory {}", root.display()))?;
        if !meta.is_dir() {
            bail!("{} is a file; --evidence takes the directory that holds cluster.json", root.display());
        }
        Self::of(Source::Dir(root.to_owned()))
    }

    pub(super) fn of(source: Source) -> Result<Self> {
        let mut dir = Self { source, manifest: Manifest::default() };
        if let Some(manifest) = dir.json("manifest.json", from_json::<Manifest>)? {
            dir.manifest = manifest;
        }
        Ok(dir)
    }

    /// Reads everything but the nodes' captures.
    ///
    /// # Errors
    /// If `cluster.json` is missing or of another cluster, or a file that is
    /// there cannot be read.
    pub fn read(&self, name: &str) -> Result<Evidence> {
        let cluster = self.cluster(name)?;
        self.about(cluster, self.other_gaps())
    }

    /// Reads everything but the nodes' captures, of whatever cluster it is; one
    /// that is not recorded is a gap.
    ///
    /// # Errors
    /// If a file that is there cannot be read.
    pub fn read_any(&self) -> Result<Evidence> {
        let mut gaps = self.other_gaps();
        let cluster = self.json("cluster.json", eks::parse_cluster)?.unwrap_or_else(|| {
            gaps.push(Gap {
                what: "cluster.json".to_owned(),
                why: GapReason::NotRecorded,
                detail: "not in the evidence directory, so no path to the API server is known".to_owned(),
                hint: "record it with: aws eks describe-cluster --name NAME > cluster.json".to_owned(),
            });
            Cluster::unknown()
        });
        self.about(cluster, gaps)
    }

    fn about(&self, cluster: Cluster, gaps: Vec<Gap>) -> Result<Evidence> {
        let vpc = cluster.vpc.as_deref().unwrap_or("VPC");
        Ok(Evidence {
            interfaces: self.observed("network-interfaces.json", vpc, ec2::parse_interfaces)?,
            instances: self.observed("instances.json", vpc, ec2::parse_instances)?,
            vpc: self.vpc(vpc)?,
            subnets: self.observed("subnets.json", vpc, ec2::parse_subnets)?,
            dhcp_options: self.observed("dhcp-options.json", vpc, ec2::parse_dhcp_options)?,
            nat_gateways: self.observed("nat-gateways.json", vpc, ec2::parse_nat_gateways)?,
            route_tables: self.observed("route-tables.json", vpc, ec2::parse_route_tables)?,
            security_groups: self.observed("security-groups.json", vpc, ec2::parse_security_groups)?,
            dns: self.dns()?,
            gaps,
            cluster,
        })
    }

    fn cluster(&self, name: &str) -> Result<Cluster> {
        let Some(cluster) = self.json("cluster.json", eks::parse_cluster)? else {
            bail!(
                "{} has no cluster.json, which every evidence directory needs; record it with: aws eks describe-cluster --name {} > cluster.json",
                self.path("").display(),
                shell_word(name, "NAME")
            );
        };
        if cluster.name != name {
            bail!(
                "{} is of the cluster {:?}, not {name:?}; pass --cluster with that name, or another directory",
                self.path("cluster.json").display(),
                cluster.name
            );
        }
        Ok(cluster)
    }

    fn vpc(&self, id: &str) -> Result<Observed<Vpc>> {
        Ok(match self.observed("vpc.json", id, |bytes| ec2::parse_vpc(bytes, id))? {
            Observed::Seen(Some(vpc)) => Observed::Seen(vpc),
            Observed::Seen(None) => Observed::Unseen(Gap {
                what: "vpc.json".to_owned(),
                why: GapReason::Malformed,
                detail: format!("the cluster's VPC {id} is not in it"),
                hint: record("vpc.json", id),
            }),
            Observed::Unseen(gap) => Observed::Unseen(gap),
        })
    }

    fn dns(&self) -> Result<Vec<Vantage>> {
        let mut vantages = Vec::new();
        for name in self.vantage_points()? {
            let file = format!("dns/{name}.txt");
            if let Some(bytes) = self.bytes(&file, DNS_MAX)? {
                vantages.push(parse_answer(name.as_str(), &file, &bytes));
            }
        }
        for gap in &self.manifest.gaps {
            let name = gap.what.strip_prefix("dns/").and_then(|file| file.strip_suffix(".txt"));
            if let Some(name) = name.filter(|name| vantages.iter().all(|vantage| vantage.name != *name)) {
                vantages
                    .push(Vantage { name: name.to_owned(), answer: Observed::Unseen(gap.clone().into()) });
            }
        }
        vantages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(vantages)
    }

    /// The captures of single nodes: name and path, sorted by name.
    ///
    /// # Errors
    /// If `nodes/` cannot be listed, or a file's name is no node's.
    pub fn node_files(&self) -> Result<Vec<(NodeName, PathBuf)>> {
        match &self.source {
            Source::Dir(root) => text_files(root, "nodes"),
            Source::Memory(memory) => {
                let captures = memory.captures.iter();
                Ok(captures.map(|(name, path)| (name.clone(), path.to_path_buf())).collect())
            }
        }
    }

    /// Where names were resolved, sorted.
    fn vantage_points(&self) -> Result<Vec<NodeName>> {
        match &self.source {
            Source::Dir(root) => Ok(text_files(root, "dns")?.into_iter().map(|(name, _)| name).collect()),
            Source::Memory(memory) => {
                let names = memory.files.keys().filter_map(|file| {
                    let name = file.strip_prefix("dns/")?.strip_suffix(".txt")?;
                    Some(name.parse().with_context(|| format!("{file} names no node")))
                });
                names.collect()
            }
        }
    }

    /// What a file holds; `None` if it is missing.
    fn bytes(&self, file: &str, max: u64) -> Result<Option<Vec<u8>>> {
        match &self.source {
            Source::Dir(root) => {
                let path = root.join(file);
                if exists(&path)? { read_bounded(&path, max).map(Some) } else { Ok(None) }
            }
            Source::Memory(memory) => Ok(memory.files.get(file).cloned()),
        }
    }

    /// The capture of all nodes in one file, if there is one.
    ///
    /// # Errors
    /// If it is there and no file.
    pub fn nodes_file(&self) -> Result<Option<PathBuf>> {
        match &self.source {
            Source::Dir(root) => {
                let path = root.join("nodes.txt");
                Ok(exists(&path)?.then_some(path))
            }
            Source::Memory(_) => Ok(None),
        }
    }

    /// Nodes that the manifest says could not be read, sorted by name.
    ///
    /// # Errors
    /// If it names a node by no node's name.
    pub fn unread_nodes(&self) -> Result<Vec<(NodeName, Gap)>> {
        let mut unread = Vec::new();
        for gap in &self.manifest.gaps {
            if let Some(name) = gap.what.strip_prefix("node ") {
                let parsed: NodeName = name
                    .parse()
                    .with_context(|| format!("{}: node {name:?}", self.path("manifest.json").display()))?;
                unread.push((parsed, gap.clone().into()));
            }
        }
        unread.sort();
        Ok(unread)
    }

    /// What the manifest says of neither a node, nor a vantage point, nor a file
    /// that is missing.
    fn other_gaps(&self) -> Vec<Gap> {
        let is_told_elsewhere = |what: &str| {
            what.starts_with("node ")
                || what.starts_with("dns/")
                || CALLS.iter().any(|call| call.file == what && !self.has(what))
        };
        let gaps = self.manifest.gaps.iter().filter(|gap| !is_told_elsewhere(&gap.what));
        gaps.cloned().map(Gap::from).collect()
    }

    /// What a file holds, or why it was not seen.
    fn observed<T>(
        &self,
        file: &str,
        vpc: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, JsonError>,
    ) -> Result<Observed<T>> {
        if let Some(value) = self.json(file, parse)? {
            return Ok(Observed::Seen(value));
        }
        let recorded = self.manifest.gaps.iter().find(|gap| gap.what == file).cloned().map(Gap::from);
        Ok(Observed::Unseen(recorded.unwrap_or_else(|| Gap {
            what: file.to_owned(),
            why: GapReason::NotRecorded,
            detail: "not in the evidence directory".to_owned(),
            hint: record(file, vpc),
        })))
    }

    /// What a JSON file holds; `None` if it is missing.
    fn json<T>(&self, file: &str, parse: impl FnOnce(&[u8]) -> Result<T, JsonError>) -> Result<Option<T>> {
        let Some(bytes) = self.bytes(file, JSON_MAX)? else { return Ok(None) };
        match parse(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let path = self.path(file);
                bail!("{}: {error}; record it as the aws CLI prints it with --output json", path.display())
            }
        }
    }

    fn has(&self, file: &str) -> bool {
        match &self.source {
            Source::Dir(root) => root.join(file).is_file(),
            Source::Memory(memory) => memory.files.contains_key(file),
        }
    }

    /// A file as messages name it.
    fn path(&self, file: &str) -> PathBuf {
        match &self.source {
            Source::Dir(root) => root.join(file),
            Source::Memory(_) => PathBuf::from(file),
        }
    }
}

/// The `NAME.txt` files of a sub-directory, sorted by name; none if it is
/// missing.
fn text_files(root: &Path, sub: &str) -> Result<Vec<(NodeName, PathBuf)>> {
    let dir = root.join(sub);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot list {}", dir.display()))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", dir.display()))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let (Some(stem), Some("txt")) = (stem, path.extension().and_then(|extension| extension.to_str()))
        else {
            bail!("{} is not named NAME.txt; rename it or take it out of {sub}/", path.display());
        };
        let name: NodeName = stem.parse().with_context(|| format!("{} names no node", path.display()))?;
        files.push((name, path));
    }
    files.sort();
    Ok(files)
}

/// How to record a file.
fn record(file: &str, vpc: &str) -> String {
    let call = CALLS.iter().find(|call| call.file == file).map_or("describe-...", |call| call.command);
    format!("record it in {file} with: aws ec2 {}", call.replace("VPC", shell_word(vpc, "VPC")))
}

/// Whether a file is there; an error if something else is.
fn exists(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(true),
        Ok(_) => bail!("{} is not a regular file", path.display()),
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            bail!("{} is a link to nothing", path.display())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Opens a regular file: no pipe or device, which might never end.
///
/// # Errors
/// If it cannot be opened, or is something else.
pub fn open_file(path: &Path) -> Result<File> {
    exists(path)?;
    File::open(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>> {
    let file = open_file(path)?;
    // One that was read in pieces would be read in ever larger ones.
    let size = file.metadata().map_or(0, |meta| meta.len().min(max));
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
    file.take(max + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() as u64 > max {
        bail!("{} is larger than {} MiB, which no such file is", path.display(), max >> 20);
    }
    Ok(bytes)
}
