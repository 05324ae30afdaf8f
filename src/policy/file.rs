//! `eks-netcheck.toml`: the policy file. These types are the format.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use glob::Pattern;
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::Policy;
use super::entries::{AcceptRule, Entries, Override, Settings, WaiverRule};
use super::preset::Preset;
use super::scope::Scope;
use crate::model::expectations::{AccessMode, AllowedCidr};
use crate::model::judgment::{Acceptance, Waiver};
use crate::model::ranges::canonical_block;
use crate::model::rule::{Severity, Threshold};
use crate::model::text::cut;

/// The name of the file that is searched for.
pub const NAME: &str = "eks-netcheck.toml";

/// What `policy init` writes.
pub const EXAMPLE: &str = include_str!("example.toml");

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

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for PolicyError {}

/// The whole file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(title = "eks-netcheck.toml")]
pub struct PolicyFile {
    /// The preset to extend; all other entries take precedence over it.
    extends: Option<Preset>,
    /// Findings of this severity or a higher one fail the run; high by default.
    fail_on: Option<FailOnSetting>,
    /// Per rule: another severity, or off.
    #[schemars(with = "BTreeMap<String, RuleSetting>")]
    rules: BTreeMap<Spanned<String>, RuleSetting>,
    endpoint: EndpointTable,
    /// The blocks that publicAccessCidrs may contain; an empty list allows none.
    #[schemars(with = "Option<Vec<AllowedCidrTable>>")]
    allowed_cidr: Option<Vec<Spanned<AllowedCidrTable>>>,
    /// Settings of some clusters; where several apply, the last one takes precedence.
    #[schemars(with = "Vec<OverrideTable>")]
    r#override: Vec<Spanned<OverrideTable>>,
    /// Findings that do not count until a date.
    #[schemars(with = "Vec<WaiverTable>")]
    waiver: Vec<Spanned<WaiverTable>>,
    /// Missing evidence that does not count until a date.
    #[schemars(with = "Vec<AcceptGapTable>")]
    accept_gap: Vec<Spanned<AcceptGapTable>>,
}

/// What is expected of the endpoint.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct EndpointTable {
    /// The access modes that are allowed.
    #[schemars(with = "Option<Vec<AccessModeWord>>", length(min = 1))]
    access: Option<Spanned<Vec<AccessModeWord>>>,
    /// The widest IPv4 block that publicAccessCidrs may contain, such as /24; /8 by default.
    #[schemars(with = "Option<String>")]
    widest_ipv4: Option<Spanned<String>>,
    /// The same for IPv6; /32 by default.
    #[schemars(with = "Option<String>")]
    widest_ipv6: Option<Spanned<String>>,
}

/// A block that publicAccessCidrs may contain.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AllowedCidrTable {
    /// The block, such as 203.0.113.0/24.
    #[schemars(with = "String")]
    cidr: Spanned<String>,
    /// Its owner.
    #[schemars(with = "String")]
    owner: Spanned<String>,
    /// Its purpose.
    #[schemars(with = "String")]
    reason: Spanned<String>,
    /// The last day on which it is allowed, in UTC, or a time with an offset.
    #[schemars(with = "Option<String>")]
    expires: Option<Spanned<Datetime>>,
}

/// Settings of some clusters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct OverrideTable {
    /// Globs over the clusters' names and ARNs.
    #[schemars(with = "Vec<String>")]
    #[serde(default)]
    clusters: Vec<Spanned<String>>,
    /// Globs over account ids.
    #[schemars(with = "Vec<String>")]
    #[serde(default)]
    accounts: Vec<Spanned<String>>,
    /// As above.
    fail_on: Option<FailOnSetting>,
    /// As above.
    #[schemars(with = "BTreeMap<String, RuleSetting>")]
    #[serde(default)]
    rules: BTreeMap<Spanned<String>, RuleSetting>,
    /// As above.
    #[serde(default)]
    endpoint: EndpointTable,
    /// As above; these are allowed in addition to the others.
    #[schemars(with = "Option<Vec<AllowedCidrTable>>")]
    allowed_cidr: Option<Vec<Spanned<AllowedCidrTable>>>,
}

