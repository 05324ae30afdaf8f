//! Writing of the evidence directory. Each file is written atomically, and evidence that
//! was expected and not written becomes a gap in `manifest.json`. Evidence that is judged
//! immediately and not saved stays in memory, except the captures of the nodes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

use super::directory::{EvidenceDir, MANIFEST, Memory, Source};
use super::error::EvidenceError;
use super::json::indented;
use super::manifest::{Manifest, RecordedNode};
use super::probe::write_probe;
use crate::cleanup::{self, Kind, Temporary};
use crate::model::evidence::NextStep;
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::NodeName;
use crate::model::node::Via;
use crate::model::probe::Probe;
use crate::model::tools::{Kubectl, Login, Tools};

/// The subdirectories of an evidence directory.
const DIRS: [&str; 2] = ["dns", "nodes"];

/// A writer of an evidence directory. The concurrent tasks of a collection share it, in
/// one thread.
#[derive(Debug)]
pub struct EvidenceWriter {
    root: PathBuf,
    destination: Destination,
    /// The directories that the writer created, which are removed if nothing is in them
    /// when the run ends early.
    new_dirs: RefCell<Vec<Temporary<PathBuf>>>,
    /// Subjects that are expected and neither written nor reported as a gap yet.
    expected: RefCell<BTreeSet<Subject>>,
    gaps: RefCell<Vec<Gap>>,
    /// How the nodes with a capture were read.
    nodes: RefCell<BTreeMap<String, RecordedNode>>,
    /// How the tools of the user reach the cluster, which is not recorded.
    tools: RefCell<Tools>,
}

#[derive(Debug)]
enum Destination {
    Directory {
        /// Whether the writer created the directory.
        is_new: bool,
        /// Whether any file was written.
        has_files: Cell<bool>,
    },
    Memory {
        memory: RefCell<Memory>,
        next_step: NextStep,
    },
}

/// A directory for temporary files, which are moved to their final path once they are
/// complete.
#[derive(Debug, Clone)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// A temporary file for a node's capture, to be passed to
    /// [`keep_capture`](EvidenceWriter::keep_capture).
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn temp_file(&self) -> io::Result<Temporary<NamedTempFile>> {
        let mut builder = tempfile::Builder::new();
        // The default permissions of a file; the umask applies.
        builder.prefix(".eks-netcheck-").permissions(Permissions::from_mode(0o666));
        cleanup::create(Kind::File, || builder.tempfile_in(&self.0), NamedTempFile::path)
    }
}

