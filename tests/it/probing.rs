//! Live probes: the built binary against TLS servers of every kind, which have the name of the
//! endpoint on this machine.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eks_netcheck_lab::tls::{Answers, Authority, ConnectProxy, Shows, TlsServer};
use serde_json::{Value, json};

use crate::aws::{Aws, text};
use crate::common::{Netcheck, scratch};

/// AWS with a cluster whose endpoint is a port of this machine. It has no network interfaces,
/// so that nothing but this machine is probed.
fn aws(port: u16, cas: &[Authority]) -> Aws {
    let aws = Aws::of("study-public");
    let pem: String = cas.iter().map(|ca| ca.pem()).collect();
    aws.0.update_account(|account| {
        let cluster = account.clusters.get_mut("myeks").unwrap();
        cluster["endpoint"] = json!(format!("https://localhost:{port}"));
        cluster["certificateAuthority"] = match pem.as_str() {
            "" => Value::Null,
            pem => json!({"data": STANDARD.encode(pem)}),
        };
        account.network_interfaces.clear();
    });
    aws
}

fn audit(aws: &Aws) -> Netcheck {
    aws.probing("audit").args(&["--nodes", "none", "--timeout", "3"])
}

/// The answer of 127.0.0.1 in a report.
fn answer<'a>(report: &'a Value, way: &str) -> &'a Value {
    let probes = report["probes"].as_array().unwrap();
    let is_it = |probe: &&Value| text(&probe["address"]).starts_with("127.0.0.1:") && probe["way"] == way;
    probes.iter().find(is_it).unwrap_or_else(|| panic!("{report:#}"))
}

/// The findings of the rules on probes: rule and severity.
fn findings(report: &Value) -> Vec<String> {
    let all = report["findings"].as_array().unwrap().iter();
    let of_probe = all.filter(|one| {
        ["endpoint-certificate-mismatch", "anonymous-access-open", "anonymous-version-disclosed"]
            .contains(&text(&one["rule"]))
    });
    let mut rules: Vec<_> =
        of_probe.map(|one| format!("{} {}", text(&one["rule"]), text(&one["severity"]))).collect();
    rules.sort();
    // There is one for each path.
    rules.dedup();
    rules
}

const CLOSED: Answers = Answers::Api(401, 401, 401);
const MISMATCH: &str = "endpoint-certificate-mismatch critical";

#[test]
fn certificates_are_those_of_the_clusters_ca_or_not() {
    use Authority::{First, Other, Second};
    let invalid = ["endpoint-certificate-mismatch high"].as_slice();
    for (shows, cas, trust, ca, expected) in [
        (Shows::First, &[First][..], "signed", json!([1, 1]), &[][..]),
        // Both CAs have the same name.
        (Shows::First, &[First, Second], "signed", json!([1, 2]), &[]),
        (Shows::Second, &[First, Second], "signed", json!([2, 2]), &[]),
        (Shows::Second, &[First], "unsigned", json!([null, null]), &[MISMATCH]),
        (Shows::Other, &[First, Second], "unsigned", json!([null, null]), &[MISMATCH]),
        (Shows::Other, &[Other], "signed", json!([1, 1]), &[]),
        (Shows::Expired, &[Second, First], "invalid", json!([null, null]), invalid),
        (Shows::NotYetValid, &[First], "invalid", json!([null, null]), invalid),
        (Shows::OtherName, &[First], "invalid", json!([null, null]), invalid),
        (Shows::Client, &[First], "invalid", json!([null, null]), invalid),
        // Validity and purpose do not decide whose it is.
        (Shows::ExpiredOfOther, &[First], "unsigned", json!([null, null]), &[MISMATCH]),
        (Shows::ClientOfOther, &[First], "unknown", json!([null, null]), &[]),
        // A certificate is public: without its key it proves nothing.
        (Shows::WithoutKey, &[First], "unknown", json!([null, null]), &[]),
        (Shows::First, &[], "unknown", json!([null, null]), &[]),
    ] {
        let server = TlsServer::serve(shows, CLOSED).unwrap();
        let (report, _) = audit(&aws(server.port(), cas)).json();
        let probe = answer(&report, "direct");
        let tls = &probe["tls"];
        assert_eq!(
            (&tls["trust"], json!([tls["ca"], tls["cas"]])),
            (&json!(trust), ca),
            "{shows:?}: {probe:#}"
        );
        assert_eq!(findings(&report), expected, "{shows:?}: {probe:#}");
        let certificate = &tls["certificate"];
        let issuer = if matches!(shows, Shows::Other | Shows::ExpiredOfOther | Shows::ClientOfOther) {
            "CN=Inspection CA"
        } else {
            "CN=kubernetes"
        };
        assert_eq!(certificate["issuer"], issuer);
        assert_eq!(certificate["subject"], "CN=kube-apiserver, O=example");
        assert_eq!(text(&certificate["fingerprint"]).len(), 64);
        if matches!(shows, Shows::Expired) {
            assert_eq!(certificate["not_after"], "2021-01-01T00:00:00Z");
        }
        // Requests are sent to a server of the cluster alone.
        let is_asked = ["signed", "invalid"].contains(&trust);
        assert_eq!(!server.requests().is_empty(), is_asked, "{shows:?}");
        assert_eq!(probe["http"].as_array().unwrap().len(), if is_asked { 4 } else { 0 }, "{shows:?}");
    }
}

