//! Errors of the AWS configuration: regions, endpoints, proxies, profiles and credentials. Each
//! ends the run at once, names the cause and the next step, and shows no secret.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Fault, FaultKind};
use eks_netcheck_lab::credentials::CredentialServer;

use crate::aws::Aws;
use crate::common::{Netcheck, Ran, scratch};

/// A port that nothing listens at.
const REFUSING: &str = "127.0.0.1:9";

/// An audit with keys and a region in the environment.
fn with_keys() -> Netcheck {
    with_region().env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "s3cret-key")
}

/// An audit with a region, and without credentials.
fn with_region() -> Netcheck {
    Netcheck::new(["audit", "--cluster", "myeks", "--nodes", "none"])
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("PATH", "/usr/bin:/bin")
}

/// Runs an audit that has to end long before its time-out.
fn at_once(run: Netcheck) -> Ran {
    let began = Instant::now();
    let ran = run.args(&["--timeout", "30"]).run();
    assert!(began.elapsed() < Duration::from_secs(12), "{}", ran.stderr);
    ran
}

#[test]
fn a_region_that_does_not_exist_is_refused_with_the_nearest_one() {
    for run in [with_keys().env("AWS_REGION", "us-esat-1"), with_keys().args(&["--region", "us-esat-1"])] {
        let ran = at_once(run);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("did you mean us-east-1?"), "{}", ran.stderr);
    }
    // Also where the role is assumed there.
    let ran = at_once(with_keys().args(&[
        "--region",
        "us-esat-1",
        "--role-arn",
        "arn:aws:iam::111122223333:role/audit",
    ]));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("did you mean us-east-1?"), "{}", ran.stderr);
    let ran = at_once(with_keys().args(&["--region", &"a".repeat(66_000)]));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.len() < 400, "{}", ran.stderr.len());
    // One that is not known here and has an endpoint is used.
    let aws = Aws::of("study-public");
    assert_eq!(aws.audit().args(&["--region", "eu-moon-1"]).run().code, 1);
}

/// Regions that do not exist are the configuration's fault where no other is judged.
#[test]
fn several_regions_that_do_not_exist_are_refused() {
    let regions = ["--region", "us-esat-1", "--region", "eu-wset-1"];
    let ran = at_once(with_keys().args(&regions));
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
    let run = Netcheck::new(["audit", "--all-clusters", "--nodes", "none"]).args(&regions);
    let ran = at_once(run.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "s3cret-key"));
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("did you mean eu-west-1?"), "{}", ran.stderr);
}

#[test]
fn what_cannot_pass_is_not_repeated() {
    for (url, message) in [
        (format!("http://{REFUSING}"), "127.0.0.1:9 refuses the connection; is AWS_ENDPOINT_URL right"),
        ("http://no-such-host.invalid".to_owned(), "the host name no-such-host.invalid "),
        (format!("http://{}.invalid", "a".repeat(64)), "does not exist; is AWS_ENDPOINT_URL right"),
    ] {
        let ran = at_once(with_keys().env("AWS_ENDPOINT_URL", &url));
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
    }
}

#[test]
fn what_can_pass_is_repeated() {
    for kind in [FaultKind::Close, FaultKind::Throttled, FaultKind::Internal, FaultKind::TruncatedBody] {
        let aws = Aws::of("private-only");
        aws.0.inject_fault(Fault::always("DescribeCluster", kind.clone()).times(2));
        aws.0.inject_fault(Fault::always("DescribeSubnets", kind.clone()).times(2));
        let (report, _) = aws.audit().json();
        assert_eq!(report["cluster"]["name"], "myeks", "{kind:?}");
        assert!(crate::aws::gap(&report, "subnets.json").is_none(), "{kind:?}: {report:#}");
    }
}

/// A server that sends these bytes to every client, and closes the connection.
fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(bytes);
            });
        }
    });
    address
}

