//! Lines that were a row, or a part of one, and lines that say that rows were left out.
//!
//! Only lines that do not parse as a row, and rows that end in an unusual way, are
//! examined here.

use super::address::parse_ss;
use super::bytes::digits;
use super::columns::{after_queues, parse_netstat_state, parse_ss_state, token};
use super::processes::USERS;

/// Whether the end of a row of `ss` is damaged: its `users:` column does not end or does
/// not begin as `ss` prints it, or a marker of left-out text or another row follows. `rest` is the text
/// after the peer address, which is not empty.
#[inline(never)]
pub(super) fn has_damaged_end(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii();
    let tail = match memchr::memmem::find(rest, USERS) {
        Some(start) => {
            let users = &rest[start + USERS.len()..];
            match memchr::memmem::rfind(users, b"))") {
                Some(end) if users.starts_with(b"\"") => users[end + 2..].trim_ascii_start(),
                _ => return true,
            }
        }
        None if rest.starts_with(b"users:") || USERS.starts_with(rest) || has_users_in_another_case(rest) => {
            return true;
        }
        None => rest,
    };
    let end = memchr::memmem::find(rest, b"))").filter(|_| rest.starts_with(USERS));
    if has_two_addresses(&rest[end.map_or(0, |end| end + 2)..], usize::MAX) {
        return true;
    }
    if tail.starts_with(b"...") || tail.starts_with("…".as_bytes()) {
        return true;
    }
    (tail.starts_with(b"--") || tail.ends_with(b"--"))
        && [&b"runcated"[..], b"RUNCATED", b"ore"]
            .iter()
            .any(|word| memchr::memmem::find(tail, word).is_some())
}

/// Whether a text contains the beginning of the `users:` column with other letters than `ss`
/// prints, as after a change of case.
fn has_users_in_another_case(text: &[u8]) -> bool {
    text.windows(USERS.len()).any(|part| part.eq_ignore_ascii_case(USERS))
}

/// Whether a row without a state in front has a word after its addresses that is no column
/// of `ss`: the row is one of `netstat` whose state or first column is damaged.
pub(super) fn has_state_last(rest: &[u8]) -> bool {
    let (word, _) = token(rest);
    word.first().is_some_and(u8::is_ascii_alphabetic) && !word.contains(&b':')
}

/// Whether the text after the state in a row of `netstat` is a pid without the name of its
/// process.
pub(super) fn is_pid(rest: &[u8]) -> bool {
    let word = rest.trim_ascii();
    is_number(word.strip_suffix(b"/").unwrap_or(word))
}

/// Whether the text after the state in a row of `netstat` ends within the name of a component,
/// whose rest is on the next line. No program of a node has such a name.
pub(super) fn is_broken_name(rest: &[u8]) -> bool {
    let (pid, name) = digits(rest.trim_ascii());
    let is_part = |whole: &[u8]| whole.starts_with(name) && whole != name;
    !pid.is_empty()
        && name.strip_prefix(b"/").is_some_and(|name| !name.is_empty())
        && [&b"/kubelet"[..], b"/kube-proxy"].into_iter().any(is_part)
}

/// Whether a line that does not parse as a row was one, or a part of one: it names a state,
/// two addresses, or processes, whatever surrounds them.
pub(super) fn is_part_of_row(text: &[u8]) -> bool {
    let (first, rest) = token(text);
    let (second, _) = token(rest);
    let is_tcp = [&b"tcp"[..], b"tcp6", b"mptcp"].iter().any(|name| first.eq_ignore_ascii_case(name));
    let is_tcp_row = is_tcp && (is_number(second) || names_state_in_any_case(second));
    let is_state_row = names_state_in_any_case(first) && is_number(second);
    let is_stateless_row = after_queues(text).is_some_and(|rest| parse_ss(token(rest).0).is_ok());
    is_tcp_row
        || is_state_row
        || is_stateless_row
        || names_state(first, rest)
        || lists_processes(text)
        || has_two_addresses(text, usize::MAX)
}

fn is_number(word: &[u8]) -> bool {
    !word.is_empty() && digits(word).1.is_empty()
}

fn names_state_in_any_case(word: &[u8]) -> bool {
    let upper = word.to_ascii_uppercase();
    parse_ss_state(&upper).is_some() || parse_netstat_state(&upper).is_some()
}

/// Whether a line begins with a TCP state, or contains the name of a live one before a
/// queue or an address: a row that was truncated, quoted in a mail, or damaged. A command
/// such as `grep ESTAB` is none.
fn names_state(first: &[u8], mut rest: &[u8]) -> bool {
    if parse_ss_state(first).is_some() {
        return true;
    }
    while !rest.is_empty() {
        let (word, after) = token(rest);
        let is_live = matches!(word, b"ESTAB" | b"ESTABLISHED" | b"SYN-SENT" | b"SYN_SENT");
        let (next, _) = token(after);
        if is_live && next.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'[') {
            return true;
        }
        rest = after;
    }
    false
}

/// Whether a line is the end of a row: the processes that `ss` or `netstat` lists there.
fn lists_processes(text: &[u8]) -> bool {
    if [&b"users:("[..], b"((\"", b"\",pid="].iter().any(|part| memchr::memmem::find(text, part).is_some()) {
        return true;
    }
    // `netstat` prints `1/name` below a row that a terminal broke.
    let (first, rest) = token(text);
    let (second, rest) = token(rest);
    rest.is_empty()
        && [first, second].iter().any(|word| {
            let (pid, name) = digits(word);
            !pid.is_empty() && matches!(name, [b'/', letter, ..] if letter.is_ascii_alphabetic())
        })
}