#[test]
fn names_are_those_of_the_certificate() {
    let server = TlsServer::serve(Shows::First, CLOSED).unwrap();
    let (report, _) = audit(&aws(server.port(), &[Authority::First])).json();
    let names = &answer(&report, "direct")["tls"]["certificate"]["names"];
    assert_eq!(*names, json!(["localhost", "kubernetes", "10.100.0.1"]));
}

#[test]
fn anonymous_answers_are_judged_and_nothing_secret_is_sent() {
    for (answers, expected) in [
        (Answers::Api(401, 401, 401), &[][..]),
        (Answers::Api(403, 200, 403), &[]),
        (Answers::Api(200, 200, 403), &["anonymous-version-disclosed low"]),
        (Answers::Api(200, 200, 200), &["anonymous-access-open critical", "anonymous-version-disclosed low"]),
        (Answers::Api(500, 500, 404), &[]),
        (Answers::Redirect, &[]),
    ] {
        let server = TlsServer::serve(Shows::First, answers.clone()).unwrap();
        let (report, _) = audit(&aws(server.port(), &[Authority::First])).json();
        assert_eq!(findings(&report), expected, "{answers:?}");
        let requests = server.requests();
        let paths: Vec<_> = requests.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
        assert_eq!(paths, ["GET /version", "GET /livez", "GET /", "GET /api"], "{answers:?}");
        assert!(requests.iter().all(|line| line.ends_with(" host,user-agent,accept")), "{requests:?}");
        if matches!(answers, Answers::Api(200, ..)) {
            let version = &answer(&report, "direct")["http"][0];
            assert_eq!(version["given"], "v1.33.2-eks-1b2c3d4");
        }
        if matches!(answers, Answers::Redirect) {
            let given = text(&answer(&report, "direct")["http"][0]["given"]);
            assert!(given.contains("169.254.169.254") && given.contains("not followed"), "{given}");
        }
    }
}

#[test]
fn servers_that_are_no_api_server_are_classified_in_time() {
    for (answers, stage, result) in [
        (Answers::Plain, "tls", "protocol"),
        (Answers::Http2, "tls", "alert"),
        (Answers::Reset, "tls", "reset"),
        (Answers::SlowHandshake, "tls", "timed-out"),
        (Answers::Slowly, "http", "timed-out"),
        (Answers::EndlessHead, "http", "protocol"),
        (Answers::Closes, "http", "reset"),
        (Answers::Endless, "http", "done"),
    ] {
        let server = TlsServer::serve(Shows::First, answers.clone()).unwrap();
        let aws = aws(server.port(), &[Authority::First]);
        let began = Instant::now();
        let (ran, mib) = audit(&aws).args(&["--format", "json"]).run_measured();
        let elapsed = began.elapsed();
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let probe = answer(&report, "direct");
        let of_stage = if stage == "tls" { &probe["tls"] } else { &probe["http"][0] };
        assert_eq!(of_stage["result"], result, "{answers:?}: {probe:#}");
        assert_eq!(probe["tcp"]["result"], "done", "{answers:?}");
        assert!(elapsed < Duration::from_secs(7), "{answers:?}: {elapsed:?}");
        assert!(mib < 200, "{answers:?}: {mib} MiB");
        // A body of any size is cut.
        assert!(ran.stdout.len() < 100_000, "{answers:?}");
        let critical = if matches!(answers, Answers::Endless) { 2 } else { 0 };
        assert_eq!(findings(&report).len(), critical, "{answers:?}: {:?}", findings(&report));
    }
}

