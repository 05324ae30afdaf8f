//! DNS answers, as the tools print them that resolve a name.

mod prompt;
mod tools;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use self::tools::{Failed, Item, NO_ANSWER, NOT_RESOLVED, Reader};
use crate::model::evidence::{Answer, Vantage};
use crate::model::gap::{Gap, GapReason, Observed, Subject};

/// The most lines that are accepted: far more than a DNS answer has.
const LINES_MAX: usize = 1000;
/// The longest line that is accepted, in bytes: far more than a record of a name with
/// addresses has.
const LINE_MAX: usize = 4096;
/// The prefix of the comment in which `collect` records the TTL, which `dig +short` does
/// not print.
pub(crate) const TTL_COMMENT: &str = "; TTL ";

/// Parses the answer for `host` at the vantage point `name`, and returns it with the gaps
/// for record types whose query failed. If `host` is not known, answers for any name
/// count.
#[must_use]
pub fn parse_answer(name: &str, host: Option<&str>, bytes: &[u8]) -> (Vantage, Vec<Gap>) {
    let gap = |subject, why, detail: String, hint: &str| Gap { subject, why, detail, hint: hint.to_owned() };
    let vantage = |answer| Vantage { name: name.to_owned(), answer };
    let unseen = |why, detail: String, hint: &str| {
        (vantage(Observed::Unseen(gap(Subject::Vantage(name.to_owned()), why, detail, hint))), Vec::new())
    };
    let mut lines = Vec::new();
    // Editors of Windows write a byte order mark at the beginning of a file.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii_end();
        if line.len() > LINE_MAX {
            let detail =
                format!("line {} is longer than {LINE_MAX} bytes, which is not a DNS answer", number + 1);
            return unseen(GapReason::Malformed, detail, "record it again with dig +short");
        }
        if number > LINES_MAX && !line.is_empty() {
            let detail = format!("more than {LINES_MAX} lines, which is not a DNS answer for one name");
            return unseen(GapReason::Malformed, detail, "record it again with dig +short");
        }
        lines.push(String::from_utf8_lossy(line));
    }
    let Parsed { answer, failed, others } = Parsed::new(&lines, host);
    if !answer.addresses.is_empty() {
        let gap = |kind, status| {
            let subject = Subject::Records { kind, vantage: name.to_owned() };
            gap(
                subject,
                GapReason::Failed,
                format!("the query failed: {}", problem(status)),
                "resolve the name again",
            )
        };
        let gaps = failed.missing(&answer).into_iter().map(|(kind, status)| gap(kind, status)).collect();
        return (vantage(Observed::Seen(answer)), gaps);
    }
    let status = failed.0.first().map(|(failed, _)| failed.status);
    let (detail, hint) = match (status, others.first(), answer.aside.first()) {
        (Some(status), ..) => (
            problem(status),
            match status {
                "NXDOMAIN" => {
                    "a deleted cluster's name no longer exists, and a resolver may filter names; try another one"
                }
                NOT_RESOLVED => RECORD_AGAIN,
                _ => "try another name server",
            },
        ),
        (None, Some(other), _) => (
            format!("it has addresses of {other:?}, and none of {:?}", host.unwrap_or_default()),
            "resolve the endpoint's name there with dig +short",
        ),
        (None, None, Some(_)) if answer.aside.iter().any(|line| line.contains("status: NOERROR")) => (
            "the name exists and has no address (NOERROR)".to_owned(),
            "resolve the endpoint's name there again",
        ),
        (None, None, Some(line)) => (format!("no address in it, but {line:?}"), RECORD_AGAIN),
        (None, None, None) => (
            "empty; dig +short prints nothing for NXDOMAIN, for SERVFAIL and for a name without addresses"
                .to_owned(),
            RECORD_AGAIN,
        ),
    };
    unseen(GapReason::NoAnswer, detail, hint)
}

const RECORD_AGAIN: &str = "record it again with dig +short; without +short, dig shows why a name does not resolve, for example NXDOMAIN after the cluster was deleted";