/// The errors of a proxy are not those of the endpoint, also where it makes no tunnel.
#[test]
fn a_proxy_that_fails_is_named() {
    let aws = Aws::of("private-only");
    for (endpoint, variable, proxy, message) in [
        (aws.0.url(), "HTTP_PROXY", format!("http://{REFUSING}"), "the proxy refuses the connection; check "),
        (aws.0.url(), "http_proxy", format!("http://{REFUSING}"), "the proxy refuses the connection; check "),
        (
            aws.0.url(),
            "ALL_PROXY",
            "http://no-such-host.invalid".to_owned(),
            "the host name of the proxy does not exist",
        ),
        (
            "https://eks.example".to_owned(),
            "HTTPS_PROXY",
            format!("http://{REFUSING}"),
            "the proxy refuses the connection",
        ),
        // It is for other requests, or for other hosts.
        (
            format!("http://{REFUSING}"),
            "HTTPS_PROXY",
            aws.0.url(),
            "127.0.0.1:9 refuses the connection; is AWS_ENDPOINT_URL right",
        ),
    ] {
        let ran = at_once(with_keys().env("AWS_ENDPOINT_URL", &endpoint).env(variable, &proxy));
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(message), "{variable}={proxy}: {}", ran.stderr);
    }
    let run = with_keys().env("AWS_ENDPOINT_URL", &format!("http://{REFUSING}"));
    let ran = at_once(run.env("HTTP_PROXY", &aws.0.url()).env("NO_PROXY", "127.0.0.1"));
    assert!(ran.stderr.contains("127.0.0.1:9 refuses the connection; is AWS_"), "{}", ran.stderr);
}

#[test]
fn no_secret_of_a_url_is_shown() {
    let junk = answering(b"junk\r\n\r\n");
    let forbidden = answering(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let unauthorized = answering(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
    let closing = answering(b"");
    let endpoint = |host: &str| format!("http://user:s3cret@{host}/path?token=s3cret");
    let tls = |host: &str| format!("https://user:s3cret@{host}/path?token=s3cret");
    let hosts = [REFUSING, "no-such-host.invalid", &junk, &forbidden, &closing];
    let mut cases: Vec<(&str, String)> = Vec::new();
    for host in hosts {
        cases.push(("AWS_ENDPOINT_URL", endpoint(host)));
        cases.push(("AWS_ENDPOINT_URL", tls(host)));
        cases.push(("AWS_ENDPOINT_URL_EC2", endpoint(host)));
        cases.push(("HTTPS_PROXY", endpoint(host)));
        cases.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI", tls(host)));
    }
    for proxy in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        cases.push((proxy, endpoint(&unauthorized)));
        cases.push((proxy, tls(&forbidden)));
    }
    for url in [
        "user:s3cret@host",
        "//user:s3cret@host",
        "s3cret:80",
        "http://user:s3cret@ho st/",
        "http://user:s3c/ret@host/?s3cret",
        "http://user:s3cret#@host/",
        "http://user:s3cret?@host/",
        "http://user:s3cret",
        "ftp://user:s3cret@host/?token=s3cret",
        "http://user:s3cret@host:99999/",
        "http://user:s3cret@/",
        "socks5://user:s3cret@127.0.0.1:9",
        "http://user:s3cret@[::1/",
        "\u{e4}://user:s3cret@host",
    ] {
        for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EKS", "AWS_ENDPOINT_URL_EC2", "HTTPS_PROXY"] {
            cases.push((variable, url.to_owned()));
        }
        cases.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.to_owned()));
    }
    let aws = Aws::of("private-only");
    for (variable, url) in cases {
        let is_of_credentials = variable.starts_with("AWS_CONTAINER");
        // A proxy that cannot be used is left out: the region has no endpoint.
        let run = if is_of_credentials { with_region() } else { with_keys() }.env("AWS_REGION", "us-esat-1");
        // Without the cluster, no request to EC2 would be recorded in a report.
        let run =
            if variable == "AWS_ENDPOINT_URL_EC2" { run.env("AWS_ENDPOINT_URL", &aws.0.url()) } else { run };
        let out = scratch();
        let report = out.path().join("report.json");
        let write = format!("json={}", report.display());
        let ran = run
            .env(variable, &url)
            .env("AWS_SESSION_TOKEN", "s3cret-token")
            .args(&["--timeout", "2", "-vv", "--write", &write])
            .run();
        assert!([1, 2, 3].contains(&ran.code), "{variable}={url}: {} {}", ran.code, ran.stderr);
        let written = std::fs::read_to_string(&report).unwrap_or_default();
        for text in [&ran.stdout, &ran.stderr, &written] {
            assert!(!text.contains("s3c"), "{variable}={url}: {text}");
        }
    }
}

/// Profiles that cannot be used, each in its own way.
const PROFILES: &str = "\
[default]
region = eu-west-1
[profile work]
region = eu-west-1
aws_access_key_id = A
aws_secret_access_key = s3cret
[profile chained]
role_arn = arn:aws:iam::444455556666:role/audit
source_profile = absent
[profile loop]
role_arn = arn:aws:iam::444455556666:role/audit
source_profile = pool
[profile pool]
role_arn = arn:aws:iam::444455556666:role/audit
source_profile = loop
[profile half]
aws_access_key_id = A
[profile source]
role_arn = arn:aws:iam::444455556666:role/audit
credential_source = Nonsense
[profile session]
sso_session = absent
sso_account_id = 111122223333
sso_role_name = audit
[profile process]
credential_process = /bin/sh -c \"echo s3cret; echo s3cret >&2; exit 3\"
[profile words]
credential_process = /bin/echo s3cret IMDS
[profile portal]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = audit
[sso-session corp]
sso_region = us-east-1
sso_start_url = https://corp.awsapps.com/start
[profile token]
role_arn = arn:aws:iam::444455556666:role/audit
web_identity_token_file = /no/such/token
";

