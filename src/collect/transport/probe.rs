//! Probes from a node: what the node is asked over the session that reads it, and its answer.
//!
//! The script reads one line: the limits in seconds, the endpoint's host and port, and the
//! addresses. It prints one line for each address, by its number from 1:
//!
//! ```text
//! MARKER probe
//! 1 curl 0 other 200 0.001 0.004 @203.0.113.1
//!                                    (exit code, reason, HTTP status, seconds to TCP and to TLS,
//!                                    the address that answered, which an old curl does not tell)
//! 2 bash 1 refused                   (exit code, reason)
//! MARKER end 0                       (127: the node has neither program)
//! ```

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::collect::probe::peers::is_special;
use crate::collect::probe::{ADDRESSES_MAX, failure};
use crate::model::cluster::Cluster;
use crate::model::name::NodeName;
use crate::model::probe::{
    AddressProbe, Attempt, HttpAnswer, Probe, ProbeCause, ProbeFailure, ProbeTarget, ProbeTool, ProbeWay,
    TlsAttempt, Trust,
};

/// The end of the scripts that read a node. It runs as the user who logged in. `curl` reads no
/// configuration, follows no redirection, sends no credentials and stores nothing; its reason is
/// in what it says with `-v` alone. All addresses are probed at the same time.
macro_rules! script {
    () => {
        "; IFS= read -r line; set -- $line; \
if [ $# -ge 5 ]; then connect=$1; whole=$2; host=$3; port=$4; shift 4; echo \"$marker probe\"; \
why() { case $said in *\"onnection refused\"*) why=refused;; \
*\"o route to host\"*|*\"etwork is unreachable\"*|*\"etwork unreachable\"*) why=unreachable;; \
*\"onnection timed out\"*) why=timed-out;; *) why=other;; esac; }; \
by_curl() { case $ip in *:*) at=\"[$ip]\";; *) at=$ip;; esac; \
said=$(curl -q -s -v -k --noproxy \"*\" --proto \"=https\" --connect-timeout $connect --max-time $whole \
--limit-rate 64K --resolve \"$host:$port:$at\" -o /dev/null \
-w \"=(%{http_code} %{time_connect} %{time_appconnect} @%{remote_ip})=\" \"https://$host:$port/livez\" </dev/null 2>&1); \
code=$?; why; case $said in *\"=(\"*\")=\"*) ;; *) said=\"=(000 0 0 @)=\";; esac; \
said=${said##*\"=(\"}; echo \"$number curl $code $why ${said%%\")=\"*}\"; }; \
by_bash() { said=$(timeout $connect bash -c \"exec 3<>/dev/tcp/$ip/$port\" </dev/null 2>&1); \
code=$?; why; echo \"$number bash $code $why\"; }; \
status=0; by=; if command -v curl >/dev/null; then by=by_curl; \
elif command -v bash >/dev/null && command -v timeout >/dev/null; then by=by_bash; else status=127; fi; \
if [ -n \"$by\" ]; then number=0; for ip; do number=$((number + 1)); $by & done; wait; fi; \
echo \"$marker end $status\"; fi"
    };
}

pub(super) use script;

/// The path that `curl` requests.
const PATH: &str = "/livez";
/// The most that all of an address may take.
const WHOLE_MAX: Duration = Duration::from_secs(5);
/// The most that connecting may take, with the TLS handshake.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// What nodes probe.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NodeProbe {
    host: String,
    port: u16,
    targets: Vec<(IpAddr, ProbeTarget)>,
}

impl NodeProbe {
    /// The probe of a cluster's endpoint; `None` if there is nothing to probe, or the host name
    /// is none. Addresses of a special meaning, such as those of the node itself, are left out.
    pub(crate) fn new(
        cluster: &Cluster,
        endpoint: &BTreeSet<IpAddr>,
        enis: &BTreeSet<IpAddr>,
    ) -> Option<Self> {
        let host = cluster.endpoint.as_ref().filter(|endpoint| is_host(&endpoint.host))?;
        let chosen = |addresses: &BTreeSet<IpAddr>, target: ProbeTarget| {
            let canonical: BTreeSet<_> = addresses.iter().map(IpAddr::to_canonical).collect();
            let may_dial = canonical.into_iter().filter(|address| !is_special(*address));
            may_dial.take(ADDRESSES_MAX).map(|address| (address, target)).collect::<Vec<_>>()
        };
        let mut targets = chosen(endpoint, ProbeTarget::Endpoint);
        let others = enis.difference(endpoint).copied().collect();
        targets.extend(chosen(&others, ProbeTarget::Eni));
        (!targets.is_empty()).then(|| Self { host: host.host.clone(), port: host.port, targets })
    }

