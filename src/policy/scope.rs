//! Which clusters an entry of the policy applies to, also where the cluster's ARN is not
//! recorded or redacted.

use glob::Pattern;

use crate::model::cluster::Cluster;

/// Whether an entry applies. Several conditions are combined by their minimum,
/// alternatives by their maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Applies {
    /// It does not.
    No,
    /// That depends on parts of the cluster's ARN that are not known.
    Unknown,
    /// It does.
    Yes,
}

impl From<bool> for Applies {
    fn from(applies: bool) -> Self {
        if applies { Self::Yes } else { Self::No }
    }
}

/// The clusters that an entry of the policy names.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// Names or ARNs; all clusters if empty.
    pub(super) clusters: Vec<Pattern>,
    /// Accounts; all if empty.
    pub(super) accounts: Vec<Pattern>,
}

impl Scope {
    /// Whether it includes a cluster.
    pub(super) fn includes(&self, cluster: &Cluster) -> Applies {
        let any = |patterns: &[Pattern], of: fn(&Pattern, &Cluster) -> Applies| {
            let all = patterns.iter().map(|pattern| of(pattern, cluster));
            all.max().unwrap_or(Applies::Yes)
        };
        any(&self.clusters, names_cluster).min(any(&self.accounts, names_account))
    }
}

/// Whether a pattern matches a cluster's name or ARN.
pub(super) fn names_cluster(pattern: &Pattern, cluster: &Cluster) -> Applies {
    if pattern.matches(&cluster.name) {
        return Applies::Yes;
    }
    let arn = Arn::of(cluster);
    names(pattern, cluster.arn.as_deref(), arn.is_whole(), || arn.template(&cluster.name))
}

/// Whether a pattern matches a cluster's account.
fn names_account(pattern: &Pattern, cluster: &Cluster) -> Applies {
    let recorded = cluster.arn.as_deref().and_then(|arn| arn.split(':').nth(4));
    names(pattern, recorded, Arn::of(cluster).account.is_some(), || vec![Atom::Digit; ACCOUNT_LEN])
}

/// Whether a pattern matches a text of which a part may be unknown. `recorded` is the text
/// as recorded, `template` its possible forms.
fn names(
    pattern: &Pattern,
    recorded: Option<&str>,
    is_whole: bool,
    template: impl Fn() -> Vec<Atom>,
) -> Applies {
    let matches = recorded.is_some_and(|text| pattern.matches(text));
    // A wildcard matches whatever was redacted; a set of characters need not.
    if is_whole || matches && !pattern.as_str().contains('[') {
        return matches.into();
    }
    if may_match(&tokens(pattern.as_str()), &template()) { Applies::Unknown } else { Applies::No }
}

/// The number of digits of an account id.
const ACCOUNT_LEN: usize = 12;

/// The parts of a cluster's ARN that are known.
struct Arn<'a> {
    partition: Option<&'a str>,
    region: Option<&'a str>,
    account: Option<&'a str>,
    /// Whether the rest is as it must be.
    is_well_formed: bool,
}

impl<'a> Arn<'a> {
    fn of(cluster: &'a Cluster) -> Self {
        let parts: Vec<_> = cluster.arn.as_deref().unwrap_or_default().splitn(6, ':').collect();
        let part = |index: usize, is_known: fn(&str) -> bool| {
            parts.get(index).copied().filter(|part| parts.len() == 6 && is_known(part))
        };
        let is_resource = |part: &str| part.strip_prefix("cluster/") == Some(cluster.name.as_str());
        Self {
            partition: part(1, |part| part.starts_with("aws") && part.bytes().all(is_of_partition)),
            region: part(3, is_region),
            account: cluster.account(),
            is_well_formed: part(0, |part| part == "arn").is_some()
                && part(2, |part| part == "eks").is_some()
                && part(5, |_| true).is_some_and(is_resource),
        }
    }

    fn is_whole(&self) -> bool {
        let Self { partition, region, account, is_well_formed } = self;
        partition.is_some() && region.is_some() && account.is_some() && *is_well_formed
    }

    /// The possible ARNs of the cluster.
    fn template(&self, name: &str) -> Vec<Atom> {
        let literal = |text: &str| text.chars().map(Atom::Char).collect::<Vec<_>>();
        let or_word = |part: Option<&str>| part.map_or_else(|| vec![Atom::Word], literal);
        let account = self.account.map_or_else(|| vec![Atom::Digit; ACCOUNT_LEN], literal);
        [
            literal("arn:"),
            or_word(self.partition),
            literal(":eks:"),
            or_word(self.region),
            literal(":"),
            account,
            literal(":cluster/"),
            literal(name),
        ]
        .concat()
    }
}

