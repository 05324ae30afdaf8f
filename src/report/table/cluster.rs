//! What is known of the cluster: its access, what its name resolves to, and what answered.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Result, Write};
use std::net::IpAddr;

use crate::model::cluster::Hosting;
use crate::model::connection::Path;
use crate::model::facts::Facts;
use crate::model::probe::{Attempt, Probe, ProbeTool, Trust};
use crate::model::seen_from::HERE;
use crate::model::text::list;
use crate::report::names::Names;
use crate::report::probe::probes;
use crate::report::style::{Style, count};
use crate::report::text::escape;
use crate::report::via::read_by;

/// How many places with one answer are named.
const PLACES: usize = 5;
/// How many different answers, CIDR blocks and addresses the short form has.
const ANSWERS: usize = 4;
const BLOCKS: usize = 5;
const ADDRESSES: usize = 4;

pub(super) fn write_cluster(facts: &Facts, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    let cluster = &facts.evidence.cluster;
    let mut rows = vec![("Cluster", head(facts)), ("Endpoint", endpoint(facts))];
    rows.push(("Access", access(facts, usize::MAX)));
    rows.extend(resolves(facts, names).into_iter().map(|text| ("Resolves", text)));
    if let Some(sources) = facts.private_access_sources() {
        let sources = if sources.is_empty() { "no source".to_owned() } else { sources.join(", ") };
        rows.push(("Private", format!("port {} of the ENIs admits {sources}", cluster.api_port())));
    }
    rows.extend(egress(facts).map(|text| ("Egress", text)));
    rows.extend(read_by(facts).map(|text| ("Nodes", text)));
    if cluster.auto_mode {
        rows.push(("Auto Mode", "on: its nodes do not accept ssh".to_owned()));
    }
    write_rows(rows, style, out)
}

/// Writes what is known of the cluster, a line each: what is normal, and what explains the rest.
pub(super) fn write_brief(facts: &Facts, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    let cluster = &facts.evidence.cluster;
    let mut rows = vec![("Cluster", head(facts))];
    if cluster.endpoint.is_none() {
        rows.push(("Endpoint", endpoint(facts)));
    }
    rows.push(("Access", access(facts, BLOCKS)));
    rows.extend(resolves_by_path(facts, names).into_iter().map(|text| ("Resolves", text)));
    if facts.evidence.network.interfaces.seen().is_some() {
        rows.push(("ENIs", enis(facts)));
    }
    rows.extend(probed(facts, names).map(|text| ("Probed", text)));
    rows.extend(egress(facts).filter(|_| without_egress(facts).is_some()).map(|text| ("Egress", text)));
    rows.extend(read_by(facts).map(|text| ("Nodes", text)));
    write_rows(rows, style, out)
}

/// Writes rows with their heads, and wraps each beside its head.
fn write_rows(rows: Vec<(&str, String)>, style: Style, out: &mut dyn Write) -> Result<()> {
    writeln!(out)?;
    for (head, text) in rows {
        let indent = " ".repeat(10);
        let text = style.prose(&escape(&text), &indent, &indent);
        let behind = text.strip_prefix(&indent).unwrap_or(&text);
        write!(out, "{}{}{behind}", style.bold(head), " ".repeat(indent.len() - head.len()))?;
    }
    Ok(())
}

fn head(facts: &Facts) -> String {
    let cluster = &facts.evidence.cluster;
    let region = cluster.region().map(|region| format!(" in {region}")).unwrap_or_default();
    let status = cluster.status.as_ref().map(|status| format!(", {status}")).unwrap_or_default();
    format!("{}{region}{status}", cluster.name)
}

fn endpoint(facts: &Facts) -> String {
    let cluster = &facts.evidence.cluster;
    match (&cluster.endpoint, &cluster.hosting) {
        (Some(endpoint), _) => endpoint.url.clone(),
        (None, Hosting::Connector) => "none: registered through EKS Connector".to_owned(),
        (None, _) => "none yet".to_owned(),
    }
}