#[test]
fn an_address_that_refuses_is_an_observation_and_no_gap() {
    // Bound and not listening: nothing else can take the port.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let aws = aws(closed, &[Authority::First]);
    let (report, _) = audit(&aws).json();
    assert_eq!(answer(&report, "direct")["tcp"]["result"], "refused");
    assert!(crate::aws::gap(&report, "probe/here.json").is_none(), "{report:#}");
    let not_judged = report["not_judged"].as_array().unwrap();
    let detail = not_judged.iter().find(|one| one["rule"] == "endpoint-certificate-mismatch").unwrap();
    assert!(text(&detail["detail"]).contains("refused"), "{detail}");
}

#[test]
fn a_recording_gives_the_same_findings_as_the_live_audit() {
    for (shows, answers) in
        [(Shows::Other, CLOSED), (Shows::First, Answers::Api(200, 200, 200)), (Shows::Expired, CLOSED)]
    {
        let server = TlsServer::serve(shows, answers).unwrap();
        let aws = aws(server.port(), &[Authority::First]);
        let dir = scratch();
        let out = dir.path().join("evidence");
        let collected =
            aws.probing("collect").args(&["--nodes", "none", "--timeout", "3", "--out"]).arg(&out).run();
        assert_eq!(collected.code, 0, "{}", collected.stderr);
        let (recorded, _) = Netcheck::audit(&out).json();
        let (live, _) = audit(&aws).json();
        assert_eq!(findings(&recorded), findings(&live));
        assert!(!findings(&live).is_empty());
        assert_eq!(answer(&recorded, "direct"), answer(&live, "direct"));
    }
}

/// The address with which this host connects is recorded, whether or not anything answers; on the
/// way through a proxy the other end sees the proxy's.
#[test]
fn the_own_address_of_this_host_is_recorded() {
    let server = TlsServer::serve(Shows::First, CLOSED).unwrap();
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let proxy = ConnectProxy::serve(200).unwrap();
    let url = format!("http://127.0.0.1:{}", proxy.port());
    let mut direct = 0;
    for port in [server.port(), refused] {
        let dir = scratch();
        let out = dir.path().join("evidence");
        let aws = aws(port, &[Authority::First]);
        let collect = aws.probing("collect").env("HTTPS_PROXY", &url);
        let ran = collect.args(&["--nodes", "none", "--timeout", "3", "--out"]).arg(&out).run();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let file = std::fs::read(out.join("probe/here.json")).unwrap();
        let file: Value = serde_json::from_slice(&file).unwrap();
        for answer in file["answers"].as_array().unwrap() {
            let own = if text(&answer["address"]).starts_with('[') { "::1" } else { "127.0.0.1" };
            let expected = if answer["proxy"].is_null() { json!(own) } else { Value::Null };
            assert_eq!(answer["source"], expected, "{answer:#}");
            direct += usize::from(answer["proxy"].is_null());
        }
    }
    assert!(direct >= 2, "{direct}");
}

