//! Captures that were filtered on the node: the rows that can matter for paths to the API
//! server, and comment lines that say what is not there.
//!
//! ```text
//! # eks-netcheck filtered 1
//! # eks-netcheck server HOST
//! # eks-netcheck dns 203.0.113.10 STREAM HOST
//! # eks-netcheck resolved 0
//! State Recv-Q Send-Q ...
//! (rows)
//! # eks-netcheck end ss=0 sockets=1805 kept=23 named=1700 nameless=3 kube-proxy=yes
//! ```
//!
//! The filter is [`super::filter`]. Below the first line there may be answers of the node's
//! resolver, and `kube-proxy` is `unread` where it was not looked for. The last line is written after `ss` ended: without it, or with fewer lines than it counts,
//! rows are missing. A process name has at most 15 bytes, too few for such a line.

/// What is missing of a filtered capture without a last line.
pub(crate) const CUT: &str = "its capture was filtered on the node and has no last line: it was cut";

/// The beginning of a comment line.
const COMMENT: &[u8] = b"# eks-netcheck ";
/// The byte order mark of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The first line.
const FIRST: &[u8] = b"filtered 1";

/// What the comment lines of a capture say.
#[derive(Debug, Default, Clone)]
pub(super) struct Comments {
    /// Whether a comment line says that it was filtered.
    is_filtered: bool,
    /// Whether the first line is not the first of the capture.
    is_late: bool,
    /// The last line.
    end: Option<End>,
    /// The number of comment lines.
    pub(super) count: u64,
}

/// The last line of a filtered capture.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// The exit status of `ss`.
    status: u64,
    /// The number of all rows, and of lines that were kept and are none.
    sockets: u64,
    /// The number of rows that were kept.
    kept: u64,
    /// The number of all sockets that list a process.
    pub(super) named: u64,
    /// The number of all established sockets that list none.
    pub(super) nameless: u64,
    /// Whether a process named kube-proxy exists; `None` if that was not read.
    pub(super) runs_kube_proxy: Option<bool>,
}

impl Comments {
    /// Reads a line that is no row; `is_first` if nothing precedes it. Returns whether it is
    /// a comment line.
    pub(super) fn read(&mut self, line: &[u8], is_first: bool) -> bool {
        // As Windows programs save it.
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        let Some(text) = line.trim_ascii_start().strip_prefix(COMMENT) else { return false };
        let text = text.trim_ascii_end();
        self.is_late |= !(self.is_filtered || is_first && text == FIRST);
        self.is_filtered = true;
        self.count += 1;
        self.end = text.strip_prefix(b"end ").and_then(End::parse);
        true
    }

    /// Takes notice of a row, which no last line may precede.
    pub(super) fn row(&mut self) {
        self.end = None;
    }

    /// Whether the capture was filtered.
    pub(super) fn is_filtered(&self) -> bool {
        self.is_filtered
    }

    /// The last line, if `lines`, the number of lines that are or may be rows, shows that all rows are there.
    pub(super) fn whole(&self, lines: u64) -> Option<&End> {
        self.end.as_ref().filter(|end| !self.is_late && end.status == 0 && end.kept == lines)
    }

    /// What is missing of a filtered capture.
    pub(super) fn problem(&self, lines: u64) -> Option<String> {
        if !self.is_filtered || self.whole(lines).is_some() {
            return None;
        }
        Some(match self.end {
            _ if self.is_late => {
                "its capture was filtered on the node, and does not begin with its first line".to_owned()
            }
            None => CUT.to_owned(),
            Some(End { status: 0, kept, .. }) => {
                format!("its capture was filtered on the node and has {lines} rows of {kept}")
            }
            Some(End { status, .. }) => format!("ss failed on the node: exit code {status}"),
        })
    }

    /// Adds those of another part of the capture: only one part can be filtered.
    pub(super) fn merge(&mut self, other: Self) {
        if self.count == 0 {
            *self = other;
        } else {
            self.end = None;
            self.is_late |= other.is_late;
            self.count += other.count;
        }
    }
}

impl End {
    /// The number of rows that were left out.
    pub(super) fn left_out(&self) -> u64 {
        self.sockets.saturating_sub(self.kept)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let value = |key: &str| {
            let mut words = text.split_ascii_whitespace();
            words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        let number = |key: &str| value(key)?.parse().ok();
        Some(Self {
            status: number("ss")?,
            sockets: number("sockets")?,
            kept: number("kept")?,
            named: number("named")?,
            nameless: number("nameless")?,
            runs_kube_proxy: match value("kube-proxy")? {
                "unread" => None,
                answer => Some(answer == "yes"),
            },
        })
    }
}
