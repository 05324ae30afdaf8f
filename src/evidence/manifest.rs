//! `manifest.json`: the version that recorded the evidence, the time, and the gaps.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::aws::CALLS;
use super::files::{BUNDLE, COMBINED_CAPTURE};
use super::probe::probe_vantage;
use crate::model::file::{Field, File};
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::kubernetes::{ENDPOINT_SLICES, NODES};
use crate::model::name::NodeName;
use crate::model::node::Via;

/// The file. One that is written by hand may contain only the gaps.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Manifest {
    /// The version of eks-netcheck that recorded the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    /// The time at which the recording ended, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<String>,
    /// What was requested and not obtained.
    #[serde(default, deserialize_with = "read_gaps", serialize_with = "write_gaps")]
    pub(super) gaps: Vec<Gap>,
    /// How the nodes with a capture were read; others were captured by other means. `None` if
    /// that was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nodes: Option<BTreeMap<String, RecordedNode>>,
}

impl Manifest {
    /// How a node with a capture was read, if that was recorded.
    pub(super) fn recorded(&self, node: &NodeName) -> Option<RecordedNode> {
        self.nodes.as_ref()?.get(node.as_str()).copied()
    }
}

/// How a node was read.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub(super) struct RecordedNode {
    pub(super) via: Via,
}

/// A gap as it is written in the file.
#[derive(Deserialize, Serialize)]
struct WireGap {
    what: WireSubject,
    why: GapReason,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    hint: String,
}

/// A subject, written as text.
#[derive(Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
struct WireSubject(Subject);

impl Clone for WireSubject {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl From<WireSubject> for String {
    fn from(subject: WireSubject) -> Self {
        subject.0.to_string()
    }
}

impl TryFrom<String> for WireSubject {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_subject(&text).map(Self)
    }
}

fn read_gaps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Gap>, D::Error> {
    let gaps = Vec::<WireGap>::deserialize(deserializer)?;
    let gap = |WireGap { what, why, detail, hint }| {
        let detail = if detail.trim().is_empty() { why.as_str().replace('-', " ") } else { detail };
        Gap { subject: what.0, why, detail, hint }
    };
    Ok(gaps.into_iter().map(gap).collect())
}

fn write_gaps<S: Serializer>(gaps: &[Gap], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(gaps.iter().map(|gap| WireGap {
        what: WireSubject(gap.subject.clone()),
        why: gap.why,
        detail: gap.detail.clone(),
        hint: gap.hint.clone(),
    }))
}

