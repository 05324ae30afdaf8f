//! `eks-netcheck.toml`: reads the policy file, with errors that name their position.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use glob::Pattern;
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use toml::Spanned;
use toml::value::Datetime;

use super::Policy;
use super::entries::{AcceptRule, Entries, Override, Settings, WaiverRule};
use super::preset::Preset;
use super::scope::Scope;
use super::tables::{
    AcceptGapTable, AllowedCidrTable, ENDPOINT_KEYS, EndpointTable, FailOnSetting, KEYS, OverrideTable,
    PolicyFile, RuleSetting, WaiverTable,
};
use super::tolerant::{Reading, Removed, is_stand_in, read};
use crate::model::access::AccessMode;
use crate::model::expectations::AllowedCidr;
use crate::model::judgment::{Acceptance, Waiver};
use crate::model::nearest::nearest;
use crate::model::ranges::canonical_block;
use crate::model::rule::Threshold;
use crate::model::text::cut;

/// The name of the file that is searched for.
pub const NAME: &str = "eks-netcheck.toml";

/// What `policy init` writes.
pub const EXAMPLE: &str = include_str!("../example.toml");

/// What is wrong with a policy, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong, and the correction.
    pub message: String,
}

impl PolicyError {
    fn position(&self) -> (usize, usize) {
        (self.line, self.column)
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for PolicyError {}

/// What is wrong with a policy.
#[derive(Debug)]
pub struct PolicyErrors {
    /// The errors, in the order of the file.
    pub errors: Vec<PolicyError>,
    /// Whether there may be more, since no more were looked for.
    pub has_more: bool,
}

/// Parses a policy. `rules` are the ids of all rules; `now` decides what has expired.
///
/// # Errors
/// If it is not a policy: where its first error is, and the correction.
pub fn parse(text: &str, rules: &[&str], now: Timestamp) -> Result<Policy, PolicyError> {
    let first = |errors: Vec<PolicyError>| errors.into_iter().min_by_key(PolicyError::position);
    check(text, rules, now, 1).map_err(|wrong| {
        first(wrong.errors).unwrap_or(PolicyError {
            line: 1,
            column: 1,
            message: "it is not a policy".to_owned(),
        })
    })
}

/// The same, with all errors of its values, and at most `max` of its keys and types, which cost
/// most.
///
/// # Errors
/// If it is not a policy.
pub fn check(text: &str, rules: &[&str], now: Timestamp, max: usize) -> Result<Policy, PolicyErrors> {
    let lines = [0].into_iter().chain(text.match_indices('\n').map(|(end, _)| end + 1)).collect();
    let Reading { value: file, errors, removed, is_syntax, has_more } = read::<PolicyFile>(text, max);
    let reader = Reader { text, lines, rules, now, removed, errors: RefCell::default() };
    if let Some(first) = errors.first().filter(|_| is_syntax && !has_key(text)) {
        // Each of its lines would be another error.
        let error = reader.toml_error(first);
        let message = format!("this is not a policy in TOML: {}", error.message);
        return Err(PolicyErrors { errors: vec![PolicyError { message, ..error }], has_more: false });
    }
    for error in &errors {
        reader.add(reader.toml_error(error));
    }
    let entries = file.map(|file| Entries {
        preset: file.extends.map(Preset::as_str),
        extended: file.extends.map(Preset::settings).unwrap_or_default(),
        settings: reader.settings(file.fail_on, file.rules, file.endpoint, file.allowed_cidr),
        overrides: file.r#override.into_iter().map(|table| reader.override_of(table)).collect(),
        waivers: file.waiver.into_iter().filter_map(|table| reader.waiver(table)).collect(),
        accepted: file.accept_gap.into_iter().filter_map(|table| reader.acceptance(table)).collect(),
    });
    let mut errors = reader.errors.into_inner();
    match entries {
        Some(entries) if errors.is_empty() => Ok(Policy::new(entries)),
        _ => {
            errors.sort_by_key(PolicyError::position);
            errors.dedup();
            Err(PolicyErrors { errors, has_more })
        }
    }
}

/// Whether any line of a text begins with a key of a policy, or with one of its tables.
fn has_key(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start().trim_start_matches('[');
        let key = KEYS.iter().find_map(|key| line.trim_start().strip_prefix(key));
        key.is_some_and(|rest| rest.trim_start().starts_with(['=', ']', '.']))
    })
}

/// The JSON Schema of the file, for editors.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(PolicyFile)
}

/// How many characters of a reason or an owner are kept: reports repeat them.
const TEXT_MAX: usize = 2000;
/// The longest glob, in bytes: an ARN has at most 2048 characters.
const GLOB_MAX: usize = 4096;