/// The subnets from which nothing leads out of the VPC, if the control plane needs a way out.
fn without_egress(facts: &Facts) -> Option<&[String]> {
    facts.subnets_without_egress.as_deref().filter(|subnets| !subnets.is_empty())
}

fn egress(facts: &Facts) -> Option<String> {
    let mode = facts.evidence.cluster.egress_mode.as_ref()?;
    let note = without_egress(facts).map(|without| {
        format!(
            "; no NAT gateway or other way out in {}: webhooks, OIDC providers and aggregated APIs outside the VPC cannot be reached",
            without.join(", ")
        )
    });
    Some(format!("control plane egress mode {mode}{}", note.unwrap_or_default()))
}

fn access(facts: &Facts, shown: usize) -> String {
    let cluster = &facts.evidence.cluster;
    let cidrs: Vec<_> = cluster.public_cidrs().iter().map(ToString::to_string).collect();
    match cidrs.as_slice() {
        [] => cluster.access.as_str().to_owned(),
        cidrs => format!("{}; the public endpoint admits {}", cluster.access.as_str(), list(cidrs, shown)),
    }
}

/// The EKS-owned ENIs: their number, their zones and their addresses.
fn enis(facts: &Facts) -> String {
    let owned: Vec<_> = facts.eks_owned().collect();
    if owned.is_empty() {
        return "none that is EKS-owned was seen".to_owned();
    }
    let zones: BTreeSet<_> = owned.iter().map(|known| known.interface.zone.as_str()).collect();
    let addresses = owned.iter().flat_map(|known| &known.interface.addresses);
    let addresses: Vec<_> = addresses.map(ToString::to_string).collect();
    let addresses = list(&addresses, ADDRESSES);
    format!("{} EKS-owned in {}: {addresses}", owned.len(), count(zones.len(), "zone"))
}