/// Parses the text of a subject, the inverse of its `Display`. The name of a file means what the
/// file contains.
fn parse_subject(text: &str) -> Result<Subject, String> {
    let text = text.trim();
    let text = text.strip_prefix("./").unwrap_or(text);
    let files = || CALLS.iter().map(|call| call.file).chain([File::CLUSTER, NODES, ENDPOINT_SLICES]);
    let fields = Field::ALL.into_iter().map(Subject::Field);
    let fixed =
        [Subject::Nodes, Subject::HybridNodes, Subject::FargatePods, Subject::Vantages, Subject::Sockets];
    let mut known = files().map(Subject::File).chain(fields).chain(fixed);
    if let Some(subject) = known.find(|subject| subject.to_string() == text) {
        return Ok(subject);
    }
    if text == COMBINED_CAPTURE {
        return Ok(Subject::Nodes);
    }
    let file = text.strip_prefix("nodes/");
    let capture = file.and_then(|file| file.strip_suffix(".txt").or_else(|| file.strip_suffix(BUNDLE)));
    if let Some(name) = text.strip_prefix("node ").or(capture) {
        let name: NodeName = name.parse().map_err(|error| format!("node {name:?}: {error}"))?;
        return Ok(Subject::Node(name));
    }
    if let Some(name) = text.strip_prefix("dns/").and_then(|file| file.strip_suffix(".txt")) {
        return Ok(Subject::Vantage(name.to_owned()));
    }
    if let Some(name) = probe_vantage(text) {
        return Ok(Subject::Probe(name.to_owned()));
    }
    if let Some(id) = text.strip_prefix("egress of node ") {
        return Ok(Subject::Egress(id.to_owned()));
    }
    for kind in ["A", "AAAA"] {
        if let Some(vantage) = text.strip_prefix(&format!("{kind} records from ")) {
            return Ok(Subject::Records { kind, vantage: vantage.to_owned() });
        }
    }
    // Who writes a manifest by hand may leave out the extension.
    let is_named = |file: &File| {
        let name = file.name();
        name.eq_ignore_ascii_case(text)
            || name.strip_suffix(".json").is_some_and(|name| name.eq_ignore_ascii_case(text))
    };
    let file = files().find(is_named).map(Subject::File);
    Ok(file.unwrap_or_else(|| Subject::Other(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::seen_from::HERE;

    #[test]
    fn subjects_round_trip() {
        let node: NodeName = "n1".parse().expect("a name");
        let mut subjects: Vec<_> = CALLS.iter().map(|call| Subject::File(call.file)).collect();
        subjects.extend(Field::ALL.into_iter().map(Subject::Field));
        subjects.extend([
            Subject::File(File::CLUSTER),
            Subject::File(NODES),
            Subject::File(ENDPOINT_SLICES),
            Subject::Vantage(HERE.to_owned()),
            Subject::Records { kind: "AAAA", vantage: "10.0.0.2".to_owned() },
            Subject::Probe(HERE.to_owned()),
            Subject::Vantages,
            Subject::Node(node),
            Subject::Nodes,
            Subject::HybridNodes,
            Subject::FargatePods,
            Subject::Egress("i-1".to_owned()),
            Subject::Sockets,
            Subject::Other("the operator's notes".to_owned()),
        ]);
        for subject in subjects {
            assert_eq!(parse_subject(&subject.to_string()), Ok(subject.clone()), "{subject}");
        }
        assert!(parse_subject("node -x").is_err());
        assert!(parse_subject("nodes/-x.txt").is_err());
    }

    #[test]
    fn the_name_of_a_file_means_what_it_contains() {
        let node: NodeName = "n1".parse().expect("a name");
        for (file, subject) in [
            ("nodes/n1.txt", Subject::Node(node.clone())),
            ("./nodes/n1.txt", Subject::Node(node.clone())),
            ("nodes/n1.tar.gz", Subject::Node(node)),
            ("nodes.txt", Subject::Nodes),
            ("dns/n1.txt", Subject::Vantage("n1".to_owned())),
            ("probe/n1.json", Subject::Probe("n1".to_owned())),
            ("kubernetes/nodes.json", Subject::File(NODES)),
            ("kubernetes/endpointslices.json", Subject::File(ENDPOINT_SLICES)),
            ("instances.json", Subject::File(crate::model::net::INSTANCES)),
            (" instances.json\n", Subject::File(crate::model::net::INSTANCES)),
            ("Instances.JSON", Subject::File(crate::model::net::INSTANCES)),
            ("instances", Subject::File(crate::model::net::INSTANCES)),
            ("cluster", Subject::File(File::CLUSTER)),
            ("kubernetes/nodes", Subject::File(NODES)),
            // Not a file, but the captures of all nodes.
            ("nodes", Subject::Nodes),
            ("describe-instances", Subject::Other("describe-instances".to_owned())),
        ] {
            assert_eq!(parse_subject(file), Ok(subject), "{file}");
        }
    }

    #[test]
    fn a_gap_without_a_detail_has_the_words_of_its_reason() {
        let json = r#"{"gaps": [{"what": "nodes", "why": "timed-out"}, {"what": "dns", "why": "?", "detail": " "}]}"#;
        let manifest: Manifest = serde_json::from_str(json).expect("a manifest");
        let details: Vec<_> = manifest.gaps.iter().map(|gap| gap.detail.as_str()).collect();
        assert_eq!(details, ["timed out", "failed"]);
    }
}
