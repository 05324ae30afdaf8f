//! Words for people, and the classes of the style that go with them.

use crate::model::connection::Path;
use crate::model::judgment::Verdict;
use crate::model::traffic::TrafficPath;
pub(super) use crate::report::style::count;

/// A verdict as a word.
pub(super) fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "Pass",
        Verdict::Fail => "Fail",
        Verdict::Inconclusive => "Inconclusive",
    }
}

/// A sign beside the word.
pub(super) fn verdict_mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✕",
        Verdict::Inconclusive => "?",
    }
}

/// The class of a path.
pub(super) fn path_class(path: Path) -> &'static str {
    match path {
        Path::PublicEndpoint => "public",
        Path::PrivateEni | Path::ClusterIp => "private",
        Path::Unattributed => "unknown",
        Path::Vpc | Path::Loopback | Path::Other => "plain",
    }
}

/// The class of the path of traffic.
pub(super) fn traffic_class(path: TrafficPath) -> &'static str {
    match path {
        TrafficPath::Public | TrafficPath::Mixed => "public",
        TrafficPath::Private => "private",
        TrafficPath::None => "hanging",
        TrafficPath::Unknown => "unknown",
    }
}