#[test]
fn without_probes_nothing_is_dialled_and_the_rules_are_not_judged() {
    let server = TlsServer::serve(Shows::Other, CLOSED).unwrap();
    let aws = aws(server.port(), &[Authority::First]);
    let (report, _) = aws.audit().json();
    assert_eq!(report["probes"], json!([]));
    assert_eq!(findings(&report), [] as [&str; 0]);
    let not_judged = report["not_judged"].as_array().unwrap().iter();
    assert_eq!(not_judged.filter(|one| text(&one["what"]) == "probe/here.json").count(), 3);
    let dir = scratch();
    let out = dir.path().join("evidence");
    let collected = aws.run("collect").args(&["--nodes", "none", "--timeout", "3", "--out"]).arg(&out).run();
    assert_eq!(collected.code, 0, "{}", collected.stderr);
    assert!(!out.join("probe").exists());
}

#[test]
fn a_proxy_is_used_besides_and_its_credentials_are_not_shown() {
    let server = TlsServer::serve(Shows::First, CLOSED).unwrap();
    let aws = aws(server.port(), &[Authority::First]);
    for (status, credentials, result) in
        [(200, "", "done"), (200, "user:secret@", "done"), (403, "", "proxy"), (407, "user:secret@", "proxy")]
    {
        let proxy = ConnectProxy::serve(status).unwrap();
        let url = format!("http://{credentials}127.0.0.1:{}", proxy.port());
        let (report, _) = audit(&aws).env("HTTPS_PROXY", &url).json();
        assert_eq!(answer(&report, "direct")["tls"]["trust"], "signed");
        let by_proxy = answer(&report, "proxy");
        assert_eq!(by_proxy["tcp"]["result"], result, "{status}: {by_proxy:#}");
        assert_eq!(by_proxy["proxy"], format!("127.0.0.1:{}", proxy.port()));
        if status == 200 {
            assert_eq!(by_proxy["tls"]["trust"], "signed", "{by_proxy:#}");
            assert_eq!(by_proxy["http"][3]["status"], 401, "{by_proxy:#}");
        }
        let sent: Vec<_> = proxy.requests().into_iter().filter_map(|(_, credentials)| credentials).collect();
        let encoded = format!("Basic {}", STANDARD.encode("user:secret"));
        assert_eq!(sent.contains(&encoded), !credentials.is_empty(), "{sent:?}");
        assert!(!report.to_string().contains("secret@") && !report.to_string().contains("user:secret"));
        let excepted = audit(&aws).env("HTTPS_PROXY", &url).env("NO_PROXY", "localhost").json().0;
        let ways: Vec<_> =
            excepted["probes"].as_array().unwrap().iter().map(|one| one["way"].clone()).collect();
        assert!(!ways.is_empty() && ways.iter().all(|way| way == "direct"), "{ways:?}");
    }
}

/// What an attempt from here shows is the answer of `reach`.
#[test]
fn reach_answers_by_an_attempt_from_here() {
    let reach = |aws: &Aws| aws.probing("reach").args(&["--timeout", "3"]).json();
    let step = |report: &Value, name: &str| {
        let steps = report["steps"].as_array().unwrap();
        steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("{report:#}")).clone()
    };
    for (shows, code, verdict, result) in [
        (Shows::First, 0, "yes", "met"),
        (Shows::Other, 1, "no", "not-met"),
        (Shows::Second, 1, "no", "not-met"),
    ] {
        let server = TlsServer::serve(shows, CLOSED).unwrap();
        let (report, exit) = reach(&aws(server.port(), &[Authority::First]));
        assert_eq!((exit, &report["verdict"]), (code, &json!(verdict)), "{shows:?}: {report:#}");
        assert_eq!(step(&report, "tls")["result"], result, "{report:#}");
        assert_eq!(step(&report, "route")["result"], "met", "{report:#}");
    }
    // Bound and not listening: it refuses.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (report, exit) = reach(&aws(closed.local_addr().unwrap().port(), &[Authority::First]));
    assert_eq!((exit, &report["verdict"]), (1, &json!("no")), "{report:#}");
    let steps = report["steps"].as_array().unwrap();
    let last = steps.last().unwrap();
    assert!(last["result"] == "not-met" && last["why"].to_string().contains("as seen: "), "{last:#}");
    // Without an attempt nothing is known.
    let aws = aws(closed.local_addr().unwrap().port(), &[Authority::First]);
    assert_eq!(aws.run("reach").args(&["--timeout", "3"]).json().1, 3);
}
