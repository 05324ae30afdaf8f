//! What a run must not leave behind: child processes, temporary files, and changed
//! settings of the terminal. All of it is registered here from its creation to its end, so
//! that a run that ends early, at any moment, can remove it.
//!
//! Nothing is created between [`all`] and the end of the process: it would be left behind.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, waitpid};
use tempfile::NamedTempFile;

/// How long children may take to end after a SIGTERM, before a SIGKILL.
const TERMINATION: Duration = Duration::from_millis(200);
/// How long children that were killed are waited for.
const KILLED: Duration = Duration::from_millis(100);
/// How long processes are waited for that remove what was created elsewhere; they continue
/// afterwards.
const REMOVAL: Duration = Duration::from_millis(300);
/// The same for the first process of a container: the others end with it.
const REMOVAL_IN_CONTAINER: Duration = Duration::from_secs(5);
/// The interval at which children are waited for.
const POLL: Duration = Duration::from_millis(5);

static REGISTRY: Mutex<Registry> = Mutex::new(Registry::new());

/// Whether libraries may have started processes.
static HAS_DESCENDANTS: AtomicBool = AtomicBool::new(false);

/// Whether a signal is ending the process.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// What starts a process that removes something.
type Removal = Box<dyn FnOnce() -> io::Result<Child> + Send>;

struct Registry {
    is_closed: bool,
    children: Vec<(Pid, Family)>,
    paths: BTreeMap<PathBuf, Kind>,
    /// How what was created on other machines is removed, by a number.
    elsewhere: BTreeMap<u64, Removal>,
    terminal: Option<Box<dyn Fn() + Send>>,
}

/// The processes that end with a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Those of its process group, which it leads.
    Group,
    /// Its descendants: it is in the process group of this process. It ends after them, and
    /// if it gets a SIGTERM, it ends those that are left.
    Descendants,
}

/// How a path is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory with all its contents.
    Tree,
    /// A directory, unless anything is in it.
    EmptyDir,
}

/// A temporary file or directory, which is removed if the run ends early.
#[derive(Debug)]
pub struct Temporary<T> {
    /// The file or directory.
    pub value: T,
    _registration: Registration,
}

impl Temporary<NamedTempFile> {
    /// Moves it to its final path.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn persist(self, path: &Path) -> io::Result<()> {
        self.value.persist(path)?;
        Ok(())
    }
}

impl<T: Write> Write for Temporary<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.value.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.value.flush()
    }
}

/// The registration of a path, until it is dropped.
#[derive(Debug)]
struct Registration(PathBuf, Kind);

impl Drop for Registration {
    fn drop(&mut self) {
        // A thread that is still running may prevent the removal of a directory.
        if self.1 != Kind::Tree || !self.0.exists() {
            registry().paths.remove(&self.0);
        }
    }
}

impl Registry {
    const fn new() -> Self {
        Self {
            is_closed: false,
            children: Vec::new(),
            paths: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            terminal: None,
        }
    }
}

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The registry, unless the run is ending.
fn open_registry() -> io::Result<MutexGuard<'static, Registry>> {
    let registry = registry();
    if registry.is_closed {
        return Err(io::Error::new(io::ErrorKind::Interrupted, "the run is ending"));
    }
    Ok(registry)
}

/// Creates a temporary file or directory, at the path that `path` returns.
///
/// # Errors
/// If it cannot be created.
pub fn create<T>(
    kind: Kind,
    create: impl FnOnce() -> io::Result<T>,
    path: impl FnOnce(&T) -> &Path,
) -> io::Result<Temporary<T>> {
    let mut registry = open_registry()?;
    let value = create()?;
    let path = path(&value);
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    registry.paths.insert(path.clone(), kind);
    Ok(Temporary { value, _registration: Registration(path, kind) })
}

/// Something on another machine, which is removed if the run ends early.
#[derive(Debug)]
pub struct Elsewhere(u64);

impl Elsewhere {
    /// It was removed.
    pub fn removed(self) {
        registry().elsewhere.remove(&self.0);
    }
}

/// Registers what is about to be created on another machine. `remove` starts a process that
/// removes it.
///
/// # Errors
/// If the run is ending.
pub fn created_elsewhere(
    remove: impl FnOnce() -> io::Result<Child> + Send + 'static,
) -> io::Result<Elsewhere> {
    let mut registry = open_registry()?;
    let number = registry.elsewhere.last_key_value().map_or(0, |(last, _)| last + 1);
    registry.elsewhere.insert(number, Box::new(remove));
    Ok(Elsewhere(number))
}

/// Starts a child process. `start` returns it with its process id, which is registered
/// until [`child_ended`].
///
/// # Errors
/// If it does not start.
pub fn start<T>(
    family: Family,
    start: impl FnOnce() -> io::Result<T>,
    id: impl FnOnce(&T) -> Option<u32>,
) -> io::Result<(T, Option<Pid>)> {
    let mut registry = open_registry()?;
    let child = start()?;
    let id = id(&child).and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id {
        registry.children.push((id, family));
    }
    Ok((child, id))
}

/// Removes a child that was waited for: its id may be used again.
pub fn child_ended(id: Pid) {
    registry().children.retain(|(child, _)| *child != id);
}

/// Sends a signal to a child and to the processes that end with it.
pub fn signal(id: Pid, family: Family, signal: Signal) {
    // Each fails if there is no such process any more.
    match family {
        Family::Group => drop(kill_process_group(id, signal)),
        Family::Descendants => {
            let descendants = descendants(id);
            // Before its descendants: a shell must not go on to its next command.
            for process in std::iter::once(id).chain(descendants) {
                let _ = kill_process(process, signal);
            }
        }
    }
}

