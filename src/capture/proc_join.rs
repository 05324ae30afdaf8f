//! The rows of a capture of `/proc`: each socket of the tables with the processes that have
//! its inode open.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use super::line::Row;
use super::proc::{Family, Part, ProcLine, ProcSocket};
use super::processes::Processes;

/// How many bytes of a name are kept: more than any `comm`.
const NAME_MAX: usize = 64;
/// How many processes of a socket are listed.
const OWNERS_MAX: usize = 256;

/// How many sockets, descriptors and names are kept of a capture, more than any node has. A
/// file can have any number.
const SOCKETS_MAX: usize = 4 << 20;
const DESCRIPTORS_MAX: usize = 1 << 20;
const NAMES_MAX: usize = 1 << 20;

/// The lines of a capture, until it is complete.
#[derive(Debug, Default)]
pub(super) struct ProcCapture {
    sockets: Vec<ProcSocket>,
    owners: Vec<Owner>,
    names: HashMap<u32, Box<[u8]>>,
    /// The process that the descriptors below belong to.
    process: Option<u32>,
    /// Whether lines with inode, process id, descriptor and name follow.
    pub(super) has_named_owners: bool,
    /// The number that the next row of the table has.
    next: Option<u64>,
    progress: Progress,
    tables: Tables,
    parts: Parts,
    marks: Marks,
    /// The line above which rows of a table are missing.
    hole: Option<u64>,
    /// What the capture has too many of, and how many of them are kept.
    overflow: Option<(&'static str, usize)>,
    /// The number of lines since the last count of them.
    lines: u64,
    /// The line of the first count that is wrong.
    miscount: Option<u64>,
    /// Whether tables, descriptors and names are in another order.
    is_unordered: bool,
}

/// Which tables are there.
#[derive(Debug, Default)]
struct Tables {
    v4: bool,
    v6: bool,
}

/// The lines above the parts.
#[derive(Debug, Default)]
struct Parts {
    /// How many there are of tables.
    tables: u64,
    /// How many column headings of tables there are.
    headings: u64,
    descriptors: bool,
    names: bool,
    /// Whether two names were given to one process.
    has_two_names: bool,
}

impl Parts {
    /// Whether each part has its line, and descriptors have names.
    fn are_whole(&self) -> bool {
        self.tables == self.headings && self.descriptors == self.names
    }
}

/// Which of the first and the last line are there.
#[derive(Debug, Default)]
struct Marks {
    begin: bool,
    /// Whether nothing follows the last line.
    end: bool,
    /// Whether lines of another capture followed it.
    is_continued: bool,
}

/// A descriptor of a process that is a socket.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    inode: u64,
    // In the order of `ss`: the newest process first.
    process: Reverse<(u32, u32)>,
}

/// What is known of a capture whose rows were passed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Joined {
    /// What shows that it is not complete.
    pub problem: Option<String>,
    /// Whether its first and its last line are there, so that it was not cut.
    pub has_marks: bool,
    /// The number of its rows.
    pub rows: u64,
}

impl Joined {
    /// Adds what is known of another one of the same node.
    pub(super) fn merge(&mut self, other: Self) {
        self.problem = self.problem.take().or(other.problem);
        self.has_marks &= other.has_marks;
        self.rows += other.rows;
    }
}

/// How far a capture without a last line has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    #[default]
    Tables,
    Owners,
    Names,
}

/// The kind of a line, by which it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Header,
    Row,
    Continuation,
    /// A descriptor whose process is not known.
    Broken,
    /// None of such a capture.
    Other,
}

impl ProcCapture {
    /// Adds a line with its number in the capture.
    pub(super) fn add(&mut self, line: ProcLine<'_>, at: u64) -> Counted {
        // Anywhere else, it is none.
        if matches!(line, ProcLine::Count(_)) && (!self.marks.begin || self.marks.end) {
            return Counted::Other;
        }
        let counted = self.add_line(line, at);
        let is_mark = matches!(
            line,
            ProcLine::Begin | ProcLine::End | ProcLine::EndCounted | ProcLine::Part(_) | ProcLine::Count(_)
        );
        self.lines += u64::from(!is_mark && counted != Counted::Other);
        counted
    }