/// What the status of a query that failed says.
fn problem(status: &str) -> String {
    match status {
        "NXDOMAIN" => "there is no such name (NXDOMAIN)".to_owned(),
        NO_ANSWER => "no name server answered".to_owned(),
        NOT_RESOLVED => "the name did not resolve".to_owned(),
        status => format!("the name server answers {status}"),
    }
}

/// The queries for a name that failed, with whether an address of the name precedes them.
#[derive(Default)]
struct FailedQueries<'a>(Vec<(Failed<'a>, bool)>);

impl FailedQueries<'_> {
    /// The record types that are missing in an answer because their query failed, with its
    /// status. A name that does not exist for one type only has no records of that type.
    fn missing(&self, answer: &Answer) -> BTreeMap<&'static str, &'static str> {
        let has_v4 = answer.addresses.iter().any(IpAddr::is_ipv4);
        let has_v6 = answer.addresses.iter().any(IpAddr::is_ipv6);
        let missing = |kind: &str| if kind == "A" { !has_v4 } else { !has_v6 };
        // nslookup queries both types, and does not tell which one failed.
        let other = if has_v4 { "AAAA" } else { "A" };
        let kinds = self.0.iter().filter(|(failed, _)| failed.status != "NXDOMAIN").filter_map(
            |(failed, is_second)| {
                let kind = failed.kind.or(is_second.then_some(other))?;
                missing(kind).then_some((kind, failed.status))
            },
        );
        kinds.collect()
    }
}

/// The contents of an answer.
#[derive(Default)]
struct Parsed<'a> {
    answer: Answer,
    failed: FailedQueries<'a>,
    /// Names that have addresses and are not the endpoint's.
    others: BTreeSet<&'a str>,
}

impl<'a> Parsed<'a> {
    fn new(lines: &'a [std::borrow::Cow<'a, str>], host: Option<&str>) -> Self {
        let mut parsed = Self::default();
        let mut reader = Reader::default();
        let mut found: Vec<(Option<&str>, IpAddr)> = Vec::new();
        let mut aliases = Vec::new();
        let mut failed = Vec::new();
        let mut items = Vec::new();
        for line in lines {
            if let Some(ttl) = line.strip_prefix(TTL_COMMENT).and_then(|ttl| ttl.parse().ok()) {
                parsed.answer.ttl = Some(ttl);
                continue;
            }
            let before = items.len();
            reader.read(line, &mut items);
            let has_address = items[before..].iter().any(|item| matches!(item, Item::Address(..)));
            if !has_address && !line.is_empty() {
                parsed.answer.aside.push(line.trim().to_owned());
            }
        }
        reader.end(&mut items);
        for item in items {
            match item {
                Item::Address(owner, address) => found.push((owner, address)),
                Item::Alias(owner, target) => aliases.push((owner, target)),
                Item::Failed(query) => failed.push((query, found.len())),
                Item::Other => {}
            }
        }
        let names = host.map(|host| aliases_of(host, &aliases));
        let is_wanted = |owner: Option<&str>| match (owner, &names) {
            (Some(owner), Some(names)) => names.contains(&normalised(owner)),
            _ => true,
        };
        let failed = failed.into_iter().filter(|(query, _)| is_wanted(query.name));
        let first = found.iter().position(|(owner, _)| is_wanted(*owner));
        let is_second = |before: usize| first.is_some_and(|first| first < before);
        parsed.failed = FailedQueries(failed.map(|(query, before)| (query, is_second(before))).collect());
        let mut seen = BTreeSet::new();
        for (owner, address) in found {
            match owner {
                Some(owner) if !is_wanted(Some(owner)) => {
                    parsed.others.insert(owner);
                }
                _ if seen.insert(address) => parsed.answer.addresses.push(address),
                _ => {}
            }
        }
        parsed
    }
}

/// The name and, following aliases, the names that it stands for.
fn aliases_of(host: &str, aliases: &[(&str, &str)]) -> BTreeSet<String> {
    let mut targets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (owner, target) in aliases {
        targets.entry(normalised(owner)).or_default().push(normalised(target));
    }
    let mut names = BTreeSet::new();
    let mut next = vec![normalised(host)];
    while let Some(name) = next.pop() {
        next.extend(targets.remove(&name).unwrap_or_default());
        names.insert(name);
    }
    names
}

fn normalised(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