impl EvidenceWriter {
    /// A writer into a new or empty directory.
    ///
    /// # Errors
    /// If it cannot be created, or is not empty: the evidence of two runs must not be
    /// mixed.
    pub fn create(root: &Path) -> Result<Self, EvidenceError> {
        let io = || EvidenceError::io("write into", root);
        let mut new_dirs = Vec::new();
        let mut create = |dir: &Path, create: fn(&Path) -> io::Result<()>| {
            let created = || create(dir).map(|()| dir.to_owned());
            cleanup::create(Kind::EmptyDir, created, PathBuf::as_path).map(|dir| new_dirs.push(dir))
        };
        let is_new = match fs::read_dir(root) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(EvidenceError::Unusable(format!(
                        "{} is not empty, and the evidence of two runs must not be mixed; specify a new directory",
                        root.display()
                    )));
                }
                false
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create(root, |dir| fs::create_dir_all(dir)).map_err(io())?;
                true
            }
            Err(error) => return Err(io()(error)),
        };
        for dir in DIRS {
            create(&root.join(dir), |dir| fs::create_dir(dir)).map_err(io())?;
        }
        let destination = Destination::Directory { is_new, has_files: Cell::default() };
        Ok(Self { new_dirs: RefCell::new(new_dirs), ..Self::new(root, destination) })
    }

    /// A writer into memory. The captures of the nodes are temporary files in the existing
    /// directory `captures`. `next_step` returns the next step for missing evidence.
    #[must_use]
    pub fn in_memory(captures: &Path, next_step: NextStep) -> Self {
        Self::new(captures, Destination::Memory { memory: RefCell::default(), next_step })
    }

    fn new(root: &Path, destination: Destination) -> Self {
        Self {
            root: root.to_owned(),
            destination,
            new_dirs: RefCell::default(),
            expected: RefCell::default(),
            gaps: RefCell::default(),
            nodes: RefCell::default(),
            tools: RefCell::default(),
        }
    }

    /// Converts the writer into a reader of what was written.
    ///
    /// # Errors
    /// If the manifest cannot be read.
    pub fn into_evidence(self) -> Result<EvidenceDir, EvidenceError> {
        match self.destination {
            Destination::Memory { memory, next_step } => {
                let dir = EvidenceDir::new(Source::Memory(memory.into_inner()), next_step)?;
                Ok(dir.with_tools(self.tools.into_inner()))
            }
            Destination::Directory { .. } => EvidenceDir::open(&self.root),
        }
    }

    /// Expects a file or the capture of a node. If it is neither written nor reported as a
    /// gap, [`finish`](Self::finish) adds a gap.
    pub fn expect(&self, subject: impl Into<Subject>) {
        self.expected.borrow_mut().insert(subject.into());
    }

    /// Withdraws an expectation, if there is nothing to write.
    pub fn skip(&self, subject: &Subject) {
        self.expected.borrow_mut().remove(subject);
    }

    /// Writes an answer of AWS or of a vantage point.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, subject: impl Into<Subject>, bytes: Vec<u8>) -> Result<(), EvidenceError> {
        let subject = subject.into();
        self.write_file(&subject.to_string(), bytes)?;
        self.skip(&subject);
        Ok(())
    }

    /// Writes an answer of AWS that is JSON without blanks, in lines where people read it.
    ///
    /// # Errors
    /// If it cannot be serialized or written.
    pub fn write_compact(&self, file: File, json: serde_json::Result<Vec<u8>>) -> Result<(), EvidenceError> {
        let json = json.and_then(|json| match self.destination {
            Destination::Memory { .. } => Ok(json),
            Destination::Directory { .. } => indented(&json),
        });
        let json =
            json.map_err(|error| EvidenceError::io("write", &self.root.join(file.name()))(error.into()))?;
        self.write(file, json)
    }

    /// Writes the answers to probes from a vantage point.
    ///
    /// # Errors
    /// If they cannot be serialized or written.
    pub fn write_probe(&self, probe: &Probe) -> Result<(), EvidenceError> {
        let subject = Subject::Probe(probe.vantage.clone());
        let json = write_probe(probe).map_err(|error| {
            EvidenceError::io("write", &self.root.join(subject.to_string()))(error.into())
        })?;
        self.write(subject, json)
    }

    /// The directory of temporary files.
    #[must_use]
    pub fn temp_dir(&self) -> TempDir {
        TempDir(self.root.clone())
    }

    /// Moves the capture of a node to its final path.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn keep_capture(
        &self,
        node: &NodeName,
        capture: Temporary<NamedTempFile>,
        via: Via,
    ) -> Result<(), EvidenceError> {
        match &self.destination {
            Destination::Memory { memory, .. } => {
                // The directory of temporary captures is removed as a whole.
                let capture = capture.value.into_temp_path();
                memory.borrow_mut().captures.insert(node.clone(), capture);
            }
            Destination::Directory { has_files, .. } => {
                self.persist(capture, &format!("nodes/{node}.txt"), has_files)?;
            }
        }
        self.nodes.borrow_mut().insert(node.to_string(), RecordedNode { via });
        self.skip(&Subject::Node(node.clone()));
        Ok(())
    }

    /// Sets how the tools of the user reach the cluster.
    pub fn tools(&self, tools: Tools) {
        self.tools.replace(tools);
    }

    /// Adds how kubectl reached the cluster.
    pub fn kubectl(&self, kubectl: Kubectl) {
        self.tools.borrow_mut().kubectl = Some(kubectl);
    }

    /// Adds how a node was reached by ssh.
    pub fn login(&self, node: &NodeName, login: Login) {
        self.tools.borrow_mut().logins.insert(node.clone(), login);
    }

    /// Adds a gap, for evidence that is missing or incomplete.
    pub fn gap(&self, gap: Gap) {
        self.skip(&gap.subject);
        self.gaps.borrow_mut().push(gap);
    }

    /// Writes the manifest and returns the gaps. `time` is the time at which the recording
    /// ended. What is still expected becomes a gap: the run was interrupted.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(&self, version: &str, time: String) -> Result<Vec<Gap>, EvidenceError> {
        let expected = self.expected.take();
        for subject in expected {
            self.gap(Gap {
                subject,
                why: GapReason::Interrupted,
                detail: "the recording ended before it was obtained".to_owned(),
                hint: "record again".to_owned(),
            });
        }
        let mut gaps = self.gaps.take();
        gaps.sort();
        gaps.dedup();
        let nodes = Some(self.nodes.take());
        let manifest = Manifest { version: Some(version.to_owned()), time: Some(time), gaps, nodes };
        self.write_file(MANIFEST, self.to_json(MANIFEST, &manifest)?)?;
        Ok(manifest.gaps)
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.destination {
            Destination::Directory { has_files, .. } => !has_files.get(),
            Destination::Memory { memory, .. } => {
                let memory = memory.borrow();
                memory.files.is_empty() && memory.captures.is_empty()
            }
        }
    }

    /// Removes the directory, in which nothing was recorded.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn discard(&self) -> Result<(), EvidenceError> {
        let Destination::Directory { is_new, .. } = &self.destination else { return Ok(()) };
        let io = || EvidenceError::io("remove the empty evidence directory", &self.root);
        for dir in DIRS {
            fs::remove_dir(self.root.join(dir)).map_err(io())?;
        }
        if *is_new {
            fs::remove_dir(&self.root).map_err(io())?;
        }
        Ok(())
    }

    fn to_json(&self, file: &str, value: &impl Serialize) -> Result<Vec<u8>, EvidenceError> {
        let json = match self.destination {
            Destination::Memory { .. } => serde_json::to_vec(value),
            // Indented, including raw JSON in the value, so that it is readable.
            Destination::Directory { .. } => serde_json::to_value(value)
                .and_then(|value| serde_json::to_vec_pretty(&value))
                .map(|bytes| [bytes, vec![b'\n']].concat()),
        };
        json.map_err(|error| EvidenceError::io("write", &self.root.join(file))(error.into()))
    }

    fn write_file(&self, file: &str, bytes: Vec<u8>) -> Result<(), EvidenceError> {
        match &self.destination {
            Destination::Memory { memory, .. } => {
                memory.borrow_mut().files.insert(file.to_owned(), bytes);
                Ok(())
            }
            Destination::Directory { has_files, .. } => {
                let io = || EvidenceError::io("write", &self.root.join(file));
                self.create_dir_of(file).map_err(io())?;
                let mut temp = self.temp_dir().temp_file().map_err(io())?;
                temp.write_all(&bytes).map_err(io())?;
                self.persist(temp, file, has_files)
            }
        }
    }

    /// Creates the directory of a file, if it is one that only some recordings have.
    fn create_dir_of(&self, file: &str) -> io::Result<()> {
        let Some((dir, _)) = file.split_once('/') else { return Ok(()) };
        let dir = self.root.join(dir);
        if !dir.is_dir() {
            let created = || fs::create_dir(&dir).map(|()| dir.clone());
            let dir = cleanup::create(Kind::EmptyDir, created, PathBuf::as_path)?;
            self.new_dirs.borrow_mut().push(dir);
        }
        Ok(())
    }

    fn persist(
        &self,
        temp: Temporary<NamedTempFile>,
        file: &str,
        has_files: &Cell<bool>,
    ) -> Result<(), EvidenceError> {
        let path = self.root.join(file);
        temp.persist(&path).map_err(EvidenceError::io("write", &path))?;
        has_files.set(true);
        Ok(())
    }
}
