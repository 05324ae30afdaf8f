//! Metrics in a text that is both `OpenMetrics` 1.0 and the text format of Prometheus, which the
//! textfile collector of `node_exporter` reads: gauges alone, since that collector knows neither
//! state sets nor info metrics, and no timestamps, which it refuses. To it, `# EOF` is a
//! comment.
//!
//! Kept until the end, since the samples of a metric may not be apart: the samples of all
//! clusters, whose number for a cluster is bounded.
//!
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::collections::BTreeMap;
use std::io::{Result, Write};

use super::format::{AuditFormat, ReportWriter};
use super::text::escape;
use crate::model::audit::{Audited, Counts, Summary};
use crate::model::compliance::Mapping;
use crate::model::connection::{Component, Connection, Direction, Path};
use crate::model::facts::Facts;
use crate::model::judgment::{ControlStatus, Judgment, Verdict};
use crate::model::node::NodeStatus;
use crate::model::probe::{ProbeTarget, Trust};
use crate::model::rule::Rule;
use crate::model::socket::State;
use crate::model::text::cut;
use crate::model::traffic::TrafficPath;

/// The format.
pub(super) const FORMAT: AuditFormat = AuditFormat {
    name: "openmetrics",
    help: "OpenMetrics 1.0, for Prometheus and the textfile collector of node_exporter (FILE.prom)",
    write: |settings| {
        Box::new(Writer { rules: settings.rules, time: settings.time, metrics: Metrics::default() })
    },
};

/// The most characters of the value of a label.
const LABEL_MAX: usize = 200;

/// A metric: its name without the prefix, and its help text.
struct Metric {
    name: &'static str,
    help: &'static str,
}

/// Defines the metrics, in the order in which they are written.
macro_rules! metrics {
    ($($id:ident $name:literal $help:literal)*) => {
        /// A metric, as an index into [`METRICS`].
        #[derive(Debug, Clone, Copy)]
        enum Id { $($id),* }

        /// All metrics.
        const METRICS: &[Metric] = &[$(Metric { name: $name, help: $help }),*];
    };
}

metrics! {
    BuildInfo "build_info" "The version of eks-netcheck; always 1"
    LastRun "last_run_timestamp_seconds" "The time of the run, in seconds since 1970"
    RunVerdict "run_verdict" "The verdict of the run: 1 for the one that it has, 0 for the others"
    Clusters "clusters" "The number of clusters by verdict"
    Unjudged "clusters_unjudged" "The number of clusters, or of accounts and regions, that could not be judged at all"
    ClusterVerdict "verdict" "The verdict of a cluster: 1 for the one that it has, 0 for the others"
    Findings "findings" "The number of findings that are neither waived nor known; 0 also for a rule that was not judged"
    Waived "findings_waived" "The number of findings that the policy waives"
    Known "findings_known" "The number of findings that are known from the baseline"
    Judged "rule_judged" "1 if a rule had all its evidence, 0 if evidence is missing or the policy turns it off"
    Control "control_met" "1 if the cluster meets a control of a standard, 0 if not or if that is not known"
    Gaps "gaps" "The number of kinds of evidence that were not seen, by whether the verdict needed them"
    Nodes "nodes" "The number of nodes by the result of reading them"
    Traffic "node_traffic_nodes" "The number of nodes by the path of the traffic of kubelet and kube-proxy to the API server"
    Sockets "sockets" "The number of sockets of a component, of those that the report lists or counts"
    Certificate "certificate_expiry_timestamp_seconds" "The earliest expiry of the certificates that addresses of the API server showed, in seconds since 1970"
}

/// The samples of each metric, by their labels.
#[derive(Default)]
struct Metrics(BTreeMap<usize, BTreeMap<String, f64>>);

/// A label: its name and its value.
type Label<'a> = (&'static str, &'a str);

impl Metrics {
    /// Adds to a sample. Two clusters have the same labels only if nothing distinguishes them:
    /// what is no number of things is then the latest time of the runs, the earliest expiry,
    /// each verdict that one of them has, and what is true of both.
    fn add(&mut self, id: Id, labels: &[Label<'_>], value: f64) {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", label_value(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let join: fn(f64, f64) -> f64 = match id {
            Id::BuildInfo | Id::LastRun | Id::RunVerdict | Id::ClusterVerdict => f64::max,
            Id::Judged | Id::Control | Id::Certificate => f64::min,
            Id::Clusters
            | Id::Unjudged
            | Id::Findings
            | Id::Waived
            | Id::Known
            | Id::Gaps
            | Id::Nodes
            | Id::Traffic
            | Id::Sockets => |known, more| known + more,
        };
        let samples = self.0.entry(id as usize).or_default();
        samples.entry(labels).and_modify(|known| *known = join(*known, value)).or_insert(value);
    }