/// Converts the file's types to the policy, with errors that name their position.
struct Reader<'a> {
    text: &'a str,
    /// The offsets of its lines.
    lines: Vec<usize>,
    rules: &'a [&'a str],
    now: Timestamp,
    /// The keys that are left out.
    removed: Removed,
    /// What is wrong, in the order in which it was found.
    errors: RefCell<Vec<PolicyError>>,
}

impl Reader<'_> {
    fn add(&self, error: PolicyError) {
        self.errors.borrow_mut().push(error);
    }

    /// The value; `None` if it is wrong, which is noted unless it only stands for a missing one.
    fn keep<T>(&self, value: Result<T, (Range<usize>, String)>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err((span, _)) if is_stand_in(&span) => None,
            Err((span, message)) => {
                self.add(self.wrong(&span, message));
                None
            }
        }
    }

    fn settings(
        &self,
        fail_on: Option<FailOnSetting>,
        rules: BTreeMap<Spanned<String>, RuleSetting>,
        endpoint: EndpointTable,
        allowed: Option<Vec<Spanned<AllowedCidrTable>>>,
    ) -> Settings {
        let rules = rules.into_iter().filter_map(|(id, setting)| Some((self.rule(&id)?, setting.into())));
        let widest =
            |prefix: Option<Spanned<String>>, max| prefix.and_then(|prefix| self.prefix(&prefix, max));
        let allowed =
            allowed.map(|entries| entries.into_iter().filter_map(|entry| self.allowed(entry)).collect());
        let access = endpoint.access.and_then(|modes| {
            let none = "the list allows no access mode; leave it out to allow any";
            let is_some =
                if modes.get_ref().is_empty() { Err((modes.span(), none.to_owned())) } else { Ok(()) };
            self.keep(is_some)?;
            Some(modes.get_ref().iter().filter_map(|mode| self.access_mode(mode)).collect::<Vec<_>>())
        });
        Settings {
            fail_on: fail_on.map(Threshold::from),
            rules: rules.collect(),
            private_only: access
                .as_deref()
                .map(|modes| modes.iter().all(|mode| *mode == AccessMode::Private)),
            access,
            widest_v4: widest(endpoint.widest_ipv4, 32),
            widest_v6: widest(endpoint.widest_ipv6, 128),
            allowed,
        }
    }

    fn override_of(&self, table: Spanned<OverrideTable>) -> Override {
        let span = table.span();
        let table = table.into_inner();
        let is_wrong = |name| self.removed.contains(self.text, name, &span);
        let has_no_scope = table.clusters.is_empty() && table.accounts.is_empty();
        if has_no_scope && !["clusters", "accounts"].into_iter().any(is_wrong) {
            self.add(self.wrong(&span, "an override needs clusters or accounts".to_owned()));
        }
        Override {
            line: self.line(span.start).0,
            scope: Scope {
                clusters: self.patterns(&table.clusters),
                accounts: self.patterns(&table.accounts),
            },
            settings: self.settings(table.fail_on, table.rules, table.endpoint, table.allowed_cidr),
        }
    }

    fn waiver(&self, table: Spanned<WaiverTable>) -> Option<WaiverRule> {
        let line = self.line(table.span().start).0;
        let table = table.into_inner();
        // Each of them is checked, also if another one is wrong.
        let (expires, rule) = (self.expires(&table.expires), self.rule(&table.rule));
        let (reason, owner) = (self.text(&table.reason, "reason"), self.text(&table.owner, "owner"));
        let (resource, scope) = (self.pattern(&table.resource), self.clusters(&table.clusters));
        let (expires, until) = expires?;
        let waiver = Waiver {
            line,
            rule: rule?,
            resource: table.resource.get_ref().clone(),
            reason: reason?,
            owner: owner?,
            expires,
            is_expired: until <= self.now,
        };
        Some(WaiverRule { resource: resource?, scope, until, waiver })
    }

    fn acceptance(&self, table: Spanned<AcceptGapTable>) -> Option<AcceptRule> {
        let line = self.line(table.span().start).0;
        let table = table.into_inner();
        let expires = self.expires(&table.expires);
        let (reason, owner) = (self.text(&table.reason, "reason"), self.text(&table.owner, "owner"));
        let (subject, scope) = (self.pattern(&table.subject), self.clusters(&table.clusters));
        let (expires, until) = expires?;
        let acceptance = Acceptance {
            line,
            subject: table.subject.get_ref().clone(),
            reason: reason?,
            owner: owner?,
            expires,
            is_expired: until <= self.now,
        };
        Some(AcceptRule { subject: subject?, scope, until, acceptance })
    }

    fn clusters(&self, globs: &[Spanned<String>]) -> Scope {
        Scope { clusters: self.patterns(globs), accounts: Vec::new() }
    }

    fn allowed(&self, table: Spanned<AllowedCidrTable>) -> Option<(usize, AllowedCidr)> {
        let line = self.line(table.span().start).0;
        let table = table.into_inner();
        let cidr = self.block(&table.cidr);
        let (reason, owner) = (self.text(&table.reason, "reason"), self.text(&table.owner, "owner"));
        let expires = table.expires.as_ref().map(|expires| self.expires(expires));
        let expires = match expires {
            Some(expires) => Some(expires?),
            None => None,
        };
        let is_expired = expires.as_ref().is_some_and(|(_, until)| *until <= self.now);
        let entry = AllowedCidr {
            cidr: canonical_block(cidr?),
            owner: owner?,
            reason: reason?,
            expires: expires.map(|(text, _)| text),
            is_expired,
        };
        Some((line, entry))
    }

    fn block(&self, block: &Spanned<String>) -> Option<IpNet> {
        let text = block.get_ref();
        let cidr = text.parse::<IpNet>().map_err(|_| match text.parse::<IpAddr>() {
            Ok(address) => {
                format!("{text} is an address; did you mean the block {}?", IpNet::from(address))
            }
            Err(_) => format!("{text:?} is not a CIDR block, such as 203.0.113.0/24 or 2001:db8::/48"),
        });
        let cidr = cidr.and_then(|cidr| {
            let message = || format!("{text} has host bits set; did you mean {}?", cidr.trunc());
            if cidr.trunc() == cidr { Ok(cidr) } else { Err(message()) }
        });
        self.keep(cidr.map_err(|message| (block.span(), message)))
    }

    fn rule(&self, id: &Spanned<String>) -> Option<String> {
        let text = id.get_ref();
        if self.rules.contains(&text.as_str()) {
            return Some(text.clone());
        }
        let message = match nearest(text, self.rules.iter().copied(), 1).first() {
            Some(rule) => format!("no rule named {text:?}; did you mean {rule:?}?"),
            None => format!("no rule named {text:?}; `eks-netcheck explain` lists the rules"),
        };
        self.keep(Err((id.span(), message)))
    }

    fn access_mode(&self, mode: &Spanned<String>) -> Option<AccessMode> {
        let text = mode.get_ref();
        let known = AccessMode::ALL.into_iter().find(|known| known.as_str() == text);
        let modes = AccessMode::ALL.map(AccessMode::as_str);
        self.keep(known.ok_or_else(|| (mode.span(), unknown("value", text, &modes))))
    }

    fn prefix(&self, prefix: &Spanned<String>, max: u8) -> Option<u8> {
        let text = prefix.get_ref();
        let length = text.strip_prefix('/').and_then(|length| length.parse().ok());
        let message = || format!("{text:?} is not a prefix length from /0 to /{max}");
        self.keep(length.filter(|length| *length <= max).ok_or_else(|| (prefix.span(), message())))
    }

    fn patterns(&self, globs: &[Spanned<String>]) -> Vec<Pattern> {
        globs.iter().filter_map(|glob| self.pattern(glob)).collect()
    }

    fn pattern(&self, glob: &Spanned<String>) -> Option<Pattern> {
        let text = glob.get_ref();
        let pattern = if text.is_empty() {
            Err("an empty glob matches nothing".to_owned())
        } else if text.len() > GLOB_MAX {
            Err(format!("a glob of more than {GLOB_MAX} bytes is longer than any name or ARN"))
        } else {
            Pattern::new(text).map_err(|error| format!("{text:?} is not a valid glob: {}", error.msg))
        };
        self.keep(pattern.map_err(|message| (glob.span(), message)))
    }

    /// A text that is not blank.
    fn text(&self, text: &Spanned<String>, what: &str) -> Option<String> {
        let is_blank = text.get_ref().trim().is_empty();
        let kept = if is_blank { Err((text.span(), format!("{what} is empty"))) } else { Ok(text.get_ref()) };
        self.keep(kept).map(|text| cut(text, TEXT_MAX).into_owned())
    }

    /// The expiry as written, and its time. A day ends when it ends in UTC.
    fn expires(&self, expires: &Spanned<Datetime>) -> Option<(String, Timestamp)> {
        let written = expires.get_ref();
        let until = match (written.date, written.time, written.offset) {
            (Some(day), None, None) => date(day).map(|day| {
                let until = day.tomorrow().and_then(|day| DateTime::from(day).to_zoned(TimeZone::UTC));
                // Some write 9999-12-31.
                until.map_or(Timestamp::MAX, |until| until.timestamp())
            }),
            (Some(_), Some(_), Some(_)) => written.to_string().parse().ok(),
            _ => None,
        };
        let message = || {
            format!(
                "{written} is neither a day, such as 2027-01-31, nor a time with an offset, such as 2027-01-31T12:00:00Z"
            )
        };
        let until = self.keep(until.ok_or_else(|| (expires.span(), message())))?;
        Some((written.to_string(), until))
    }

    fn wrong(&self, span: &Range<usize>, message: String) -> PolicyError {
        let (line, column) = self.position(span.start);
        PolicyError { line, column, message }
    }

    /// The number of the line of an offset, from 1, and the offset of the line.
    fn line(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|begin| *begin <= offset);
        (line, self.lines[line - 1])
    }

    /// The line and column of an offset, from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let (line, begin) = self.line(offset);
        let before = self.text.get(begin..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    fn toml_error(&self, error: &toml::de::Error) -> PolicyError {
        let span = error.span().unwrap_or_default();
        // Serde puts the unknown name and the known ones between backticks.
        let mut quoted = error.message().split('`').skip(1).step_by(2);
        let message = match (error.message().split('`').next(), quoted.next()) {
            (Some(what @ ("unknown field " | "unknown variant ")), Some(name)) => {
                let what = if what == "unknown field " { "key" } else { "value" };
                let known: Vec<_> = quoted.collect();
                if what == "key" && known.contains(&"endpoint") && ENDPOINT_KEYS.contains(&name) {
                    format!("unknown key {name:?}; did you mean it in the table [endpoint]?")
                } else {
                    unknown(what, name, &known)
                }
            }
            (Some("missing field "), Some(name)) => format!("the required key {name} is missing"),
            (Some("duplicate key"), _) => {
                format!("duplicate key {}", self.text.get(span.clone()).unwrap_or_default())
            }
            (Some("wanted string or table" | "wanted exactly 1 element, found 0 elements"), _) => {
                "expected a value in quotes".to_owned()
            }
            (Some(what), _)
                if what.starts_with("invalid type: ") && error.message().ends_with("expected a string") =>
            {
                "expected a value in quotes".to_owned()
            }
            (Some("invalid type: map, expected a sequence"), _) => {
                "this is a list: write it in double brackets, as in [[waiver]]".to_owned()
            }
            (Some(what), _)
                if what.starts_with("invalid type: ") && error.message().ends_with("expected a sequence") =>
            {
                self.no_list(&span)
            }
            _ if error.message().contains("expected a TOML datetime") => {
                "a date or time is written without quotes: expires = 2027-01-31".to_owned()
            }
            _ => error.message().to_owned(),
        };
        self.wrong(&span, message)
    }

    /// What is wrong with a value at a position, where a list is expected.
    fn no_list(&self, span: &Range<usize>) -> String {
        let before = self.text.get(..span.start).unwrap_or_default().trim_end().strip_suffix('=');
        let is_access = before.is_some_and(|before| before.trim_end().ends_with("access"));
        let written = self.text.get(span.clone()).unwrap_or_default();
        let word = written.trim_matches(['"', '\'']);
        if !is_access {
            let is_word = word.len() < written.len() && !word.contains(char::is_whitespace);
            let list = if is_word { format!("[{word:?}]") } else { "[\"...\"]".to_owned() };
            return format!("expected a list in brackets: {list}");
        }
        let modes = AccessMode::ALL.map(AccessMode::as_str);
        match nearest(word, modes.into_iter(), 1).first() {
            Some(mode) => format!(
                "expected a list in brackets; did you mean [{mode:?}]? known are {}",
                modes.join(", ")
            ),
            None => format!("expected a list in brackets of the access modes {}", modes.join(", ")),
        }
    }
}

/// That a name is not known, with the one that it may stand for, or else those that are known.
fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied(), 1).first() {
        Some(right) => format!("unknown {what} {name:?}; did you mean {right:?}?"),
        None => format!("unknown {what} {name:?}; known are {}", known.join(", ")),
    }
}

fn date(day: toml::value::Date) -> Option<Date> {
    let part = |part: u8| i8::try_from(part).ok();
    Date::new(i16::try_from(day.year).ok()?, part(day.month)?, part(day.day)?).ok()
}

#[cfg(test)]
mod tests;