    /// Compares the number of lines above a line with what it says.
    fn count(&mut self, number: u64, at: u64) {
        if std::mem::take(&mut self.lines) != number {
            self.miscount.get_or_insert(at);
        }
    }

    fn add_line(&mut self, line: ProcLine<'_>, at: u64) -> Counted {
        self.marks.is_continued |= self.marks.end;
        self.marks.end = false;
        match line {
            ProcLine::Begin => {
                self.marks.begin = true;
                self.begin_part(Progress::Tables)
            }
            ProcLine::Count(number) => {
                self.count(number, at);
                Counted::Header
            }
            ProcLine::End | ProcLine::EndCounted => {
                if line == ProcLine::EndCounted {
                    self.count(0, at);
                }
                self.marks.end = true;
                self.process = None;
                self.has_named_owners = false;
                Counted::Header
            }
            ProcLine::Part(Part::NoTable6) => {
                self.tables.v6 = true;
                self.begin_part(Progress::Tables)
            }
            ProcLine::Part(Part::Table) => {
                self.parts.tables += 1;
                self.begin_part(Progress::Tables)
            }
            ProcLine::Part(Part::Descriptors) => {
                self.parts.descriptors = true;
                self.begin_part(Progress::Owners)
            }
            ProcLine::Part(Part::Names) => {
                self.parts.names = true;
                self.begin_part(Progress::Names)
            }
            ProcLine::Part(Part::NamedOwners) => {
                self.begin_part(Progress::Owners);
                self.has_named_owners = true;
                Counted::Header
            }
            ProcLine::Table(family) => {
                self.parts.headings += 1;
                self.begin_part(Progress::Tables);
                self.next = Some(0);
                match family {
                    Family::V4 => self.tables.v4 = true,
                    Family::V6 => self.tables.v6 = true,
                }
                Counted::Header
            }
            ProcLine::Socket { number, socket } => {
                self.advance(Progress::Tables);
                self.number(number, at);
                if self.sockets.len() < SOCKETS_MAX {
                    self.sockets.push(socket);
                } else {
                    self.overflow.get_or_insert(("sockets", SOCKETS_MAX));
                }
                Counted::Row
            }
            // Anywhere else, it is none.
            ProcLine::LeftOut(_) if self.next.is_none() => Counted::Other,
            ProcLine::LeftOut(number) => {
                self.number(number, at);
                Counted::Continuation
            }
            ProcLine::Descriptors(pid) => {
                self.advance(Progress::Owners);
                self.process = Some(pid);
                Counted::Continuation
            }
            ProcLine::Owner { pid, fd, inode } => {
                self.advance(Progress::Owners);
                let Some(pid) = pid.or(self.process) else { return Counted::Broken };
                self.own(inode, pid, fd);
                Counted::Continuation
            }
            ProcLine::Name { pid, comm } => {
                self.advance(Progress::Names);
                self.name(pid, comm);
                Counted::Continuation
            }
            ProcLine::NamedOwner { inode, pid, fd, comm } => {
                self.advance(Progress::Owners);
                self.own(inode, pid, fd);
                self.name(pid, comm);
                Counted::Continuation
            }
        }
    }

    /// Compares the number of a row with the one above it.
    fn number(&mut self, number: u64, at: u64) {
        if self.next != Some(number) {
            self.hole.get_or_insert(at);
        }
        self.next = number.checked_add(1);
    }

    fn begin_part(&mut self, part: Progress) -> Counted {
        self.next = None;
        self.process = None;
        self.has_named_owners = false;
        self.advance(part);
        Counted::Header
    }

    fn advance(&mut self, part: Progress) {
        self.is_unordered |= part < self.progress;
        self.progress = self.progress.max(part);
    }

    fn own(&mut self, inode: u64, pid: u32, fd: u32) {
        if self.owners.len() < DESCRIPTORS_MAX {
            self.owners.push(Owner { inode, process: Reverse((pid, fd)) });
        } else {
            self.overflow.get_or_insert(("descriptors", DESCRIPTORS_MAX));
        }
    }

