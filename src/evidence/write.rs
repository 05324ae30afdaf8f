//! The evidence directory, written: each file whole or not at all, and whatever
//! was promised and not written ends up in `manifest.json`. What is judged at once
//! and then forgotten stays in memory, nodes' captures aside.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tempfile::NamedTempFile;

use super::directory::{EvidenceDir, Memory, Source};
use super::manifest::Manifest;
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;

/// What a directory of evidence has in it beside files.
const DIRS: [&str; 2] = ["dns", "nodes"];

/// A directory that evidence is written into. Shared by all that is asked at
/// the same time, in one thread.
#[derive(Debug)]
pub struct EvidenceWriter {
    root: PathBuf,
    /// Whether the directory was made for this.
    is_new: bool,
    /// Whether a file stands in its place.
    has_files: Cell<bool>,
    /// What is written, where that is kept in memory.
    memory: Option<RefCell<Memory>>,
    /// What was promised and is neither written nor excused.
    open: RefCell<BTreeSet<String>>,
    gaps: RefCell<Vec<Gap>>,
}

/// Where files are made that do not stand in their places yet.
#[derive(Debug, Clone)]
pub struct Place(PathBuf);

impl Place {
    /// A file for a node's capture, say, which does not stand in its place before
    /// [`keep_capture`](EvidenceWriter::keep_capture).
    pub fn temp_file(&self) -> std::io::Result<NamedTempFile> {
        tempfile::Builder::new()
            .prefix(".eks-netcheck-")
            // Less what the umask takes, as for any file.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(&self.0)
    }
}

impl EvidenceWriter {
    /// Begins in a new or an empty directory.
    ///
    /// # Errors
    /// If it cannot be made, or holds something: evidence of two runs would mix.
    pub fn create(root: &Path) -> Result<Self> {
        let what = || format!("cannot write into {}", root.display());
        let is_new = match fs::read_dir(root) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    bail!(
                        "{} is not empty, and evidence of two runs would mix; name a new directory",
                        root.display()
                    );
                }
                false
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(root).with_context(what)?;
                true
            }
            Err(error) => return Err(error).with_context(what),
        };
        let writer = Self {
            root: root.to_owned(),
            is_new,
            has_files: Cell::default(),
            memory: None,
            open: RefCell::default(),
            gaps: RefCell::default(),
        };
        for dir in DIRS {
            fs::create_dir(writer.root.join(dir)).with_context(what)?;
        }
        Ok(writer)
    }

    /// Begins in memory; nodes' captures are files in a directory that is there.
    #[must_use]
    pub fn in_memory(captures: &Path) -> Self {
        Self {
            root: captures.to_owned(),
            is_new: false,
            has_files: Cell::default(),
            memory: Some(RefCell::default()),
            open: RefCell::default(),
            gaps: RefCell::default(),
        }
    }

    /// What was written in memory, to be read.
    ///
    /// # Errors
    /// If its manifest cannot be read.
    pub fn into_evidence(self) -> Result<EvidenceDir> {
        match self.memory {
            Some(memory) => EvidenceDir::of(Source::Memory(memory.into_inner())),
            None => EvidenceDir::open(&self.root),
        }
    }

    /// Promises a file, or `node NAME`.
    pub fn promise(&self, what: impl Into<String>) {
        self.open.borrow_mut().insert(what.into());
    }

    /// Keeps what was promised.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<()> {
        if let Some(memory) = &self.memory {
            memory.borrow_mut().files.insert(file.to_owned(), bytes.to_vec());
            self.open.borrow_mut().remove(file);
            return Ok(());
        }
        let mut temp = self.place().temp_file().with_context(|| self.cannot_write(file))?;
        temp.write_all(bytes).with_context(|| self.cannot_write(file))?;
        self.persist(temp, file)?;
        self.open.borrow_mut().remove(file);
        Ok(())
    }

    /// Keeps what was promised, as JSON.
    pub fn write_json(&self, file: &str, value: &impl Serialize) -> Result<()> {
        let bytes = match &self.memory {
            // Nobody reads it but we.
            Some(_) => serde_json::to_vec(value),
            None => serde_json::to_vec_pretty(value).map(|bytes| [bytes, vec![b'\n']].concat()),
        };
        self.write(file, &bytes.with_context(|| self.cannot_write(file))?)
    }

    /// Where files are made that do not stand in their places yet.
    pub fn place(&self) -> Place {
        Place(self.root.clone())
    }

    /// Puts a node's capture in its place.
    pub fn keep_capture(&self, node: &NodeName, capture: NamedTempFile) -> Result<()> {
        match &self.memory {
            Some(memory) => {
                memory.borrow_mut().captures.insert(node.clone(), capture.into_temp_path());
            }
            None => self.persist(capture, &format!("nodes/{node}.txt"))?,
        }
        self.open.borrow_mut().remove(&format!("node {node}"));
        Ok(())
    }

    /// Says why something is missing, or not as it should be.
    pub fn gap(&self, gap: Gap) {
        self.open.borrow_mut().remove(&gap.what);
        self.gaps.borrow_mut().push(gap);
    }

    /// Takes a promise back: there is nothing to be written.
    pub fn excuse(&self, what: &str) {
        self.open.borrow_mut().remove(what);
    }

    /// Writes the manifest, and gives what is missing. `time` is when the
    /// recording ended; promises that are still open were cut off.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(&self, version: &str, time: String) -> Result<Vec<Gap>> {
        let open = std::mem::take(&mut *self.open.borrow_mut());
        for what in open {
            self.gap(Gap {
                what,
                why: GapReason::Interrupted,
                detail: "the recording ended before it was there".to_owned(),
                hint: "record anew".to_owned(),
            });
        }
        let mut gaps = self.gaps.take();
        gaps.sort();
        gaps.dedup();
        let listed = gaps.iter().cloned().map(Into::into).collect();
        let manifest = Manifest { version: Some(version.to_owned()), time: Some(time), gaps: listed };
        self.write_json("manifest.json", &manifest)?;
        Ok(gaps)
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_files.get()
    }

    /// Takes the directory away again, in which nothing was recorded.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn discard(self) -> Result<()> {
        let what = || format!("cannot remove {}, in which nothing was recorded", self.root.display());
        for dir in DIRS {
            fs::remove_dir(self.root.join(dir)).with_context(what)?;
        }
        if self.is_new {
            fs::remove_dir(&self.root).with_context(what)?;
        }
        Ok(())
    }

    fn persist(&self, temp: NamedTempFile, file: &str) -> Result<()> {
        temp.persist(self.root.join(file))
            .map_err(|error| error.error)
            .with_context(|| self.cannot_write(file))?;
        self.has_files.set(true);
        Ok(())
    }

    fn cannot_write(&self, file: &str) -> String {
        format!("cannot write {}", self.root.join(file).display())
    }
}