/// Sends a signal to the descendants of a process.
pub fn signal_descendants(of: Pid, signal: Signal) {
    for process in descendants(of) {
        // Fails if it has ended.
        let _ = kill_process(process, signal);
    }
}

/// Registers how the terminal is restored; `None` if it has been.
pub fn restore_terminal_by(restore: Option<Box<dyn Fn() + Send>>) {
    registry().terminal = restore;
}

/// Does the same as [`all`] while other threads are running: those that call
/// [`wait_if_ending`] do not return from it. The process must end.
pub fn all_at_once() {
    IS_ENDING.store(true, Ordering::SeqCst);
    all();
}

/// Does not return if a signal is ending the process, which has its own message and exit
/// code: what this thread would print is about children that have been ended.
pub fn wait_if_ending() {
    while IS_ENDING.load(Ordering::SeqCst) {
        sleep(Duration::from_secs(1));
    }
}

/// Ends all children, removes all temporary files, and restores the terminal. Nothing can
/// be created afterwards.
pub fn all() {
    let mut registry = registry();
    registry.is_closed = true;
    end(&std::mem::take(&mut registry.children));
    if HAS_DESCENDANTS.load(Ordering::SeqCst) {
        end_descendants(getpid(), Signal::TERM);
        end_descendants(getpid(), Signal::KILL);
    }
    // What was being created is complete, or will not be.
    let removals = std::mem::take(&mut registry.elsewhere).into_values();
    let removals: Vec<_> = removals.filter_map(|remove| remove().ok()).collect();
    for (path, kind) in std::mem::take(&mut registry.paths).into_iter().rev() {
        // Fails if it does not exist any more, as after an error.
        let _ = match kind {
            Kind::File => fs::remove_file(path),
            Kind::Tree => fs::remove_dir_all(path),
            Kind::EmptyDir => fs::remove_dir(path),
        };
    }
    if let Some(restore) = registry.terminal.take() {
        restore();
    }
    wait_for_removals(removals);
}

/// Waits until nothing is left elsewhere, or for some time.
fn wait_for_removals(mut removals: Vec<Child>) {
    let limit = if getpid().is_init() { REMOVAL_IN_CONTAINER } else { REMOVAL };
    let until = Instant::now() + limit;
    while !removals.is_empty() && Instant::now() < until {
        removals.retain_mut(|removal| matches!(removal.try_wait(), Ok(None)));
        sleep(POLL);
    }
}

/// Ends children: by SIGTERM, so that they can clean up, and by SIGKILL if that is not
/// enough.
fn end(children: &[(Pid, Family)]) {
    let mut running: HashSet<_> = children.iter().map(|(id, _)| *id).collect();
    for (id, family) in children {
        signal(*id, *family, Signal::TERM);
    }
    wait(&mut running, TERMINATION);
    for (id, family) in children {
        match family {
            // Once its leader has ended, the others may still be running.
            Family::Group => drop(kill_process_group(*id, Signal::KILL)),
            // Once it has ended, its descendants are not known any more.
            Family::Descendants if running.contains(id) => {
                end_descendants(*id, Signal::KILL);
                let _ = kill_process(*id, Signal::KILL);
            }
            Family::Descendants => {}
        }
    }
    wait(&mut running, KILLED);
}

/// Waits until no child is running, or for some time.
fn wait(running: &mut HashSet<Pid>, time: Duration) {
    let until = Instant::now() + time;
    while !running.is_empty() && Instant::now() < until {
        running.retain(|id| is_running(*id));
        sleep(POLL);
    }
}

/// Sends a signal to each descendant of a process, also to those that are started
/// meanwhile, until there are none, or for some time.
fn end_descendants(of: Pid, sent: Signal) {
    let until = Instant::now() + KILLED;
    let mut signaled = HashSet::new();
    loop {
        let left = descendants(of);
        for process in &left {
            if signaled.insert(*process) {
                // Fails if it has ended.
                let _ = kill_process(*process, sent);
            }
        }
        if left.is_empty() || Instant::now() > until {
            return;
        }
        sleep(POLL);
    }
}

/// Has [`all`] end the processes that libraries start, which are not registered.
pub fn expect_descendants() {
    HAS_DESCENDANTS.store(true, Ordering::SeqCst);
}

/// Whether a child has not ended. One that has is waited for.
fn is_running(id: Pid) -> bool {
    matches!(waitpid(Some(id), WaitOptions::NOHANG), Ok(None) | Err(Errno::INTR))
}

/// The descendants of a process.
/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
fn descendants(of: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in entries.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some(parent) = parent(id) else { continue };
        children.entry(parent).or_default().push(id);
    }
    let mut found = vec![of.as_raw_nonzero().get()];
    let mut next = 0;
    while let Some(id) = found.get(next) {
        found.extend(children.remove(id).unwrap_or_default());
        next += 1;
    }
    found.into_iter().skip(1).filter_map(Pid::from_raw).collect()
}

/// The parent of a process: the second field after its name, which is in parentheses and
/// may contain any character.
fn parent(id: i32) -> Option<i32> {
    let stat = fs::read(format!("/proc/{id}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    // A zombie has ended.
    let state = fields.next().filter(|state| *state != "Z");
    state.and(fields.next())?.parse().ok()
}