/// What probes of the endpoint's addresses found, as numbers: places with the same numbers are
/// one phrase. Those that check certificates come first, then what reached the least.
fn probed(facts: &Facts, names: &Names) -> Option<String> {
    let mut places: BTreeMap<(bool, bool, usize, usize, usize), Vec<&str>> = BTreeMap::new();
    for Probe { vantage, tool, answers, .. } in &facts.evidence.probes {
        let reached = answers.iter().filter(|answer| matches!(answer.tcp, Attempt::Done)).count();
        let certificates = answers.iter().filter_map(|answer| answer.tls.as_ref());
        let signed = certificates.filter(|tls| matches!(tls.trust, Trust::Signed { .. })).count();
        let is_unchecked = *tool != ProbeTool::Own && signed == 0;
        if !answers.is_empty() {
            let key = (is_unchecked, reached == answers.len(), answers.len(), reached, signed);
            places.entry(key).or_default().push(names.short(vantage));
        }
    }
    let mut places: Vec<_> = places.into_iter().collect();
    places.sort_by_key(|((is_unchecked, is_all, ..), of)| (*is_unchecked, *is_all, Reverse(of.len())));
    let more: usize = places.iter().skip(ANSWERS).map(|(_, of)| of.len()).sum();
    let texts = places.iter().take(ANSWERS).map(|((is_unchecked, _, all, reached, signed), of)| {
        let places = match (of.len() > PLACES, is_unchecked) {
            (true, true) => count(of.len(), "node"),
            (true, false) => count(of.len(), "place"),
            (false, _) => of.join(", "),
        };
        let certificates = if *is_unchecked {
            "certificates not checked".to_owned()
        } else {
            format!("{signed} with a certificate of the cluster's CA")
        };
        format!("from {places}: {reached} of {} reached, {certificates}", plural(*all))
    });
    let mut texts: Vec<_> = texts.collect();
    if more > 0 {
        texts.push(format!("and other answers from {}; --all lists them", count(more, "more place")));
    }
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// A number of addresses.
fn plural(number: usize) -> String {
    if number == 1 { "1 address".to_owned() } else { format!("{number} addresses") }
}

/// What the endpoint's name resolves to, by path: places with the same answer in whatever order
/// are one sentence.
fn resolves_by_path(facts: &Facts, names: &Names) -> Vec<String> {
    let mut answers: Vec<(String, Vec<String>)> = Vec::new();
    let mut known = HashMap::new();
    for vantage in &facts.evidence.dns {
        let (answer, is_seen) = match vantage.answer.as_result() {
            Ok(answer) => {
                let mut by_path: BTreeMap<&str, BTreeSet<IpAddr>> = BTreeMap::new();
                for address in &answer.addresses {
                    let path = facts.endpoint_addresses.get(address);
                    let path = path.map_or(Path::Unattributed.as_str(), |path| path.as_str());
                    by_path.entry(path).or_default().insert(*address);
                }
                let paths = by_path.into_iter().map(|(path, addresses)| {
                    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                    format!("{path} ({})", list(&addresses, ADDRESSES))
                });
                (paths.collect::<Vec<_>>().join(", "), true)
            }
            Err(gap) => (gap.detail, false),
        };
        let at = *known.entry((answer, is_seen)).or_insert_with_key(|(answer, is_seen)| {
            answers.push((if *is_seen { answer.clone() } else { format!("not ({answer})") }, Vec::new()));
            answers.len() - 1
        });
        answers[at].1.push(names.short(&vantage.name).to_owned());
    }
    let more = answers.len().saturating_sub(ANSWERS);
    let shown = answers.into_iter().take(ANSWERS);
    let mut sentences: Vec<_> =
        shown.map(|(answer, points)| format!("{}: {answer}", list(&points, PLACES))).collect();
    if more > 0 {
        sentences.push(format!("and {more} other answers; --all lists them"));
    }
    sentences
}

/// One line for each address that was probed.
pub(super) fn write_probes(facts: &Facts, style: Style, out: &mut dyn Write) -> Result<()> {
    for (vantage, answers) in probes(facts) {
        writeln!(out, "\n{}", style.bold(&format!("Probe of the endpoint from {}", escape(&vantage))))?;
        for (address, words) in answers {
            write!(out, "{}", style.prose(&escape(&format!("{address}: {words}")), "", "  "))?;
        }
    }
    Ok(())
}

/// What the endpoint's name resolves to, in a sentence for all vantage points with the same
/// answer.
fn resolves(facts: &Facts, names: &Names) -> Vec<String> {
    let mut answers: Vec<(String, Vec<String>)> = Vec::new();
    let mut known = HashMap::new();
    for vantage in &facts.evidence.dns {
        let answer = match vantage.answer.as_result() {
            Ok(answer) => {
                let path = |address| {
                    facts.endpoint_addresses.get(address).map_or("unattributed", |path| path.as_str())
                };
                let addresses = answer.addresses.iter();
                let addresses: Vec<_> =
                    addresses.map(|address| format!("{address} ({})", path(address))).collect();
                format!(" to {}", addresses.join(", "))
            }
            Err(gap) => format!(": {}", gap.detail),
        };
        let at = *known.entry(answer).or_insert_with_key(|answer| {
            answers.push((answer.clone(), Vec::new()));
            answers.len() - 1
        });
        answers[at].1.push(vantage_point(facts, names, &vantage.name));
    }
    let sentence = |(answer, points): (String, Vec<String>)| {
        let not = if answer.starts_with(':') { "not " } else { "" };
        format!("{not}{}{answer}", list(&points, PLACES))
    };
    answers.into_iter().map(sentence).collect()
}

/// The vantage point of an answer: here, a node, or a name server.
fn vantage_point(facts: &Facts, names: &Names, name: &str) -> String {
    if name == HERE {
        return "from here".to_owned();
    }
    match facts.nodes.binary_search_by(|node| node.name.as_str().cmp(name)) {
        Ok(at) => format!("on {}", names.name(&facts.nodes[at].name)),
        Err(_) => format!("by {name}"),
    }
}