    /// The line that the script reads.
    pub(super) fn line(&self, limits: Limits) -> String {
        let addresses: Vec<_> = self.targets.iter().map(|(address, _)| address.to_string()).collect();
        let (connect, whole) = (limits.connect.as_secs(), limits.whole.as_secs());
        format!("{connect} {whole} {} {} {}\n", self.host, self.port, addresses.join(" "))
    }

    /// Parses the answer of a node.
    ///
    /// # Errors
    /// If it is not exactly one line for each address, all by one program.
    pub(crate) fn parse(&self, node: &NodeName, answer: &[u8], limits: Limits) -> Result<Probe, String> {
        let malformed = |line: &str| format!("the node's answer has the line {line:?}");
        let text = std::str::from_utf8(answer).map_err(|_| "the node's answer is not text".to_owned())?;
        let mut answers: Vec<Option<AddressProbe>> = vec![None; self.targets.len()];
        let mut tools = BTreeSet::new();
        for line in text.lines() {
            let short: String = line.chars().take(80).collect();
            let parsed = self.parse_line(line, limits);
            let (at, tool, probe) = parsed.ok_or_else(|| malformed(&short))?;
            tools.insert(tool);
            let slot = answers.get_mut(at).filter(|slot| slot.is_none());
            *slot.ok_or_else(|| malformed(&short))? = Some(probe);
        }
        let (Some(answers), 1, Some(&tool)) =
            (answers.into_iter().collect::<Option<Vec<_>>>(), tools.len(), tools.first())
        else {
            return Err("the node's answer has not one line for each address".to_owned());
        };
        Ok(Probe { vantage: node.to_string(), host: self.host.clone(), tool, answers }.sorted())
    }

    /// Parses a line; `None` if it is none that the script prints.
    fn parse_line(&self, line: &str, limits: Limits) -> Option<(usize, ProbeTool, AddressProbe)> {
        let words: Vec<_> = line.split(' ').collect();
        let (number, rest) = words.split_first()?;
        let at = number.parse::<usize>().ok()?.checked_sub(1)?;
        let (address, target) = *self.targets.get(at)?;
        let address = SocketAddr::new(address, self.port);
        let mut probe = AddressProbe {
            address,
            target,
            way: ProbeWay::Direct,
            source: None,
            tcp: Attempt::Done,
            tls: None,
            http: Vec::new(),
        };
        let tool = match *rest {
            ["bash", code, why] => {
                let code = code.parse::<u8>().ok()?;
                let why = reason(why)?;
                if code != 0 {
                    // 124 is of coreutils, the others are signals that end bash.
                    let is_late = matches!(code, 124 | 137 | 143);
                    let why = if is_late { ProbeCause::TimedOut } else { why };
                    probe.tcp = Attempt::Failed(unreached(why, limits, "bash", code));
                }
                ProbeTool::Bash
            }
            ["curl", code, why, status, tcp, tls, from] => {
                let code = code.parse::<u8>().ok()?;
                let why = reason(why)?;
                let status = status.parse::<u16>().ok().filter(|status| matches!(status, 0 | 100..=999))?;
                let is_coarse = tcp == "0.000";
                let (tcp, tls) = (is_done(tcp)?, is_done(tls)?);
                let from = from.strip_prefix('@')?;
                let is_told = !from.is_empty();
                // An old curl rounds to milliseconds, which may be zero, and tells the address
                // of an established connection only.
                let tcp = tcp || is_coarse && (tls || is_told);
                if tls && !tcp || status > 0 && !tls {
                    return None;
                }
                // A curl that does not understand --resolve asks the node's DNS.
                if tcp && is_told && from.parse::<IpAddr>().ok()?.to_canonical() != address.ip() {
                    return None;
                }
                if tcp {
                    let handshake = if tls { Attempt::Done } else { Attempt::Failed(untold(code, limits)) };
                    let trust = Trust::Unknown("the node did not check its certificate".to_owned());
                    probe.tls = Some(TlsAttempt { certificate: None, trust, handshake });
                } else {
                    let why = match code {
                        28 => ProbeCause::TimedOut,
                        7 => why,
                        _ => ProbeCause::Failed,
                    };
                    probe.tcp = Attempt::Failed(unreached(why, limits, "curl", code));
                }
                if tls {
                    let status = if status > 0 { Ok(status) } else { Err(untold(code, limits)) };
                    probe.http.push(HttpAnswer { path: PATH.to_owned(), status, given: None });
                }
                ProbeTool::Curl
            }
            _ => return None,
        };
        Some((at, tool, probe))
    }
}

/// Whether a text is a host name: nothing else is passed to a node.
fn is_host(host: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    (1..=253).contains(&host.len())
        && host.bytes().all(is_allowed)
        && !host.starts_with(['-', '.'])
        && host.parse::<IpAddr>().is_err()
}

