//! Commands that were typed at a prompt, above their output.

use super::words::{host_of, is_host_name};

/// The commands whose output is, or contains, an answer.
const RESOLVERS: [&str; 12] = [
    "dig",
    "kdig",
    "delv",
    "drill",
    "getent",
    "nslookup",
    "host",
    "resolvectl",
    "systemd-resolve",
    "dscacheutil",
    "resolveip",
    "Resolve-DnsName",
];

/// Commands that connect to a host.
const CLIENTS: [&str; 7] = ["curl", "wget", "ping", "nc", "telnet", "traceroute", "openssl"];

/// Commands that print other addresses, or texts from elsewhere.
const OTHER_COMMANDS: [&str; 14] = [
    "curl",
    "wget",
    "hostname",
    "ip",
    "ifconfig",
    "ipconfig",
    "aws",
    "kubectl",
    "ss",
    "netstat",
    "arp",
    "route",
    "ec2-metadata",
    "who",
];

/// A command in a transcript.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command<'a> {
    /// The name that it resolves or connects to, if it is the only one.
    pub(super) name: Option<&'a str>,
    /// Whether an address that stands alone in its output is not an answer.
    pub(super) prints_other_addresses: bool,
}

impl<'a> Command<'a> {
    /// Parses a line that begins with a shell's prompt.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let command = typed(line)?;
        let words = || command.split(|char: char| char.is_ascii_whitespace() || "\"'`()|;&<>".contains(char));
        let has = |commands: &[&str]| {
            words().any(|word| commands.contains(&word.rsplit('/').next().unwrap_or_default()))
        };
        let is_resolver = has(&RESOLVERS);
        let names = words().filter(|word| !word.starts_with(['@', '-', '+', '$'])).map(host_of);
        let names: Vec<_> = names.filter(|name| is_host_name(name)).collect();
        let name = match names[..] {
            [name] if is_resolver || has(&CLIENTS) => Some(name),
            // Which address is of which name is not known.
            _ => None,
        };
        Some(Self { name, prints_other_addresses: has(&OTHER_COMMANDS) && !is_resolver })
    }
}

/// The command in a line that begins with a shell's prompt, such as
/// `[ec2-user@ip-10-0-0-1 ~]$ dig HOST`.
fn typed(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if let Some(command) = line.strip_prefix("$ ") {
        return Some(command.trim_start());
    }
    // The prompt of Windows ends without a blank.
    if line.get(1..3) == Some(":\\")
        && let Some((_, command)) = line.split_once('>')
    {
        return Some(command);
    }
    let (at, end) = ["$ ", "# ", "% ", "> "].iter().filter_map(|end| Some((line.find(end)?, end))).min()?;
    let (prompt, command) = (&line[..at], &line[at + end.len()..]);
    let is_word =
        !prompt.contains(char::is_whitespace) || prompt.starts_with('[') || prompt.starts_with("PS ");
    let is_prompt = is_word
        && !prompt.starts_with(['<', '{', '"', '*', ';'])
        && prompt.len() <= PROMPT_MAX
        && prompt.ends_with(|char: char| char.is_alphanumeric() || ")]~\\/".contains(char));
    is_prompt.then(|| command.trim_start())
}

/// The longest prompt of a shell.
const PROMPT_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_of_shells() {
        for (line, expected) in [
            ("$ dig +short a.example", Some(Some("a.example"))),
            ("[ec2-user@ip-10-0-0-1 ~]$ dig @10.0.0.2 a.example", Some(Some("a.example"))),
            ("root@n1:/# /usr/bin/dig +short a.example.", Some(Some("a.example"))),
            ("sh-4.2$ curl -v https://a.example:443/version", Some(Some("a.example"))),
            ("PS C:\\Users\\me> Resolve-DnsName a.example", Some(Some("a.example"))),
            ("C:\\>nslookup a.example", Some(Some("a.example"))),
            ("n1$ dig a.example b.example", Some(None)),
            ("n1$ dig +short $HOST", Some(None)),
            ("n1$ sh resolve.sh", Some(None)),
            ("# from the bastion", None),
            ("; <<>> DiG 9.16.1 <<>> a.example", None),
            (";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1", None),
            (">> node n1 <<", None),
            ("  % Total    % Received % Xferd", None),
            ("<html> <body>", None),
            ("> GET /version HTTP/2", None),
        ] {
            assert_eq!(Command::parse(line).map(|command| command.name), expected, "{line}");
        }
    }
}