fn is_of_partition(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte == b'-'
}

/// Whether a part of an ARN is a region, such as `eu-west-1`, rather than a redaction.
fn is_region(part: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    part.contains('-')
        && part.bytes().all(is_allowed)
        && part.bytes().last().is_some_and(|byte| byte.is_ascii_digit())
}

/// A part of a text of which not everything is known.
#[derive(Debug, Clone, Copy)]
enum Atom {
    /// This character.
    Char(char),
    /// Any digit.
    Digit,
    /// One or more lower case letters, digits and hyphens.
    Word,
}

/// A part of a glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// This character.
    Char(char),
    /// One character: `?`, or one of a set, which may match more here than in the glob.
    One,
    /// Any characters.
    Many,
}

fn tokens(glob: &str) -> Vec<Token> {
    let chars: Vec<_> = glob.chars().collect();
    let mut tokens = Vec::with_capacity(chars.len());
    let mut at = 0;
    while let Some(&char) = chars.get(at) {
        at += 1;
        match char {
            '?' => tokens.push(Token::One),
            '*' => {
                let is_recursive = chars.get(at) == Some(&'*');
                while chars.get(at) == Some(&'*') {
                    at += 1;
                }
                // `**/` matches no directory as well.
                if is_recursive && chars.get(at) == Some(&'/') {
                    at += 1;
                }
                tokens.push(Token::Many);
            }
            '[' => {
                // The first character of a set may be a closing bracket.
                let first = if chars.get(at) == Some(&'!') { at + 2 } else { at + 1 };
                let end = chars.iter().skip(first).position(|char| *char == ']');
                at = end.map_or(chars.len(), |end| first + end + 1);
                tokens.push(Token::One);
            }
            char => tokens.push(Token::Char(char)),
        }
    }
    tokens
}

/// Whether a glob matches one of the texts that a template stands for.
fn may_match(tokens: &[Token], template: &[Atom]) -> bool {
    let mut positions = vec![false; tokens.len() + 1];
    positions[0] = true;
    skip_many(tokens, &mut positions);
    for atom in template {
        match atom {
            Atom::Char(char) => positions = step(tokens, &positions, |token| token == *char),
            Atom::Digit => positions = step(tokens, &positions, |token| token.is_ascii_digit()),
            Atom::Word => {
                let is_of_word =
                    |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
                positions = step(tokens, &positions, is_of_word);
                loop {
                    let next = step(tokens, &positions, is_of_word);
                    let union: Vec<_> = positions.iter().zip(&next).map(|(a, b)| *a || *b).collect();
                    if union == positions {
                        break;
                    }
                    positions = union;
                }
            }
        }
    }
    positions.last() == Some(&true)
}

/// The positions in a glob after one more character, which a literal of the glob can be if
/// `may_be` says so.
fn step(tokens: &[Token], positions: &[bool], may_be: impl Fn(char) -> bool) -> Vec<bool> {
    let mut next = vec![false; positions.len()];
    for (at, token) in tokens.iter().enumerate().filter(|(at, _)| positions[*at]) {
        match token {
            Token::Char(char) => next[at + 1] |= may_be(*char),
            Token::One => next[at + 1] = true,
            Token::Many => next[at] = true,
        }
    }
    skip_many(tokens, &mut next);
    next
}