/// Whether two of the first `words` words of a line are an address with a port, whatever
/// surrounds them: a row whose first columns are damaged. An arrow without blanks joins
/// two addresses to one word, as in the output of `lsof`.
pub(super) fn has_two_addresses(text: &[u8], words: usize) -> bool {
    let mut rest = text;
    let mut addresses = 0;
    for _ in 0..words {
        let start = rest.iter().position(|&byte| is_address_byte(byte)).unwrap_or(rest.len());
        rest = &rest[start..];
        if rest.is_empty() {
            return false;
        }
        let end = rest.iter().position(|&byte| !is_address_byte(byte)).unwrap_or(rest.len());
        let word = &rest[..end];
        rest = &rest[end..];
        if word.ends_with(b"-") && rest.starts_with(b">") {
            let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
            rest = &rest[end..];
            continue;
        }
        let end = word.iter().rposition(|byte| !b".:-".contains(byte)).map_or(0, |last| last + 1);
        addresses += u32::from(parse_ss(&word[..end]).is_ok());
        if addresses == 2 {
            return true;
        }
    }
    false
}

/// Whether a byte occurs in a word that is an address with a port, or in one that only
/// contains one, such as a URL.
fn is_address_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".:[]%*_-/@".contains(&byte)
}

/// The longest line that is examined for a marker of left-out lines.
const MARKER_MAX: usize = 120;
/// The most words that a line has that begins with an ellipsis or names a verb.
const MARKER_WORDS: usize = 10;

/// Words that say that something was left out.
const VERBS: [&str; 17] = [
    "snip",
    "snipped",
    "snipping",
    "truncated",
    "truncating",
    "omitted",
    "skipped",
    "elided",
    "removed",
    "deleted",
    "trimmed",
    "clipped",
    "shortened",
    "abbreviated",
    "redacted",
    "hidden",
    "suppressed",
];

/// What is left out.
const NOUNS: [&str; 16] = [
    "output",
    "error",
    "line",
    "lines",
    "row",
    "rows",
    "entries",
    "sockets",
    "socket",
    "connections",
    "message",
    "rest",
    "brevity",
    "some",
    "many",
    "others",
];

/// Words that stand for further lines.
const FURTHER: [&str; 7] = ["more", "etc", "others", "rest", "remaining", "similar", "same"];

/// Words beside them.
const FILLERS: [&str; 16] = [
    "and",
    "so",
    "on",
    "many",
    "of",
    "the",
    "other",
    "identical",
    "next",
    "page",
    "above",
    "as",
    "for",
    "all",
    "are",
    "follow",
];

/// Whether a line says that lines were left out: an ellipsis, `[snip]`, the prompt of a
/// pager, or the marker with which the SSM agent ends output that it cut.
pub(super) fn is_left_out(text: &[u8]) -> bool {
    let Some(text) = std::str::from_utf8(text).ok().filter(|text| text.len() <= MARKER_MAX) else {
        return false;
    };
    let text = without_escapes(text).trim().to_lowercase();
    let is_ellipsis =
        |text: &str| ["...", "…", ". . .", "···", "⋮", "⋯"].iter().any(|dots| text.starts_with(dots));
    let is_frame = |char: char| char.is_whitespace() || "-.…·⋮⋯<>()[]{}*~_=|/#$+\"'`".contains(char);
    let inside = text.trim_start_matches(|char: char| is_frame(char) && !is_ellipsis_char(char));
    let words: Vec<&str> =
        text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    // The prompt of less.
    if text == ":" || is_prompt_of_less(&text) {
        return true;
    }
    // Scissors.
    if text.contains('✂') || words == ["8"] && (text.contains("8<") || text.contains(">8")) {
        return true;
    }
    if words.is_empty() {
        return text.chars().all(is_frame) && is_ellipsis(inside);
    }
    if words.len() > MARKER_WORDS {
        return false;
    }
    let is_bracketed = text.starts_with(['[', '(', '<', '{', '-', '+', '*']) || is_ellipsis(inside);
    if is_ellipsis(inside)
        || words == ["etc"]
        || words == ["and", "so", "on"]
        || words == ["cut"] && is_bracketed
    {
        return true;
    }
    let has_number = words.iter().any(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    let has = |list: &[&str]| words.iter().any(|word| list.contains(word));
    if has(&VERBS) && (words.len() == 1 || has_number || is_bracketed && words.len() <= 5 || has(&NOUNS)) {
        return true;
    }
    let is_known = |word: &&str| {
        FURTHER.contains(word)
            || NOUNS.contains(word)
            || FILLERS.contains(word)
            || word.bytes().all(|byte| byte.is_ascii_digit())
    };
    has(&FURTHER) && (has_number || is_bracketed) && words.iter().all(is_known)
}

fn is_ellipsis_char(char: char) -> bool {
    ".…·⋮⋯".contains(char)
}

/// Whether a line is the prompt of less, which names the lines that it shows: `lines
/// 1-23/50 45%`. At the end, it says so.
fn is_prompt_of_less(text: &str) -> bool {
    let Some(range) = text.strip_prefix("lines ") else { return false };
    !range.contains("(end)") && range.bytes().all(|byte| byte.is_ascii_digit() || b"-/% ()".contains(&byte))
}

/// A text without the escape sequences by which a pager sets off its prompt.
fn without_escapes(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|char: char| char.is_ascii_alphabetic()).map_or(piece.len(), |end| end + 1);
        plain.push_str(&piece[end..]);
    }
    plain
}
