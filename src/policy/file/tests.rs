use super::*;

const RULES: [&str; 3] = ["public-endpoint-open", "public-endpoint-enabled", "cidr-not-allowed"];

fn at(now: &str, text: &str) -> Result<Policy, PolicyError> {
    parse(text, &RULES, now.parse().expect("a time"))
}

fn errors(text: &str) -> Vec<String> {
    let now = "2026-01-01T00:00:00Z".parse().expect("a time");
    let wrong = check(text, &RULES, now, 100).map(drop).expect_err("no policy");
    wrong.errors.iter().map(ToString::to_string).collect()
}

#[test]
fn the_keys_are_those_of_the_schema() {
    let schema = schema().to_value();
    let keys = schema["properties"].as_object().expect("properties").keys();
    assert_eq!(keys.map(String::as_str).collect::<std::collections::BTreeSet<_>>(), KEYS.into());
    let keys = schema["$defs"]["EndpointTable"]["properties"].as_object().expect("properties").keys();
    assert_eq!(keys.map(String::as_str).collect::<std::collections::BTreeSet<_>>(), ENDPOINT_KEYS.into());
    let modes = schema["$defs"]["AccessModeWord"]["enum"].as_array().expect("an enum").iter();
    assert_eq!(
        modes.map(|mode| mode.as_str().expect("a word")).collect::<Vec<_>>(),
        AccessMode::ALL.map(AccessMode::as_str)
    );
}

/// Errors of every kind, in the syntax, the keys and the values, are found at once; what is
/// missing because it is wrong is not missing.
#[test]
fn all_errors_are_found_at_once() {
    let text = "fail-on = \"hihg\"\n[rules]\nx = \"low\"\npublic-endpoint-open = \"lwo\"\n\
        [endpoint]\naccess = []\nwidest-ipv4 = \"24\"\nwidth = 3\n\
        [[allowed-cidr]]\ncidr = \"203.0.113.7\"\nowner = \" \"\n\
        [[override]]\nclusters = [\"[\", 3]\nrules = { y = \"off\" }\n\
        [[waiver]]\nrule = \"cidr-not-allowed\"\nresource = \"\"\nreason = \"r\"\nexpires = \"2027-01-31\"\n\
        [[waiver]]\nrule = \"z\"\nresource = \"*\"\nreason = \"\"\nowner = \"o\"\nexpires = 2027-02-28T10:00:00\n";
    let expected = [
        "1:11: unknown value \"hihg\"",
        "3:1: no rule named \"x\"",
        "4:24: unknown value \"lwo\"",
        "6:10: the list allows no access mode",
        "7:15: \"24\" is not a prefix length",
        "8:1: unknown key \"width\"",
        "9:1: the required key reason is missing",
        "10:8: 203.0.113.7 is an address",
        "11:9: owner is empty",
        "13:13: \"[\" is not a valid glob",
        "13:18: expected a value in quotes",
        "14:11: no rule named \"y\"",
        "15:1: the required key owner is missing",
        "17:12: an empty glob matches nothing",
        "19:11: a date or time is written without quotes",
        "21:8: no rule named \"z\"",
        "23:10: reason is empty",
        "25:11: 2027-02-28T10:00:00 is neither a day",
    ];
    let errors = errors(text);
    for (number, expected) in expected.iter().enumerate() {
        let error = errors.get(number).map(String::as_str).unwrap_or_default();
        assert!(error.starts_with(expected), "{expected}: {errors:#?}");
    }
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
}

/// A wrong value has one error, whatever would have followed from it.
#[test]
fn one_cause_is_one_error() {
    for (text, expected) in [
        ("[endpoint]\naccess = [\"privat\"]\n", "2:11: unknown value \"privat\"; did you mean \"private\"?"),
        (
            "[endpoint]\naccess = [\"private\", \"vpn\"]\n",
            "2:22: unknown value \"vpn\"; known are public, public-and-private, private",
        ),
        ("[endpoint]\naccess = [3]\n", "2:11: expected a value in quotes"),
        ("[[override]]\nclusters = [3]\n", "2:13: expected a value in quotes"),
        (
            "[[override]]\nclusters = [\"a\"]\nendpoint.access = [\"\"]\n",
            "3:20: unknown value \"\"; known are",
        ),
        ("[rules]\npublic-endpoint-open = {}\n", "2:24: expected a value in quotes"),
        ("fail-on = \"\"\n", "1:11: unknown value \"\"; known are critical, high, medium, low, never"),
    ] {
        let errors = errors(text);
        assert!(errors.len() == 1 && errors[0].starts_with(expected), "{text}: {errors:#?}");
    }
}

/// A value without brackets where a list is expected: the error has the list that was meant.
#[test]
fn a_list_without_brackets_is_shown_with_them() {
    let modes = "public, public-and-private, private";
    for (text, expected) in [
        (
            "[endpoint]\naccess = \"private\"\n",
            format!("2:10: expected a list in brackets; did you mean [\"private\"]? known are {modes}"),
        ),
        (
            "endpoint.access=\"privat\"\n",
            format!("1:17: expected a list in brackets; did you mean [\"private\"]? known are {modes}"),
        ),
        (
            "[endpoint]\naccess = \"vpn\"\n",
            format!("2:10: expected a list in brackets of the access modes {modes}"),
        ),
        (
            "[endpoint]\naccess = true\n",
            format!("2:10: expected a list in brackets of the access modes {modes}"),
        ),
        (
            "access = \"private\"\n",
            "1:1: unknown key \"access\"; did you mean it in the table [endpoint]?".to_owned(),
        ),
    ] {
        assert_eq!(errors(text), [expected], "{text}");
    }
    let of_globs = errors("[[override]]\nclusters = \"a*\"\n[[override]]\nfail-on = \"low\"\n");
    assert_eq!(
        of_globs,
        ["2:12: expected a list in brackets: [\"a*\"]", "3:1: an override needs clusters or accounts"]
    );
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
    let text =
        uncommented.collect::<Vec<_>>().join("\n").replace("control-plane-enis-missing", "cidr-not-allowed");
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