/// Findings that do not count until a date.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WaiverTable {
    /// The rule's id.
    #[schemars(with = "String")]
    rule: Spanned<String>,
    /// A glob over the cluster's name, its ARN, and the finding's subject, or its subject and about.
    #[schemars(with = "String")]
    resource: Spanned<String>,
    /// Globs over the names and ARNs of the clusters that it applies to; all by default.
    #[schemars(with = "Vec<String>")]
    #[serde(default)]
    clusters: Vec<Spanned<String>>,
    /// The reason.
    #[schemars(with = "String")]
    reason: Spanned<String>,
    /// Its owner.
    #[schemars(with = "String")]
    owner: Spanned<String>,
    /// The last day on which it applies, in UTC, or a time with an offset.
    #[schemars(with = "String")]
    expires: Spanned<Datetime>,
}

/// Missing evidence that does not count until a date.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AcceptGapTable {
    /// A glob over what is missing, as reports name it: `hybrid nodes`, `Fargate pods`.
    #[schemars(with = "String")]
    subject: Spanned<String>,
    /// Globs over the names and ARNs of the clusters that it applies to; all by default.
    #[schemars(with = "Vec<String>")]
    #[serde(default)]
    clusters: Vec<Spanned<String>>,
    /// The reason.
    #[schemars(with = "String")]
    reason: Spanned<String>,
    /// Its owner.
    #[schemars(with = "String")]
    owner: Spanned<String>,
    /// The last day on which it applies, in UTC, or a time with an offset.
    #[schemars(with = "String")]
    expires: Spanned<Datetime>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum FailOnSetting {
    Critical,
    High,
    Medium,
    Low,
    Never,
}