/// The words of the SDK's own messages.
const SDK: [&str; 9] = [
    "provider",
    "Provider",
    "service error",
    "dispatch failure",
    "unhandled",
    "an error occurred",
    "was not defined",
    "already taken",
    "os error",
];

fn with_config(config: &Path) -> Netcheck {
    with_region().env("AWS_CONFIG_FILE", config.to_str().unwrap())
}

#[test]
fn a_profile_that_cannot_be_used_is_explained() {
    let home = scratch();
    let config = home.path().join("config");
    std::fs::write(&config, PROFILES).unwrap();
    let names = "the profiles are chained, default, half, loop, pool, portal, process, session, source, token, words, work";
    for (profile, code, expected) in [
        ("nope", 2, names),
        ("wrok", 2, "there is no profile \"wrok\"; did you mean work?"),
        ("chained", 2, "source_profile of the profile \"chained\": there is no profile \"absent\""),
        ("loop", 2, "from itself by source_profile (loop -> pool -> loop)"),
        ("half", 2, "has aws_access_key_id and no aws_secret_access_key"),
        ("source", 2, "the credential_source \"Nonsense\"; it can be Environment, "),
        ("session", 2, "the sso_session \"absent\", which does not exist"),
        ("process", 3, "the credential_process of the profile \"process\" ends with exit status: 3; run its"),
        ("words", 3, "the credential_process of the profile \"words\" does not print credentials; run its"),
        ("portal", 3, "is not logged in; log in with: aws sso login --profile portal"),
        ("token", 3, "the file with the web identity token of the profile \"token\" cannot be read"),
    ] {
        // In parallel, the SDK gives a part of the requests another message.
        for _ in 0..3 {
            for run in [
                with_config(&config).args(&["--profile", profile]),
                with_config(&config).env("AWS_PROFILE", profile),
            ] {
                let ran = at_once(run);
                assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{profile}: {}", ran.stderr);
                assert!(ran.stderr.contains(expected), "{profile}: {}", ran.stderr);
                assert!(!ran.stderr.contains("s3cret"), "{profile}: {}", ran.stderr);
                for word in SDK {
                    assert!(!ran.stderr.contains(word), "{profile}: {word}: {}", ran.stderr);
                }
                assert_eq!(ran.stderr.lines().count(), 1, "{profile}: {}", ran.stderr);
            }
        }
    }
    // The profile is missing even where no region is known.
    let ran = with_config(&config).env("AWS_REGION", "").args(&["--profile", "nope"]).run();
    assert!(ran.stderr.contains("there is no profile \"nope\""), "{}", ran.stderr);
    // Keys in the environment need no profile.
    let aws = Aws::of("study-public");
    assert_eq!(aws.audit().env("AWS_PROFILE", "nope").run().code, 1);
    let ran = with_region().args(&["--profile", "nope"]).run();
    assert!(ran.stderr.contains("there is no profile \"nope\", and no other"), "{}", ran.stderr);
}

#[test]
fn a_file_of_profiles_that_cannot_be_parsed_is_named_with_its_line() {
    let home = scratch();
    let config = home.path().join("config");
    for (text, line) in [("[default]\nregion = a\n[s3cret\n", 3), ("\naws_secret_access_key = s3cret\n", 2)] {
        std::fs::write(&config, text).unwrap();
        for run in [with_config(&config), with_config(&config).args(&["--profile", "default"])] {
            let ran = run.run();
            assert_eq!(ran.code, 2, "{}", ran.stderr);
            assert!(ran.stderr.contains(&format!("{}, line {line}: ", config.display())), "{}", ran.stderr);
            assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
        }
    }
}

/// Environment variables, arguments, and what the error contains.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a str);

