//! The lines that tools print which resolve a name: dig, nslookup, host, getent, wget,
//! curl, resolvectl and ping.

use std::net::IpAddr;

use super::prompt::Command;
use super::words::{is_host_name, is_ttl, parse_ip, without_port};

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// An address of a name; of an unnamed one in the output of `dig +short`.
    Address(Option<&'a str>, IpAddr),
    /// A name is an alias of another.
    Alias(&'a str, &'a str),
    /// A query failed.
    Failed(Failed<'a>),
    /// Anything else.
    Other,
}

/// A query that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed<'a> {
    /// The name, if it is known.
    pub(super) name: Option<&'a str>,
    /// The record type, `A` or `AAAA`, if it is known.
    pub(super) kind: Option<&'static str>,
    /// The DNS status, or [`NO_ANSWER`].
    pub(super) status: &'static str,
}

/// Stands for the status of a query that was not answered.
pub(super) const NO_ANSWER: &str = "no answer";
/// Stands for the status of a name that did not resolve, for a reason that the tool does
/// not tell.
pub(super) const NOT_RESOLVED: &str = "not resolved";

/// Texts that name a DNS status.
const STATUSES: [(&str, &str); 19] = [
    ("NXDOMAIN", "NXDOMAIN"),
    ("SERVFAIL", "SERVFAIL"),
    ("REFUSED", "REFUSED"),
    ("FORMERR", "FORMERR"),
    ("NOTIMP", "NOTIMP"),
    // Windows
    ("Non-existent domain", "NXDOMAIN"),
    ("DNS name does not exist", "NXDOMAIN"),
    ("Server failed", "SERVFAIL"),
    ("Query refused", "REFUSED"),
    ("No response from server", NO_ANSWER),
    ("DNS request timed out", NO_ANSWER),
    // dig, nslookup and host
    ("no servers could be reached", NO_ANSWER),
    ("connection timed out; no servers", NO_ANSWER),
    // The C library, as wget, curl and ping print it; wget and curl themselves; resolvectl
    ("failure in name resolution", NOT_RESOLVED),
    ("ame or service not known", NOT_RESOLVED),
    ("ould not resolve host", NOT_RESOLVED),
    ("nable to resolve host", NOT_RESOLVED),
    ("resolve call failed", NOT_RESOLVED),
    ("No address associated with hostname", NOT_RESOLVED),
];

fn status_in(line: &str) -> Option<&'static str> {
    STATUSES.into_iter().find(|(text, _)| line.contains(text)).map(|(_, status)| status)
}

/// How many words of a line are examined: a line of wget has one for each address.
const WORDS_MAX: usize = 64;

/// A reader of lines, which depend on the lines before them.
#[derive(Debug, Default)]
pub(super) struct Reader<'a> {
    section: Section,
    /// The name that the lines below are about.
    name: Option<&'a str>,
    /// The status in the header of a message of dig, up to its question.
    failed: Option<&'static str>,
    /// The name and record type that dig asks for.
    question: (Option<&'a str>, Option<&'static str>),
    /// Addresses that curl or telnet connects to, before the line that names the host.
    tried: Vec<IpAddr>,
    /// Whether curl connects to a proxy.
    is_proxied: bool,
    /// Whether an address that stands alone is an answer, as in the output of `dig +short`.
    /// Other commands print other addresses.
    ignores_bare: bool,
}

/// The part of the output of a tool.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Section {
    /// Outside any.
    #[default]
    None,
    /// The name server that nslookup or host asks. Its address is not an answer.
    Server,
    /// The question of a message, as dig prints it.
    Question,
    /// The answer to the question.
    Answer,
    /// Records that are not the answer, as dig prints them.
    NotAnswer,
}

impl<'a> Reader<'a> {
    /// Reads a line, which may say several things.
    pub(super) fn read(&mut self, line: &'a str, items: &mut Vec<Item<'a>>) {
        // A quotation in a mail.
        let line = line.strip_prefix("> ").unwrap_or(line);
        let words: Vec<&str> = line.split_ascii_whitespace().take(WORDS_MAX).collect();
        let before = items.len();
        if let Some(Command { name, prints_other_addresses }) = Command::parse(line) {
            self.end(items);
            *self = Self { name, ignores_bare: prints_other_addresses, ..Self::default() };
            items.push(Item::Other);
            return;
        }
        self.dig(line, &words, items);
        if items.len() == before && self.section != Section::NotAnswer {
            self.nslookup(line, &words, items);
        }
        if items.len() == before && matches!(self.section, Section::None | Section::Answer) {
            self.connections(line, &words, items);
        }
        if items.len() == before && matches!(self.section, Section::None | Section::Answer) {
            self.others(line, &words, items);
        }
        if items.len() == before {
            let is_message = line.contains("->>HEADER<<-");
            items.push(match status_in(line) {
                Some(status) if !is_message => {
                    let (name, kind) = self.question;
                    let in_line =
                        words.iter().map(|word| word.trim_end_matches(':')).find(|word| is_host_name(word));
                    Item::Failed(Failed { name: in_line.or(name).or(self.name), kind, status })
                }
                _ => Item::Other,
            });
        }
    }