impl From<FailOnSetting> for Threshold {
    fn from(threshold: FailOnSetting) -> Self {
        match threshold {
            FailOnSetting::Critical => Some(Severity::Critical),
            FailOnSetting::High => Some(Severity::High),
            FailOnSetting::Medium => Some(Severity::Medium),
            FailOnSetting::Low => Some(Severity::Low),
            FailOnSetting::Never => None,
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum RuleSetting {
    Critical,
    High,
    Medium,
    Low,
    Off,
}

impl From<RuleSetting> for Option<Severity> {
    fn from(setting: RuleSetting) -> Self {
        match setting {
            RuleSetting::Critical => Some(Severity::Critical),
            RuleSetting::High => Some(Severity::High),
            RuleSetting::Medium => Some(Severity::Medium),
            RuleSetting::Low => Some(Severity::Low),
            RuleSetting::Off => None,
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum AccessModeWord {
    Public,
    PublicAndPrivate,
    Private,
}

impl From<AccessModeWord> for AccessMode {
    fn from(word: AccessModeWord) -> Self {
        match word {
            AccessModeWord::Public => Self::Public,
            AccessModeWord::PublicAndPrivate => Self::PublicAndPrivate,
            AccessModeWord::Private => Self::Private,
        }
    }
}

/// Parses a policy. `rules` are the ids of all rules; `now` decides what has expired.
///
/// # Errors
/// If it is not a policy: where, and the correction.
pub fn parse(text: &str, rules: &[&str], now: Timestamp) -> Result<Policy, PolicyError> {
    let lines = [0].into_iter().chain(text.match_indices('\n').map(|(end, _)| end + 1)).collect();
    let reader = Reader { text, lines, rules, now };
    let file: PolicyFile = toml::from_str(text).map_err(|error| reader.toml_error(&error))?;
    let overrides = file.r#override.into_iter().map(|table| reader.override_of(table));
    let waivers = file.waiver.into_iter().map(|table| reader.waiver(table));
    let accepted = file.accept_gap.into_iter().map(|table| reader.acceptance(table));
    let entries = Entries {
        preset: file.extends.map(Preset::as_str),
        extended: file.extends.map(Preset::settings).unwrap_or_default(),
        settings: reader.settings(file.fail_on, file.rules, file.endpoint, file.allowed_cidr)?,
        overrides: overrides.collect::<Result<_, _>>()?,
        waivers: waivers.collect::<Result<_, _>>()?,
        accepted: accepted.collect::<Result<_, _>>()?,
    };
    Ok(Policy { entries })
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
}

impl Reader<'_> {
    fn settings(
        &self,
        fail_on: Option<FailOnSetting>,
        rules: BTreeMap<Spanned<String>, RuleSetting>,
        endpoint: EndpointTable,
        allowed: Option<Vec<Spanned<AllowedCidrTable>>>,
    ) -> Result<Settings, PolicyError> {
        let rules = rules.into_iter().map(|(id, setting)| Ok((self.rule(&id)?, setting.into())));
        let widest =
            |prefix: Option<Spanned<String>>, max| prefix.map(|prefix| self.prefix(&prefix, max)).transpose();
        let allowed = allowed.map(|entries| entries.into_iter().map(|entry| self.allowed(entry)).collect());
        let access = endpoint.access.map(|modes| match modes.get_ref().as_slice() {
            [] => Err(self.wrong(
                &modes.span(),
                "the list allows no access mode; leave it out to allow any".to_owned(),
            )),
            modes => Ok(modes.iter().map(|mode| AccessMode::from(*mode)).collect()),
        });
        let access: Option<Vec<_>> = access.transpose()?;
        Ok(Settings {
            fail_on: fail_on.map(Threshold::from),
            rules: rules.collect::<Result<_, _>>()?,
            private_only: access
                .as_deref()
                .map(|modes| modes.iter().all(|mode| *mode == AccessMode::Private)),
            access,
            widest_v4: widest(endpoint.widest_ipv4, 32)?,
            widest_v6: widest(endpoint.widest_ipv6, 128)?,
            allowed: allowed.transpose()?,
        })
    }

    fn override_of(&self, table: Spanned<OverrideTable>) -> Result<Override, PolicyError> {
        let span = table.span();
        let table = table.into_inner();
        if table.clusters.is_empty() && table.accounts.is_empty() {
            return Err(self.wrong(&span, "an override needs clusters or accounts".to_owned()));
        }
        Ok(Override {
            line: self.line(span.start).0,
            scope: Scope {
                clusters: self.patterns(&table.clusters)?,
                accounts: self.patterns(&table.accounts)?,
            },
            settings: self.settings(table.fail_on, table.rules, table.endpoint, table.allowed_cidr)?,
        })
    }

    fn waiver(&self, table: Spanned<WaiverTable>) -> Result<WaiverRule, PolicyError> {
        let line = self.line(table.span().start).0;
        let table = table.into_inner();
        let (expires, until) = self.expires(&table.expires)?;
        let waiver = Waiver {
            line,
            rule: self.rule(&table.rule)?,
            resource: table.resource.get_ref().clone(),
            reason: self.text(&table.reason, "reason")?,
            owner: self.text(&table.owner, "owner")?,
            expires,
            is_expired: until <= self.now,
        };
        Ok(WaiverRule {
            resource: self.pattern(&table.resource)?,
            scope: self.clusters(&table.clusters)?,
            until,
            waiver,
        })
    }

    fn acceptance(&self, table: Spanned<AcceptGapTable>) -> Result<AcceptRule, PolicyError> {
        let line = self.line(table.span().start).0;
        let table = table.into_inner();
        let (expires, until) = self.expires(&table.expires)?;
        let acceptance = Acceptance {
            line,
            subject: table.subject.get_ref().clone(),
            reason: self.text(&table.reason, "reason")?,
            owner: self.text(&table.owner, "owner")?,
            expires,
            is_expired: until <= self.now,
        };
        Ok(AcceptRule {
            subject: self.pattern(&table.subject)?,
            scope: self.clusters(&table.clusters)?,
            until,
            acceptance,
        })
    }

    fn clusters(&self, globs: &[Spanned<String>]) -> Result<Scope, PolicyError> {
        Ok(Scope { clusters: self.patterns(globs)?, accounts: Vec::new() })
    }

    fn allowed(&self, table: Spanned<AllowedCidrTable>) -> Result<(usize, AllowedCidr), PolicyError> {
        let line = self.line(table.span().start).0;
        let table = table.into_inner();
        let text = table.cidr.get_ref();
        let cidr: IpNet = text.parse().map_err(|_| {
            let message = match text.parse::<IpAddr>() {
                Ok(address) => {
                    format!("{text} is an address; did you mean the block {}?", IpNet::from(address))
                }
                Err(_) => format!("{text:?} is not a CIDR block, such as 203.0.113.0/24 or 2001:db8::/48"),
            };
            self.wrong(&table.cidr.span(), message)
        })?;
        if cidr.trunc() != cidr {
            let message = format!("{text} has host bits set; did you mean {}?", cidr.trunc());
            return Err(self.wrong(&table.cidr.span(), message));
        }
        let expires = table.expires.as_ref().map(|expires| self.expires(expires)).transpose()?;
        let is_expired = expires.as_ref().is_some_and(|(_, until)| *until <= self.now);
        let entry = AllowedCidr {
            cidr: canonical_block(cidr),
            owner: self.text(&table.owner, "owner")?,
            reason: self.text(&table.reason, "reason")?,
            expires: expires.map(|(text, _)| text),
            is_expired,
        };
        Ok((line, entry))
    }

    fn rule(&self, id: &Spanned<String>) -> Result<String, PolicyError> {
        let text = id.get_ref();
        if self.rules.contains(&text.as_str()) {
            return Ok(text.clone());
        }
        let message = match nearest(text, self.rules.iter().copied()) {
            Some(rule) => format!("no rule named {text:?}; did you mean {rule:?}?"),
            None => format!("no rule named {text:?}; `eks-netcheck explain` lists the rules"),
        };
        Err(self.wrong(&id.span(), message))
    }

    fn prefix(&self, prefix: &Spanned<String>, max: u8) -> Result<u8, PolicyError> {
        let text = prefix.get_ref();
        let length = text.strip_prefix('/').and_then(|length| length.parse().ok());
        length.filter(|length| *length <= max).ok_or_else(|| {
            self.wrong(&prefix.span(), format!("{text:?} is not a prefix length from /0 to /{max}"))
        })
    }

    fn patterns(&self, globs: &[Spanned<String>]) -> Result<Vec<Pattern>, PolicyError> {
        globs.iter().map(|glob| self.pattern(glob)).collect()
    }

    fn pattern(&self, glob: &Spanned<String>) -> Result<Pattern, PolicyError> {
        let text = glob.get_ref();
        if text.is_empty() {
            return Err(self.wrong(&glob.span(), "an empty glob matches nothing".to_owned()));
        }
        if text.len() > GLOB_MAX {
            let message = format!("a glob of more than {GLOB_MAX} bytes is longer than any name or ARN");
            return Err(self.wrong(&glob.span(), message));
        }
        Pattern::new(text)
            .map_err(|error| self.wrong(&glob.span(), format!("{text:?} is not a valid glob: {}", error.msg)))
    }

    /// A text that is not blank.
    fn text(&self, text: &Spanned<String>, what: &str) -> Result<String, PolicyError> {
        if text.get_ref().trim().is_empty() {
            return Err(self.wrong(&text.span(), format!("{what} is empty")));
        }
        Ok(cut(text.get_ref(), TEXT_MAX).into_owned())
    }

    /// The expiry as written, and its time. A day ends when it ends in UTC.
    fn expires(&self, expires: &Spanned<Datetime>) -> Result<(String, Timestamp), PolicyError> {
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
        let until = until.ok_or_else(|| {
            let message = format!(
                "{written} is neither a day, such as 2027-01-31, nor a time with an offset, such as 2027-01-31T12:00:00Z"
            );
            self.wrong(&expires.span(), message)
        })?;
        Ok((written.to_string(), until))
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
                let what = if what == "unknown field " { "unknown key" } else { "unknown value" };
                let known: Vec<_> = quoted.collect();
                match nearest(name, known.iter().copied()) {
                    Some(right) => format!("{what} {name:?}; did you mean {right:?}?"),
                    None => format!("{what} {name:?}; known are {}", known.join(", ")),
                }
            }
            (Some("missing field "), Some(name)) => format!("the required key {name} is missing"),
            (Some("duplicate key"), _) => {
                format!("duplicate key {}", self.text.get(span.clone()).unwrap_or_default())
            }
            (Some("wanted string or table"), _) => "expected a value in quotes".to_owned(),
            (Some("invalid type: map, expected a sequence"), _) => {
                "this is a list: write it in double brackets, as in [[waiver]]".to_owned()
            }
            _ if error.message().contains("expected a TOML datetime") => {
                "a date or time is written without quotes: expires = 2027-01-31".to_owned()
            }
            _ => error.message().to_owned(),
        };
        self.wrong(&span, message)
    }
}

fn date(day: toml::value::Date) -> Option<Date> {
    let part = |part: u8| i8::try_from(part).ok();
    Date::new(i16::try_from(day.year).ok()?, part(day.month)?, part(day.day)?).ok()
}

/// The known name that is most similar, if any is similar.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|right| (strsim::jaro_winkler(name, right), right));
    near.filter(|(near, _)| *near > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, right)| right)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: [&str; 3] = ["public-endpoint-open", "public-endpoint-enabled", "cidr-not-allowed"];

    fn at(now: &str, text: &str) -> Result<Policy, PolicyError> {
        parse(text, &RULES, now.parse().expect("a time"))
    }

    fn error(text: &str) -> String {
        at("2026-01-01T00:00:00Z", text).map(drop).expect_err("no policy").to_string()
    }

    fn waiver(expires: &str) -> String {
        format!(
            "[[waiver]]\nrule = \"public-endpoint-open\"\nresource = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = {expires}\n"
        )
    }

    #[test]
    fn the_example_parses_with_and_without_its_comments() {
        at("2026-01-01T00:00:00Z", EXAMPLE).expect("a policy");
        let is_key = |line: &&str| {
            line.starts_with("# [") || line.starts_with("# ") && line.contains(" = ") && !line.contains("--")
        };
        let uncommented = EXAMPLE.lines().map(|line| if is_key(&line) { &line[2..] } else { line });
        let text = uncommented
            .collect::<Vec<_>>()
            .join("\n")
            .replace("control-plane-enis-missing", "cidr-not-allowed");
        let policy = at("2026-01-01T00:00:00Z", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let policy = policy.entries;
        assert_eq!((policy.waivers.len(), policy.overrides.len(), policy.accepted.len()), (1, 1, 1));
        assert_eq!(policy.settings.rules.len(), 2);
    }

    #[test]
    fn errors_name_the_position_and_the_correction() {
        let wrong = [
            ("fail_on = \"high\"\n", "1:1: unknown key \"fail_on\"; did you mean \"fail-on\"?"),
            ("[endpoint]\naccess = []\n", "2:10: the list allows no access mode"),
            ("fail-on = \"low\"\nfail-on = \"high\"\n", "2:1: duplicate key fail-on"),
            ("fail-on = 3\n", "1:11: expected a value in quotes"),
            ("[override]\nclusters = [\"a\"]\n", "1:1: this is a list"),
            (
                "[[allowed-cidr]]\ncidr = \"203.0.113.7\"\nowner = \"o\"\nreason = \"r\"\n",
                "2:8: 203.0.113.7 is an address; did you mean the block 203.0.113.7/32?",
            ),
            ("\nfail-on = \"hihg\"\n", "2:11: unknown value \"hihg\"; did you mean \"high\"?"),
            (
                "[rules]\npublic-endpoint-opne = \"low\"\n",
                "2:1: no rule named \"public-endpoint-opne\"; did you mean \"public-endpoint-open\"?",
            ),
            ("[rules]\nx = \"low\"\n", "2:1: no rule named \"x\"; `eks-netcheck explain` lists the rules"),
            ("[endpoint]\nwidest-ipv4 = \"24\"\n", "2:15: \"24\" is not a prefix length from /0 to /32"),
            (
                "[[allowed-cidr]]\ncidr = \"203.0.113.7/24\"\nowner = \"o\"\nreason = \"r\"\n",
                "2:8: 203.0.113.7/24 has host bits set; did you mean 203.0.113.0/24?",
            ),
            (
                "[[allowed-cidr]]\ncidr = \"203.0.113.0/24\"\nowner = \" \"\nreason = \"r\"\n",
                "3:9: owner is empty",
            ),
            ("[[override]]\nfail-on = \"low\"\n", "1:1: an override needs clusters or accounts"),
            ("[[override]]\nclusters = [\"[\"]\n", "2:13: \"[\" is not a valid glob: "),
            ("[[waiver]]\nrule = \"cidr-not-allowed\"\n", "1:1: the required key resource is missing"),
            ("[[accept-gap]]\nreason = \"r\"\n", "1:1: the required key subject is missing"),
            (
                "[[accept-gap]]\nsubject = \"nodes\"\nreason = \"r\"\nowner = \"o\"\n",
                "1:1: the required key expires is missing",
            ),
            (
                "[[accept-gap]]\nsubject = \"\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2027-01-31\n",
                "2:11: an empty glob matches nothing",
            ),
            (
                "[[accept-gap]]\nsubject = \"nodes\"\nreason = \"\"\nowner = \"o\"\nexpires = 2027-01-31\n",
                "3:10: reason is empty",
            ),
        ];
        for (text, message) in wrong {
            assert!(error(text).starts_with(message), "{text}: {}", error(text));
        }
        assert!(error(&waiver("2026-02-30")).starts_with("6:"), "{}", error(&waiver("2026-02-30")));
        let message = error(&waiver("\"2027-01-31\""));
        assert!(message.starts_with("6:11: ") && message.contains("without quotes"), "{message}");
        let message = error(&waiver("2026-02-03T00:00:00"));
        assert!(message.starts_with("6:11: ") && message.contains("with an offset"), "{message}");
    }

    #[test]
    fn a_waiver_expires_at_the_end_of_its_day_in_utc() {
        let is_expired = |now: &str, expires: &str| {
            at(now, &waiver(expires)).unwrap_or_else(|error| panic!("{error}")).entries.waivers[0]
                .waiver
                .is_expired
        };
        for (now, expires, expected) in [
            ("2026-12-31T23:59:59.999999999Z", "2026-12-31", false),
            ("2027-01-01T00:00:00Z", "2026-12-31", true),
            // The new year begins earlier in other time zones.
            ("2027-01-01T08:59:59+09:00", "2026-12-31", false),
            ("2027-01-01T09:00:00+09:00", "2026-12-31", true),
            ("2026-12-31T11:59:59Z", "2026-12-31T12:00:00Z", false),
            ("2026-12-31T12:00:00Z", "2026-12-31T12:00:00Z", true),
            ("2026-12-31T03:00:00Z", "2026-12-31T12:00:00+09:00", true),
            ("2024-02-29T23:00:00Z", "2024-02-29", false),
            ("2026-01-01T00:00:00Z", "9999-12-31", false),
        ] {
            assert_eq!(is_expired(now, expires), expected, "{now} {expires}");
        }
    }
}