#[test]
fn credentials_that_no_source_gives_are_explained() {
    let metadata = CredentialServer::serve("eu-west-1").unwrap();
    let (instance, refusing) = (metadata.url(), format!("http://{REFUSING}"));
    let role = "arn:aws:iam::444455556666:role/audit";
    let aws = Aws::of("study-public");
    aws.fault("AssumeRole", FaultKind::Expired);
    let url = aws.0.url();
    let enabled = ("AWS_EC2_METADATA_DISABLED", "false");
    let address = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    let junk = format!("http://{}", answering(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"));
    let unknown = format!("{instance}/unknown");
    let token = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/no/such/token");
    let cases: [Case; 8] = [
        (&[], &[], "there are no credentials: "),
        (&[enabled, (address, &refusing)], &[], "there are no credentials: "),
        (
            &[enabled, (address, &junk)],
            &[],
            "the instance metadata service gives this machine no credentials",
        ),
        (
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/x")],
            &[],
            "127.0.0.1:9 refuses the connection; is AWS_CONTAINER_CREDENTIALS_FULL_URI right?",
        ),
        (&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &unknown)], &[], "credentials"),
        (&[token, ("AWS_ROLE_ARN", role)], &[], "the file with the web identity token cannot be read"),
        (&[], &["--role-arn", role], "there are no credentials: "),
        (
            &[("AWS_ENDPOINT_URL", &url), ("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "B")],
            &["--role-arn", role],
            "the credentials have expired",
        ),
    ];
    for (variables, args, expected) in cases {
        let mut run = with_region().args(args);
        for (name, value) in variables {
            run = run.env(name, value);
        }
        let ran = at_once(run);
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{variables:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{variables:?}: {}", ran.stderr);
        for word in SDK {
            assert!(!ran.stderr.contains(word), "{variables:?}: {word}: {}", ran.stderr);
        }
    }
}

/// The SSO portal rejects the token that is in the cache.
#[test]
fn an_expired_sso_login_is_explained() {
    let portal = CredentialServer::serve("eu-west-1").unwrap();
    let home = scratch();
    let config = home.path().join("config");
    std::fs::write(&config, PROFILES).unwrap();
    let cache = home.path().join(".aws/sso/cache");
    std::fs::create_dir_all(&cache).unwrap();
    for expires in ["2999-01-01T00:00:00Z", "2001-01-01T00:00:00Z"] {
        let token = format!(r#"{{"accessToken": "s3cret", "expiresAt": "{expires}"}}"#);
        // The file name is the SHA-1 of the session's name.
        std::fs::write(cache.join("ee0bfd2552fbd840c02cc48b6e823320543c450f.json"), token).unwrap();
        let run = with_config(&config).env("HOME", home.path().to_str().unwrap());
        let ran = at_once(run.env("AWS_ENDPOINT_URL_SSO", &portal.url()).args(&["--profile", "portal"]));
        assert_eq!(ran.code, 3, "{}", ran.stderr);
        assert!(ran.stderr.contains("log in with: aws sso login --profile portal"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
        for word in SDK {
            assert!(!ran.stderr.contains(word), "{word}: {}", ran.stderr);
        }
    }
}

#[test]
fn names_that_no_cluster_can_have_are_refused_before_aws_is_asked() {
    let aws = Aws::of("study-public");
    let long = "a".repeat(101);
    let longer = "a".repeat(66_000);
    for name in ["my eks", "a/b", "a.b", "_a", "../x", "\u{e4}", "a\nb", &long, &longer] {
        let out = scratch();
        let dir = out.path().join("evidence");
        let dir = dir.to_str().unwrap();
        let name = format!("--cluster={name}");
        let runs: [&[&str]; 4] = [
            &["audit", &name, "--nodes", "none"],
            &["audit", "--cluster=myeks", &name, "--nodes", "none"],
            &["collect", &name, "--out", dir],
            &["trace", &name, "--", "true"],
        ];
        for args in runs {
            let run = Netcheck::new(args.iter()).env("AWS_ENDPOINT_URL", &aws.0.url());
            let ran = run
                .env("AWS_REGION", "ap-northeast-2")
                .env("AWS_ACCESS_KEY_ID", "A")
                .env("AWS_SECRET_ACCESS_KEY", "B")
                .run();
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("1 to 100 letters, digits, - and _"), "{args:?}: {}", ran.stderr);
            assert!(ran.stderr.len() < 600, "{}", ran.stderr.len());
        }
    }
    assert!(aws.0.calls().is_empty());
    // Names that AWS lists, and no cluster can have.
    aws.0.update_account(|account| {
        let cluster = account.clusters["myeks"].clone();
        account.clusters.insert(longer.clone(), cluster);
    });
    let ran = Netcheck::new(["audit", "--all-clusters", "--nodes", "none", "--format", "json"])
        .env("AWS_ENDPOINT_URL", &aws.0.url())
        .env("AWS_REGION", "ap-northeast-2")
        .env("AWS_ACCESS_KEY_ID", "A")
        .env("AWS_SECRET_ACCESS_KEY", "B")
        .run();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stdout.contains("EKS accepts no such name of a cluster"));
}