    fn name(&mut self, pid: u32, comm: &[u8]) {
        if self.names.len() >= NAMES_MAX && !self.names.contains_key(&pid) {
            self.overflow.get_or_insert(("names", NAMES_MAX));
            return;
        }
        let comm = &comm[..comm.len().min(NAME_MAX)];
        let before = self.names.insert(pid, comm.into());
        self.parts.has_two_names |= before.is_some_and(|before| before[..] != *comm);
    }

    /// Takes notice of a line that is none of such a capture: it may have named the process
    /// of the descriptors below it.
    pub(super) fn other_line(&mut self) {
        self.process = None;
    }

    /// Passes each socket with its processes to `sink`.
    pub(super) fn finish(mut self, mut sink: impl FnMut(Row<'_>)) -> Joined {
        self.owners.sort_unstable();
        let rows = self.sockets.len() as u64;
        let mut problem = self.problem();
        // The processes of all sockets, as text, in the order of the inodes.
        let mut text = Vec::new();
        let mut of_inode: HashMap<u64, Range<usize>> = HashMap::new();
        for owners in self.owners.chunk_by(|a, b| a.inode == b.inode) {
            let start = text.len();
            for Owner { process: Reverse((pid, _)), .. } in owners.iter().take(OWNERS_MAX) {
                let Some(comm) = self.names.get(pid) else { continue };
                text.extend_from_slice(pid.to_string().as_bytes());
                text.push(b'/');
                text.extend(comm.iter().map(|&byte| if byte == 0 { b'?' } else { byte }));
                text.push(0);
            }
            if owners.len() > OWNERS_MAX && problem.is_none() {
                problem = Some(format!("more than {OWNERS_MAX} processes of its capture share a socket"));
            }
            of_inode.insert(owners[0].inode, start..text.len());
        }
        for socket in self.sockets {
            // No process has a socket without an inode open.
            let own = of_inode.get(&socket.inode).filter(|_| socket.inode != 0);
            let own = own.and_then(|range| text.get(range.clone())).unwrap_or_default();
            sink(Row { socket: socket.into(), processes: Processes::from_proc(own) });
        }
        Joined { problem, has_marks: self.marks.begin && self.marks.end, rows }
    }

    /// What shows that the capture is not complete.
    fn problem(&self) -> Option<String> {
        if let Some((what, max)) = self.overflow {
            return Some(format!("its capture has more than {max} {what}; further ones are not read"));
        }
        let has_mark = self.marks.begin || self.marks.end;
        let has_table = self.tables.v4 || self.tables.v6;
        if !has_mark && !has_table && self.sockets.is_empty() && self.owners.is_empty() {
            // Only lines that look like names.
            return None;
        }
        for (has_table, table) in [(self.tables.v4, "tcp"), (self.tables.v6, "tcp6")] {
            if !has_table {
                return Some(format!("its capture lacks the table /proc/net/{table}"));
            }
        }
        if self.marks.is_continued {
            return Some("lines of another capture follow the line `>> end`".to_owned());
        }
        if self.parts.has_two_names {
            return Some("its capture has two names for one process".to_owned());
        }
        if let Some(line) = self.hole {
            return Some(format!(
                "rows above line {line} of its capture are missing: their numbers have a gap"
            ));
        }
        if let Some(line) = self.miscount {
            return Some(format!(
                "lines of its capture are missing or were added: line {line} says how many there should be above it"
            ));
        }
        if has_mark {
            // The output of one script.
            return match (&self.marks, self.parts.are_whole()) {
                (Marks { begin: true, end: true, .. }, true) => None,
                (Marks { begin: false, .. }, _) => {
                    Some("its capture lacks the first line, `>> proc`".to_owned())
                }
                (Marks { end: false, .. }, _) => {
                    Some("its capture does not end with the line `>> end`, so it was cut".to_owned())
                }
                (_, false) => {
                    Some("its capture lacks the first line of a part, or the part below one".to_owned())
                }
            };
        }
        let is_nameless = |owner: &Owner| !self.names.contains_key(&owner.process.0.0);
        if self.is_unordered || self.progress < Progress::Names || self.owners.iter().any(is_nameless) {
            let detail = "its capture may have been cut: it has no line `>> end`, and does not end with the names of all processes below their descriptors and the tables";
            return Some(detail.to_owned());
        }
        None
    }
}