/// The reason by the script's word; `None` if it is none of its words.
fn reason(word: &str) -> Option<ProbeCause> {
    Some(match word {
        "refused" => ProbeCause::Refused,
        "unreachable" => ProbeCause::NoRoute,
        "timed-out" => ProbeCause::TimedOut,
        "other" => ProbeCause::Failed,
        _ => return None,
    })
}

/// Whether curl reached a stage: it prints when, or zero.
fn is_done(seconds: &str) -> Option<bool> {
    let is_number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = seconds.parse().ok().filter(|_| is_number)?;
    Some(seconds > 0.0)
}

/// Why no connection was made.
fn unreached(why: ProbeCause, limits: Limits, tool: &str, code: u8) -> ProbeFailure {
    let detail = match why {
        ProbeCause::TimedOut => format!("no answer within {} s", limits.connect.as_secs()),
        ProbeCause::Refused => "the connection is refused".to_owned(),
        ProbeCause::NoRoute => "the node has no route to it, or it is unreachable".to_owned(),
        _ => format!("{tool} could not connect: exit code {code}"),
    };
    failure::failure(why, detail)
}

/// Why there is no TLS or no answer, by the exit code of curl.
///
/// <https://curl.se/docs/manpage.html#EXIT>
fn untold(code: u8, limits: Limits) -> ProbeFailure {
    let (cause, detail) = match code {
        28 => (ProbeCause::TimedOut, format!("no answer within {} s", limits.whole.as_secs())),
        35 => (ProbeCause::Protocol, "no TLS that curl can use".to_owned()),
        52 | 56 => (ProbeCause::Reset, "the connection is closed before an answer".to_owned()),
        code => (ProbeCause::Failed, format!("curl failed: exit code {code}")),
    };
    failure::failure(cause, detail)
}

/// The time limits on a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    connect: Duration,
    whole: Duration,
}

impl Limits {
    /// The limits in whole seconds, where a node may take `timeout`.
    fn new(timeout: Duration) -> Self {
        let half = Duration::from_secs((timeout.as_secs() / 2).max(1));
        Self { connect: half.min(CONNECT_MAX), whole: half.min(WHOLE_MAX) }
    }
}

/// What nodes are to probe: `None` until it is known, `Some(None)` if there is nothing.
pub(crate) type NodeTargets = watch::Receiver<Option<Option<Arc<NodeProbe>>>>;

/// How long nodes may take for their probes, all together: as long as one node may take, for
/// each that is read at a time. So addresses that do not answer cannot delay the end of a run by
/// more than that.
#[derive(Debug)]
pub(crate) struct ProbeTime {
    pub(crate) limits: Limits,
    left: AtomicU64,
}

impl ProbeTime {
    pub(crate) fn new(timeout: Duration, at_a_time: usize) -> Self {
        let left = milliseconds(timeout).saturating_mul(at_a_time as u64);
        Self { limits: Limits::new(timeout), left: AtomicU64::new(left) }
    }