    /// Ends the input.
    pub(super) fn end(&mut self, items: &mut Vec<Item<'a>>) {
        let name = self.name;
        items.extend(self.tried.drain(..).map(|ip| Item::Address(name, ip)));
    }

    /// dig prints a message as comments and records: `NAME TTL IN A ADDRESS`.
    fn dig(&mut self, line: &'a str, words: &[&'a str], items: &mut Vec<Item<'a>>) {
        if line.starts_with("; <<>> ") {
            (self.section, self.failed) = (Section::None, None);
            let asked =
                words.iter().skip_while(|word| **word != "<<>>").skip(1).skip_while(|word| **word != "<<>>");
            let kind = if asked.clone().any(|word| *word == "AAAA") { "AAAA" } else { "A" };
            self.question = (asked.copied().find(|word| is_host_name(word)), Some(kind));
        } else if line.starts_with(";; Got answer") {
            (self.section, self.failed) = (Section::None, None);
        } else if line.contains("->>HEADER<<-") {
            self.failed = STATUSES.into_iter().find_map(|(text, status)| {
                let is_status =
                    line.contains(&format!("status: {text}")) || line.contains(&format!("rcode: {text}"));
                is_status.then_some(status)
            });
        } else if let Some(section) =
            line.strip_prefix(";; ").and_then(|line| line.trim_end_matches(':').strip_suffix(" SECTION"))
        {
            self.section = match section {
                "QUESTION" => Section::Question,
                "ANSWER" => Section::Answer,
                _ => Section::NotAnswer,
            };
        } else if self.section == Section::Question && line.starts_with(';') {
            // drill prints two semicolons before the question.
            let name = words.iter().map(|word| word.trim_start_matches(';')).find(|word| !word.is_empty());
            let kind = ["AAAA", "A"].into_iter().find(|kind| words.last() == Some(kind));
            self.question = (name, kind);
            let status = self.failed.take();
            items.extend(status.map(|status| Item::Failed(Failed { name, kind, status })));
            if line.starts_with(";;") {
                self.section = Section::None;
            }
        } else if line.starts_with(";; ") {
            // The trailer: time, name server, size. Nothing in it is a record.
            self.section = Section::None;
        }
        if line.starts_with(';') || self.section == Section::NotAnswer {
            return;
        }
        // The columns of the TTL and the class can be switched off.
        let record = match words {
            [name, ttl, "IN", kind, data, ..] if is_ttl(ttl) => Some((name, kind, data)),
            [name, "IN", kind, data, ..] => Some((name, kind, data)),
            [name, ttl, kind, data, ..] if is_ttl(ttl) => Some((name, kind, data)),
            // Resolve-DnsName of PowerShell
            [name, kind, ttl, "Answer", data, ..] if is_ttl(ttl) => Some((name, kind, data)),
            _ => None,
        };
        if let Some((name, kind, data)) = record {
            match (*kind, parse_ip(data)) {
                ("A" | "AAAA", Some(address)) => items.push(Item::Address(Some(name), address)),
                ("CNAME", _) => items.push(Item::Alias(name, data)),
                _ => {}
            }
        }
    }

    /// nslookup prints the name server, then names and their addresses.
    fn nslookup(&mut self, line: &'a str, words: &[&'a str], items: &mut Vec<Item<'a>>) {
        match words {
            [] | ["Non-authoritative", "answer:"] => self.section = Section::None,
            ["Server:" | "DNS", ..] | ["Using", "domain", "server:"] if status_in(line).is_none() => {
                (self.section, self.name) = (Section::Server, None);
            }
            // The latter is printed by dscacheutil.
            ["Name:" | "name:", name] if self.section != Section::Server || parse_ip(name).is_none() => {
                (self.section, self.name) = (Section::Answer, Some(*name));
            }
            [name, "canonical", "name", "=", target] => items.push(Item::Alias(name, target)),
            ["Address:" | "Addresses:" | "ip_address:" | "ipv6_address:", data]
            | ["Address", _, data, ..]
                if self.section == Section::Answer && !data.contains('#') =>
            {
                let address = parse_ip(data);
                items.extend(address.map(|address| Item::Address(self.name, address)));
            }
            // A further address, on a line of its own below `Addresses:`.
            [data] if self.section == Section::Answer && line.starts_with([' ', '\t']) => {
                let address = parse_ip(data);
                items.extend(address.map(|address| Item::Address(self.name, address)));
            }
            _ => {}
        }
    }

    /// wget, curl, telnet and nc print the addresses to which they connect. Those of a proxy
    /// are not an answer.
    fn connections(&mut self, line: &'a str, words: &[&'a str], items: &mut Vec<Item<'a>>) {
        let address = |name, data: &&str| parse_ip(data).map(|ip| Item::Address(name, ip));
        match words {
            // wget
            ["Resolving", name, rest @ ..] => {
                let name = name.trim_end_matches("...");
                let parts = rest.iter().flat_map(|word| word.split(','));
                items.extend(parts.filter_map(|part| address(Some(name), &part)));
            }
            ["Connecting", "to", name, ..] if line.contains('|') => {
                let data = line.split('|').nth(1).unwrap_or_default();
                items.extend(address(Some(*name), &data));
            }
            // curl -v
            ["*", "Uses", "proxy", ..] => {
                self.is_proxied = true;
                items.push(Item::Other);
            }
            ["*", "Host", name, "was", "resolved."] => {
                self.end(items);
                self.name = Some(without_port(name));
            }
            ["*", "IPv4:" | "IPv6:", parts @ ..] if !self.is_proxied => {
                let parts = parts.iter().map(|part| part.trim_end_matches(','));
                items.extend(parts.filter_map(|part| address(self.name, &part)));
            }
            // curl -v, and telnet
            ["*", "Trying", data, ..] | ["Trying", data] => {
                let data = data.trim_end_matches("...");
                let data = if parse_ip(data).is_some() { data } else { without_port(data) };
                self.tried.extend(parse_ip(data).filter(|_| !self.is_proxied));
                items.push(Item::Other);
            }
            ["*", "Connected", "to", name, rest @ ..] => {
                let in_line = rest.first().map(|data| data.trim_matches(['(', ')']));
                self.connected(name, in_line, items);
            }
            ["*", "Failed", "to", "connect", "to", name, ..] | ["Connected", "to", name] => {
                self.connected(name, None, items);
            }
            // nc
            ["Connection", "to", name, data, ..] if data.starts_with('(') => {
                items.extend(address(Some(*name), &data.trim_matches(['(', ')', ','])));
            }
            _ => {}
        }
    }

    /// Adds the addresses that were tried for a host.
    fn connected(&mut self, name: &'a str, in_line: Option<&str>, items: &mut Vec<Item<'a>>) {
        let name = name.trim_end_matches(['.', ',']);
        let connected = in_line.and_then(parse_ip).filter(|_| !self.is_proxied);
        let addresses = self.tried.drain(..).chain(connected);
        items.extend(addresses.map(|ip| Item::Address(Some(name), ip)));
        items.push(Item::Other);
    }

    fn others(&mut self, line: &'a str, words: &[&'a str], items: &mut Vec<Item<'a>>) {
        let address = |name, data: &&str| parse_ip(data).map(|ip| Item::Address(name, ip));
        match words {
            // host
            [name, "has", "address", data] | [name, "has", "IPv6", "address", data] => {
                items.extend(address(Some(*name), data));
            }
            [name, "is", "an", "alias", "for", target] => items.push(Item::Alias(name, target)),
            // ping and traceroute
            ["PING", name, data, ..] | ["traceroute", "to", name, data, ..] => {
                items.extend(address(Some(*name), &data.trim_matches(['(', ')', ':', ','])));
            }
            // resolvectl query, with further addresses on lines of their own. Old versions
            // do not name the link.
            [name, data, "--", "link:", ..] | [name, data]
                if name.ends_with(':') && is_host_name(name.trim_end_matches(':')) =>
            {
                self.name = Some(name.trim_end_matches(':'));
                items.extend(address(self.name, data));
            }
            [data, "--", "link:", ..] => items.extend(address(self.name, data)),
            // dig +short, and getent ahosts
            [data] | [data, "STREAM" | "DGRAM" | "RAW", ..]
                if !self.ignores_bare && parse_ip(data).is_some() =>
            {
                items.extend(address(self.name, data));
            }
            // getent hosts, and /etc/hosts
            [data, names @ ..] if parse_ip(data).is_some() && names.iter().all(|name| is_host_name(name)) => {
                items.extend(names.iter().filter_map(|name| address(Some(*name), data)));
            }
            // An address with a comment.
            [data, comment, ..]
                if !self.ignores_bare && comment.starts_with([';', '#', '(', '<', '\u{2190}']) =>
            {
                items.extend(address(self.name, data));
            }
            // Several addresses on a line, such as a list of a script.
            _ if !self.ignores_bare => {
                let parts = line.split(|char: char| char.is_whitespace() || ",'\"[]".contains(char));
                let addresses: Option<Vec<_>> = parts.filter(|part| !part.is_empty()).map(parse_ip).collect();
                let addresses = addresses.unwrap_or_default().into_iter();
                items.extend(addresses.map(|ip| Item::Address(self.name, ip)));
            }
            _ => {}
        }
    }
}