    fn write(&self, out: &mut dyn Write) -> Result<()> {
        for (at, samples) in &self.0 {
            let Metric { name, help } = METRICS[*at];
            writeln!(out, "# HELP eks_netcheck_{name} {help}\n# TYPE eks_netcheck_{name} gauge")?;
            for (labels, value) in samples {
                writeln!(out, "eks_netcheck_{name}{labels} {value}")?;
            }
        }
        out.write_all(b"# EOF\n")
    }
}

/// The value of a label between its quotes.
fn label_value(value: &str) -> String {
    let value = cut(value, LABEL_MAX);
    escape(&value).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}

struct Writer {
    rules: &'static [&'static Rule],
    time: i64,
    metrics: Metrics,
}

impl ReportWriter for Writer {
    fn cluster(&mut self, audited: &Audited, _: &mut dyn Write) -> Result<()> {
        let Audited { facts, judgment } = audited;
        let cluster = &facts.evidence.cluster;
        let labels = [
            ("cluster", &*cluster.name),
            ("region", cluster.region().unwrap_or_default()),
            ("account", cluster.account().unwrap_or_default()),
        ];
        let mut samples = ClusterSamples { metrics: &mut self.metrics, labels };
        samples.verdict(judgment);
        samples.rules(self.rules, judgment);
        samples.evidence(facts, judgment);
        samples.sockets(facts);
        samples.certificates(facts);
        Ok(())
    }