    /// Reserves the time of a node; false if it is used up.
    pub(super) fn reserve(&self) -> bool {
        let whole = milliseconds(self.limits.whole);
        let take = |left: u64| left.checked_sub(whole);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Gives back what a node did not use.
    pub(super) fn give_back(&self, used: Duration) {
        let rest = self.limits.whole.saturating_sub(used);
        self.left.fetch_add(milliseconds(rest), Ordering::Relaxed);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether a node was asked to probe.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// This.
    Probe(Arc<NodeProbe>),
    /// Nothing, since there is nothing to probe.
    Nothing,
    /// Nothing, since the addresses were not known in time.
    Unknown,
    /// Nothing, since the time of all nodes was used up.
    NoTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe() -> NodeProbe {
        let targets = [("203.0.113.1", ProbeTarget::Endpoint), ("192.168.1.5", ProbeTarget::Eni)];
        let targets = targets.map(|(address, target)| (address.parse().expect("an address"), target));
        NodeProbe { host: "a.example".to_owned(), port: 443, targets: targets.to_vec() }
    }

    fn parse(text: &str) -> Result<Probe, String> {
        probe().parse(&"n1".parse().expect("a name"), text.as_bytes(), Limits::new(Duration::from_secs(30)))
    }

    fn causes(text: &str) -> Vec<Option<ProbeCause>> {
        let probe = parse(text).expect("an answer");
        let cause = |answer: &AddressProbe| answer.failure().map(|failure| failure.cause);
        [1, 0].map(|at| cause(&probe.answers[at])).to_vec()
    }

    #[test]
    fn the_script_is_one_quoted_word_in_any_shell() {
        assert!(!script!().contains(['\'', '\n', '!', '\\']));
    }

    #[test]
    fn the_line_has_numbers_a_host_and_addresses_alone() {
        let line = probe().line(Limits::new(Duration::from_secs(30)));
        assert_eq!(line, "3 5 a.example 443 203.0.113.1 192.168.1.5\n");
        for bad in ["", "-x", "a b", "a;b", "$(a)", "a\nb", "10.0.0.1", "a_b", "ä"] {
            assert!(!is_host(bad), "{bad:?}");
        }
    }

    #[test]
    fn exit_codes_become_reasons() {
        use ProbeCause::{Failed, NoRoute, Refused, TimedOut};
        let done = "1 curl 0 other 200 0.001 0.002 @203.0.113.1\n";
        for (line, cause) in [
            ("curl 7 refused 000 0.000000 0.000000 @", Some(Refused)),
            ("curl 7 unreachable 000 0.000000 0.000000 @", Some(NoRoute)),
            ("curl 28 other 000 0.000000 0.000000 @", Some(TimedOut)),
            // Some versions tell the address that they tried.
            ("curl 28 other 000 0.000000 0.000000 @192.168.1.5", Some(TimedOut)),
            ("curl 7 other 000 0.000000 0.000000 @", Some(Failed)),
            // What a server says is no reason.
            ("curl 6 refused 000 0.000000 0.000000 @", Some(Failed)),
            ("curl 35 other 000 0.001 0.000000 @192.168.1.5", None),
            // Versions that round to milliseconds.
            ("curl 0 other 200 0.000 0.002 @192.168.1.5", None),
            ("curl 28 other 000 0.000 0.000 @192.168.1.5", None),
            ("curl 28 other 000 0.000 0.000 @", Some(TimedOut)),
        ] {
            assert_eq!(causes(&format!("{done}2 {line}\n")), [None, cause], "{line}");
        }
        for (line, cause) in [
            ("bash 0 other", None),
            ("bash 1 refused", Some(Refused)),
            ("bash 124 other", Some(TimedOut)),
            ("bash 143 other", Some(TimedOut)),
            ("bash 1 other", Some(Failed)),
        ] {
            assert_eq!(causes(&format!("2 {line}\n1 bash 0 other\n")), [None, cause], "{line}");
        }
    }

    #[test]
    fn trust_is_never_claimed() {
        let probe = parse("1 curl 0 other 200 0.1 0.2 @\n2 curl 35 other 000 0.1 0 @192.168.1.5\n")
            .expect("an answer");
        assert!(probe.answers.iter().all(|answer| !answer.is_api_server() && answer.is_reached()));
        assert_eq!(probe.peers().count(), 0);
    }

    #[test]
    fn anything_but_one_line_for_each_address_is_refused() {
        let good = "1 bash 0 other\n2 bash 0 other\n";
        assert!(parse(good).is_ok());
        for bad in [
            "",
            "1 bash 0 other\n",
            "1 bash 0 other\n1 bash 0 other\n",
            "1 bash 0 other\n3 bash 0 other\n",
            "0 bash 0 other\n1 bash 0 other\n",
            "1 bash 0 other\n2 curl 0 other 200 0.1 0.2 @\n",
            "1 bash 0 other\n2 bash 0 other\n3 bash 0 other\n",
            "1 bash 0 other\n2 bash 0 sure\n",
            "1 bash 0 other\n2 bash 0\u{1b}[0m other\n",
            "1 curl 0 other 200 0.1 0.2 @\n2 curl 0 other 200 0 0 @\n",
            "1 curl 0 other 200 0.1 0.2 @\n2 curl 0 other 99 0.1 0.1 @\n",
            "1 curl 0 other 200 0.1 0.2 @\n2 curl 0 other 200 inf nan @\n",
            "1 curl 0 other 200 0.1 0.2 @\n2 curl 0 other 200 0.1 0.2 @203.0.113.1\n",
            "1 curl 0 other 200 0.1 0.2 @\n2 curl 0 other 200 0.1 0.2 192.168.1.5\n",
            "1 curl 0 other 200 0.1 0.2 @\n2 curl 0 other 200 0.1 0.2\n",
            "1 bash 0 other\n\n2 bash 0 other\n",
            "1 bash 0 other\n10.0.0.1 bash 0 other\n",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_time_of_all_nodes_is_limited() {
        let time = ProbeTime::new(Duration::from_secs(10), 1);
        assert!(time.reserve() && time.reserve() && !time.reserve());
        time.give_back(Duration::ZERO);
        assert!(time.reserve() && !time.reserve());
        time.give_back(Duration::from_secs(3));
        assert!(!time.reserve());
    }
}