/// Adds the positions after each `*`, which matches nothing as well.
fn skip_many(tokens: &[Token], positions: &mut [bool]) {
    for (at, token) in tokens.iter().enumerate() {
        positions[at + 1] |= positions[at] && *token == Token::Many;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cluster(arn: Option<&str>) -> Cluster {
        Cluster { name: "myeks".to_owned(), arn: arn.map(ToOwned::to_owned), ..Cluster::unknown() }
    }

    fn scope(clusters: &[&str], accounts: &[&str]) -> Scope {
        let patterns =
            |globs: &[&str]| globs.iter().map(|glob| Pattern::new(glob).expect("a glob")).collect();
        Scope { clusters: patterns(clusters), accounts: patterns(accounts) }
    }

    const WHOLE: &str = "arn:aws:eks:eu-west-1:111122223333:cluster/myeks";

    #[test]
    fn a_whole_arn_decides() {
        let whole = cluster(Some(WHOLE));
        for (clusters, accounts, expected) in [
            (&["my*"][..], &[][..], Applies::Yes),
            (&["your*"], &[], Applies::No),
            (&["arn:aws:eks:*:111122223333:*"], &[], Applies::Yes),
            (&["*:444455556666:*"], &[], Applies::No),
            (&["your*", "*/myeks"], &[], Applies::Yes),
            (&[], &["1111*"], Applies::Yes),
            (&[], &["4444*"], Applies::No),
            (&["my*"], &["4444*"], Applies::No),
            (&[], &[], Applies::Yes),
        ] {
            assert_eq!(scope(clusters, accounts).includes(&whole), expected, "{clusters:?} {accounts:?}");
        }
    }

    #[test]
    fn what_is_redacted_does_not_decide() {
        for arn in [
            None,
            Some("arn:aws:eks:eu-west-1:XXXXXXXXXXXX:cluster/myeks"),
            Some("arn:aws:eks:eu-west-1:4444xxxxxxxx:cluster/myeks"),
            Some("arn:aws:eks:eu-west-1:<account>:cluster/myeks"),
            Some("arn:aws:eks:eu-west-1::cluster/myeks"),
            Some("arn:aws:eks:eu-west-1:12345:cluster/myeks"),
            Some("arn:aws:eks:REGION:ACCOUNT:cluster/myeks"),
            Some("REDACTED"),
            Some(""),
        ] {
            let redacted = cluster(arn);
            for (clusters, accounts, expected) in [
                (&["arn:aws:eks:*:111122223333:*"][..], &[][..], Applies::Unknown),
                (&["*:111122223333:cluster/*"], &[], Applies::Unknown),
                (&["*1111*"], &[], Applies::Unknown),
                (&["?rn:*:111122223333:*"], &[], Applies::Unknown),
                (&["[a-b]rn:*:111122223333:*"], &[], Applies::Unknown),
                (&[], &["111122223333"], Applies::Unknown),
                (&[], &["*3333"], Applies::Unknown),
                (&["my*"], &["111122223333"], Applies::Unknown),
                (&["your*"], &["111122223333"], Applies::No),
                // No ARN of this cluster matches these.
                (&["*-prod"], &[], Applies::No),
                (&["arn:aws:eks:*:111122223333:cluster/your*"], &[], Applies::No),
                (&["arn:aws:ec2:*"], &[], Applies::No),
                (&["*:1111222233334:cluster/*"], &[], Applies::No),
                (&[], &["1111222233334"], Applies::No),
                (&[], &["dev-*"], Applies::No),
                // The name alone decides.
                (&["my*", "*:111122223333:*"], &[], Applies::Yes),
                (&["*"], &[], Applies::Yes),
            ] {
                let includes = scope(clusters, accounts).includes(&redacted);
                assert_eq!(includes, expected, "{arn:?} {clusters:?} {accounts:?}");
            }
        }
    }

    #[test]
    fn the_parts_that_are_known_decide() {
        let redacted = cluster(Some("arn:aws:eks:eu-west-1:XXXXXXXXXXXX:cluster/myeks"));
        let includes = |pattern| scope(&[pattern], &[]).includes(&redacted);
        assert_eq!(includes("arn:*:us-east-1:*:cluster/*"), Applies::No);
        assert_eq!(includes("arn:aws:eks:eu-west-1:*:cluster/myeks"), Applies::Yes);
        assert_eq!(includes("arn:aws-cn:*:111122223333:*"), Applies::No);
        // Without an ARN, the region is not known either.
        assert_eq!(scope(&["arn:*:us-east-1:*:cluster/*"], &[]).includes(&cluster(None)), Applies::Unknown);
    }

    proptest! {
        /// A pattern that matches the ARN never counts as one that cannot, however much of
        /// the ARN is redacted.
        #[test]
        fn a_match_is_never_ruled_out(glob in "[a-z0-9:/*?-]{0,12}", cut in 0usize..40, kept in 0usize..20) {
            let end = (cut + kept).min(WHOLE.len());
            let glob = format!("{}*{glob}*{}", &WHOLE[..cut], &WHOLE[end..]);
            let Ok(pattern) = Pattern::new(&glob) else { return Ok(()) };
            let includes = |arn| scope(&[&glob], &[]).includes(&cluster(arn));
            if pattern.matches(WHOLE) {
                prop_assert_eq!(includes(Some(WHOLE)), Applies::Yes);
                prop_assert_ne!(includes(None), Applies::No);
                let redacted = WHOLE.replace("111122223333", "XXXXXXXXXXXX");
                prop_assert_ne!(includes(Some(&redacted)), Applies::No);
            } else {
                prop_assert_eq!(includes(Some(WHOLE)), Applies::No);
            }
        }
    }
}
