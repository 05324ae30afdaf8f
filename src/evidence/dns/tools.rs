//! The lines that tools print which resolve a name: dig, nslookup, host, getent, wget,
//! curl, resolvectl and ping.

use std::net::IpAddr;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// An address of a name; of an unnamed one in the output of `dig +short`.
    Address(Option<&'a str>, IpAddr),
    /// A name is an alias of another.
    Alias(&'a str, &'a str),
    /// A query of this record type, or of an unknown one, failed with a DNS status.
    Failed(Option<&'static str>, &'static str),
    /// Anything else.
    Other,
}

/// The DNS statuses that tools print, except `NOERROR`.
const STATUSES: [&str; 5] = ["NXDOMAIN", "SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"];

/// A reader of lines, which depend on the lines before them.
#[derive(Debug, Default)]
pub(super) struct Reader<'a> {
    section: Section,
    /// The name that the lines below are about.
    name: Option<&'a str>,
    /// The status in the header of a message of dig, up to its question.
    failed: Option<&'static str>,
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
        let words: Vec<&str> = line.split_ascii_whitespace().take(WORDS_MAX).collect();
        let before = items.len();
        self.dig(line, &words, items);
        if items.len() == before && self.section != Section::NotAnswer {
            self.nslookup(line, &words, items);
        }
        if items.len() == before && matches!(self.section, Section::None | Section::Answer) {
            self.others(line, &words, items);
        }
        if items.len() == before {
            let status = STATUSES.into_iter().find(|status| line.contains(status));
            let is_dig = line.starts_with(';');
            items.push(status.filter(|_| !is_dig).map_or(Item::Other, |status| Item::Failed(None, status)));
        }
    }

    /// dig prints a message as comments and records: `NAME TTL IN A ADDRESS`.
    fn dig(&mut self, line: &'a str, words: &[&'a str], items: &mut Vec<Item<'a>>) {
        if line.starts_with("; <<>> ") || line.starts_with(";; Got answer") {
            (self.section, self.failed) = (Section::None, None);
        } else if line.contains("->>HEADER<<-") {
            self.failed = STATUSES.into_iter().find(|status| line.contains(&format!("status: {status}")));
        } else if let Some(section) = line.strip_prefix(";; ").and_then(|line| line.strip_suffix(" SECTION:"))
        {
            self.section = match section {
                "QUESTION" => Section::Question,
                "ANSWER" => Section::Answer,
                _ => Section::NotAnswer,
            };
        } else if line.starts_with(";; ") {
            // The trailer: time, name server, size. Nothing in it is a record.
            self.section = Section::None;
        } else if self.section == Section::Question
            && let Some(status) = self.failed.take()
        {
            let kind = ["AAAA", "A"].into_iter().find(|kind| words.last() == Some(kind));
            items.push(Item::Failed(kind, status));
        }
        let is_record = !line.starts_with(';') && self.section != Section::NotAnswer;
        match words {
            [name, ttl, "IN", kind, data, ..]
                if is_record && ttl.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                match (*kind, parse_ip(data)) {
                    ("A" | "AAAA", Some(address)) => items.push(Item::Address(Some(name), address)),
                    ("CNAME", _) => items.push(Item::Alias(name, data)),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// nslookup prints the name server, then names and their addresses.
    fn nslookup(&mut self, line: &'a str, words: &[&'a str], items: &mut Vec<Item<'a>>) {
        match words {
            [] | ["Non-authoritative", "answer:"] => self.section = Section::None,
            ["Server:" | "DNS", ..] | ["Using", "domain", "server:"] => {
                (self.section, self.name) = (Section::Server, None);
            }
            ["Name:", name] if self.section != Section::Server || parse_ip(name).is_none() => {
                (self.section, self.name) = (Section::Answer, Some(*name));
            }
            [name, "canonical", "name", "=", target] => items.push(Item::Alias(name, target)),
            ["Address:" | "Addresses:", data] | ["Address", _, data, ..]
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

    fn others(&mut self, line: &'a str, words: &[&'a str], items: &mut Vec<Item<'a>>) {
        let address = |name, data: &&str| parse_ip(data).map(|ip| Item::Address(name, ip));
        match words {
            // host
            [name, "has", "address", data] | [name, "has", "IPv6", "address", data] => {
                items.extend(address(Some(*name), data));
            }
            [name, "is", "an", "alias", "for", target] => items.push(Item::Alias(name, target)),
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
            ["*", "Host", name, "was", "resolved."] => self.name = Some(without_port(name)),
            ["*", "IPv4:" | "IPv6:", parts @ ..] => {
                let parts = parts.iter().map(|part| part.trim_end_matches(','));
                items.extend(parts.filter_map(|part| address(self.name, &part)));
            }
            ["*", "Trying", data, ..] => {
                let data = data.trim_end_matches("...");
                let data = if parse_ip(data).is_some() { data } else { without_port(data) };
                items.extend(address(self.name, &data));
            }
            ["*", "Connected", "to", name, data, ..] => {
                items.extend(address(Some(*name), &data.trim_matches(['(', ')'])));
            }
            // ping
            ["PING", name, data, ..] => {
                items.extend(address(Some(*name), &data.trim_matches(['(', ')', ':', ','])));
            }
            // resolvectl query, with further addresses on lines of their own
            [name, data, "--", "link:", ..] if name.ends_with(':') => {
                self.name = Some(name.trim_end_matches(':'));
                items.extend(address(self.name, data));
            }
            [data, "--", "link:", ..] => items.extend(address(self.name, data)),
            // dig +short, and getent ahosts
            [data] | [data, "STREAM" | "DGRAM" | "RAW", ..] => items.extend(address(None, data)),
            // getent hosts, and /etc/hosts
            [data, names @ ..] if parse_ip(data).is_some() && names.iter().all(|name| is_host_name(name)) => {
                items.extend(names.iter().filter_map(|name| address(Some(*name), data)));
            }
            _ => {}
        }
    }
}

/// How many words of a line are examined: a line of wget has one for each address.
const WORDS_MAX: usize = 64;

fn parse_ip(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    // A zone, such as that of a link-local address.
    let text = text.split('%').next().unwrap_or_default();
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn without_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => text,
    }
}

fn is_host_name(text: &str) -> bool {
    text.contains('.') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