    fn end(mut self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        let metrics = &mut self.metrics;
        metrics.add(Id::BuildInfo, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let millis = u64::try_from(self.time).unwrap_or_default();
        metrics.add(Id::LastRun, &[], float(millis) / 1000.0);
        let Counts { pass, fail, inconclusive } = summary.counts;
        let counts = [(Verdict::Pass, pass), (Verdict::Fail, fail), (Verdict::Inconclusive, inconclusive)];
        for (verdict, count) in counts {
            let labels = [("verdict", verdict.as_str())];
            metrics.add(Id::RunVerdict, &labels, one_if(verdict == summary.verdict()));
            metrics.add(Id::Clusters, &labels, float(count as u64));
        }
        metrics.add(Id::Unjudged, &[], float(summary.unjudged.len() as u64));
        metrics.write(out)
    }
}

fn one_if(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

/// The samples of one cluster.
struct ClusterSamples<'a> {
    metrics: &'a mut Metrics,
    labels: [Label<'a>; 3],
}

impl ClusterSamples<'_> {
    fn add(&mut self, id: Id, labels: &[Label<'_>], value: f64) {
        let all: Vec<_> = self.labels.iter().chain(labels).copied().collect();
        self.metrics.add(id, &all, value);
    }

    fn verdict(&mut self, judgment: &Judgment) {
        for verdict in [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive] {
            let is = one_if(verdict == judgment.verdict);
            self.add(Id::ClusterVerdict, &[("verdict", verdict.as_str())], is);
        }
    }

    /// The findings of every rule, so that an alert on one has a sample to compare, and whether
    /// their absence means anything.
    fn rules(&mut self, rules: &[&'static Rule], judgment: &Judgment) {
        for rule in rules {
            self.add(Id::Findings, &[("rule", rule.id), ("severity", rule.severity.as_str())], 0.0);
            self.add(Id::Judged, &[("rule", rule.id)], one_if(judgment.outcome(rule).is_judged()));
        }
        let (mut counted, mut waived, mut known) = (BTreeMap::<_, u64>::new(), 0, 0);
        for judged in &judgment.findings {
            if judged.counts() {
                *counted.entry((judged.rule.id, judged.severity)).or_default() += 1;
            } else if judged.is_known() {
                known += 1;
            } else {
                waived += 1;
            }
        }
        for ((rule, severity), number) in counted {
            self.add(Id::Findings, &[("rule", rule), ("severity", severity.as_str())], float(number));
        }
        self.add(Id::Waived, &[], float(waived));
        self.add(Id::Known, &[], float(known));
        let same = judgment.controls.iter().filter(|result| result.control.mapping == Mapping::Same);
        for result in same {
            let labels = [("standard", result.control.standard.id()), ("control", result.control.id)];
            self.add(Id::Control, &labels, one_if(result.status == ControlStatus::Pass));
        }
    }

    fn evidence(&mut self, facts: &Facts, judgment: &Judgment) {
        for (needed, word) in [(true, "true"), (false, "false")] {
            let count = judgment.gaps.iter().filter(|judged| judged.needed == needed).count();
            self.add(Id::Gaps, &[("needed", word)], float(count as u64));
        }
        let statuses = [
            NodeStatus::Read,
            NodeStatus::NoProcessNames,
            NodeStatus::Unreachable,
            NodeStatus::NotSupported,
            NodeStatus::Malformed,
        ];
        for status in statuses {
            let count = facts.nodes.iter().filter(|node| node.status == status).count();
            self.add(Id::Nodes, &[("status", status.as_str())], float(count as u64));
        }
        self.add(Id::Nodes, &[("status", "not-read")], float(facts.unread_nodes() as u64));
        let paths = [
            TrafficPath::Public,
            TrafficPath::Private,
            TrafficPath::Mixed,
            TrafficPath::None,
            TrafficPath::Unknown,
        ];
        for path in paths {
            let count = facts.traffic.iter().filter(|traffic| traffic.path == path).count();
            self.add(Id::Traffic, &[("path", path.as_str())], float(count as u64));
        }
    }

    /// The sockets of each component by path, also those that are only counted. Programs are
    /// no label: their names are chosen by their users.
    fn sockets(&mut self, facts: &Facts) {
        let mut counts: BTreeMap<[&'static str; 4], u64> = BTreeMap::new();
        let mut count = |component, direction, path: Path, state: State, number: u64| {
            let state = match state {
                State::Established => "established",
                State::SynSent => "syn-sent",
                _ => "other",
            };
            let sum = counts.entry([component, direction, path.as_str(), state]).or_default();
            *sum = sum.saturating_add(number);
        };
        for component in [Component::Kubelet, Component::KubeProxy] {
            for path in [Path::PublicEndpoint, Path::PrivateEni, Path::ClusterIp] {
                let outbound = Direction::Outbound.as_str();
                count(component.as_str(), outbound, path, State::Established, 0);
            }
        }
        let name = |connection: &Connection| connection.component.map_or("other", Component::as_str);
        for connection in &facts.connections {
            let (path, state) = (connection.attribution.path, connection.socket.state);
            count(name(connection), connection.direction.as_str(), path, state, 1);
        }
        for omitted in &facts.connections_omitted {
            let kind = omitted.kind.as_ref();
            let direction = kind.map_or("unknown", |kind| kind.direction.as_str());
            count(kind.map_or("unknown", name), direction, omitted.path, omitted.state, omitted.count);
        }
        for ([component, direction, path, state], number) in counts {
            let labels =
                [("component", component), ("direction", direction), ("path", path), ("state", state)];
            self.add(Id::Sockets, &labels, float(number));
        }
    }

    /// The earliest expiry by what was probed and whose CA signed.
    fn certificates(&mut self, facts: &Facts) {
        let mut earliest: BTreeMap<[&str; 2], i64> = BTreeMap::new();
        for answer in facts.evidence.probes.iter().flat_map(|probe| &probe.answers) {
            let target = match answer.target {
                ProbeTarget::Endpoint => "endpoint",
                ProbeTarget::Eni => "eni",
                // Anything may be there.
                ProbeTarget::Peer => continue,
            };
            let Some((tls, certificate)) =
                answer.tls.as_ref().and_then(|tls| Some((tls, tls.certificate.as_ref()?)))
            else {
                continue;
            };
            let ca = match tls.trust {
                Trust::Signed { .. } | Trust::Invalid(_) => "cluster",
                Trust::Unsigned => "other",
                Trust::Unknown(_) => "unknown",
            };
            let expiry = earliest.entry([target, ca]).or_insert(certificate.not_after);
            *expiry = certificate.not_after.min(*expiry);
        }
        for ([target, ca], expiry) in earliest {
            let seconds = float(u64::try_from(expiry).unwrap_or_default());
            self.add(Id::Certificate, &[("target", target), ("ca", ca)], seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped_and_cut() {
        assert_eq!(label_value("a\"b\\c"), "a\\\"b\\\\c");
        // A line feed is escaped before, as in every format.
        assert_eq!(label_value("a\nb"), "a\\\\nb");
        assert!(label_value(&"x".repeat(1000)).len() < 250);
    }

    #[test]
    fn equal_labels_give_no_sum_of_times_and_verdicts() {
        let mut metrics = Metrics::default();
        for (id, values, expected) in [
            (Id::Nodes, [2.0, 3.0], 5.0),
            (Id::LastRun, [7.0, 9.0], 9.0),
            (Id::ClusterVerdict, [1.0, 1.0], 1.0),
            (Id::Judged, [1.0, 0.0], 0.0),
            (Id::Certificate, [4e9, 3e9], 3e9),
        ] {
            for value in values {
                metrics.add(id, &[("cluster", "a")], value);
            }
            let samples: Vec<f64> = metrics.0[&(id as usize)].values().copied().collect();
            assert!(samples.len() == 1 && (samples[0] - expected).abs() < 0.1, "{id:?}: {samples:?}");
        }
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for Metric { name, help } in METRICS {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            // Only counters end so.
            assert!(!name.ends_with("_total") && !name.ends_with("_count"), "{name}");
            assert!(!help.contains(['\n', '\\', '"']) && !help.ends_with('.'), "{help}");
        }
    }
}
