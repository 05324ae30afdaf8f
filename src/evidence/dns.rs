//! DNS answers: the output of `dig +short HOST`, or of `getent ahosts HOST` on a node
//! without dig.

use std::net::IpAddr;

use crate::model::evidence::{Answer, Vantage};
use crate::model::gap::{Gap, GapReason, Observed, Subject};

/// The most lines that are accepted: far more than a DNS answer has.
const LINES_MAX: usize = 1000;
/// The prefix of the comment in which `collect` records the TTL, which `dig +short` does
/// not print.
pub(crate) const TTL_COMMENT: &str = "; TTL ";

/// Parses the answer at the vantage point `name`.
#[must_use]
pub fn parse_answer(name: &str, bytes: &[u8]) -> Vantage {
    let mut answer = Answer::default();
    let mut lines =
        bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    for line in lines.by_ref().take(LINES_MAX) {
        match parse_address(line) {
            Some(address) if answer.addresses.contains(&address) => {}
            Some(address) => answer.addresses.push(address),
            None => match parse_ttl(line) {
                Some(ttl) => answer.ttl = Some(ttl),
                None => answer.aside.push(String::from_utf8_lossy(line).into_owned()),
            },
        }
    }
    let answer = if lines.next().is_some() {
        Observed::Unseen(Gap {
            subject: Subject::Vantage(name.to_owned()),
            why: GapReason::Malformed,
            detail: format!("more than {LINES_MAX} lines, which is not a DNS answer for one name"),
            hint: "record it again with dig +short".to_owned(),
        })
    } else if answer.addresses.is_empty() {
        let detail = match answer.aside.first() {
            Some(line) => format!("no address in it, but {line:?}"),
            None => {
                "empty; dig +short prints nothing for NXDOMAIN, for SERVFAIL and for a name without addresses"
                    .to_owned()
            }
        };
        Observed::Unseen(Gap {
            subject: Subject::Vantage(name.to_owned()),
            why: GapReason::NoAnswer,
            detail,
            hint: "record it again with dig +short; without +short, dig shows why a name does not resolve, for example NXDOMAIN after the cluster was deleted".to_owned(),
        })
    } else {
        Observed::Seen(answer)
    };
    Vantage { name: name.to_owned(), answer }
}

/// Parses a line of `dig +short` that is an address, or a line of `getent ahosts`.
fn parse_address(line: &[u8]) -> Option<IpAddr> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let address: IpAddr = words.next()?.parse().ok()?;
    matches!(words.next(), None | Some("STREAM" | "DGRAM" | "RAW")).then(|| address.to_canonical())
}

fn parse_ttl(line: &[u8]) -> Option<u32> {
    std::str::from_utf8(line).ok()?.strip_prefix(TTL_COMMENT)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Observed<Answer> {
        parse_answer("here", text.as_bytes()).answer
    }

    #[test]
    fn addresses_are_separated_from_other_lines() {
        let answer =
            read("alias.example.\r\n3.39.55.189\r\n3.37.178.179\n3.39.55.189\n; comment\n2600:1f13::1\n");
        let answer = answer.seen().expect("an answer");
        assert_eq!(
            answer.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
            ["3.39.55.189", "3.37.178.179", "2600:1f13::1"]
        );
        assert_eq!(answer.aside, ["alias.example.", "; comment"]);
    }

    #[test]
    fn output_of_getent_is_accepted() {
        let answer =
            read("192.168.1.55    STREAM a.example\n192.168.1.55    DGRAM  \n::ffff:192.168.1.66 RAW\n");
        let answer = answer.seen().expect("an answer");
        assert_eq!(
            answer.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
            ["192.168.1.55", "192.168.1.66"]
        );
    }

    #[test]
    fn ttl_comment_is_parsed() {
        let answer = read("3.39.55.189\n; TTL 60\n; TTL soon\n");
        let answer = answer.seen().expect("an answer");
        assert_eq!(answer.ttl, Some(60));
        assert_eq!(answer.aside, ["; TTL soon"]);
    }

    #[test]
    fn answer_without_address_is_a_gap() {
        for text in
            ["", "\n\n", ";; connection timed out; no servers could be reached\n", "1.2.3.4 is not it\n"]
        {
            assert!(read(text).seen().is_none(), "{text:?}");
        }
        assert!(read(&"1.2.3.4\n".repeat(LINES_MAX + 1)).seen().is_none());
    }
}
