//! Recorded answers to probes: `probe/VANTAGE.json` read and written.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use eks_netcheck::evidence::directory::EvidenceDir;
use eks_netcheck::evidence::probe::{parse_probe, write_probe};
use eks_netcheck::model::probe::{
    AddressProbe, Attempt, Certificate, HttpAnswer, Probe, ProbeCause, ProbeFailure, ProbeTarget, ProbeWay,
    TlsAttempt, Trust,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of};

fn failure() -> impl Strategy<Value = ProbeFailure> {
    let cause = prop::sample::select(vec![
        ProbeCause::TimedOut,
        ProbeCause::Refused,
        ProbeCause::Reset,
        ProbeCause::NoRoute,
        ProbeCause::Alert,
        ProbeCause::Protocol,
        ProbeCause::Proxy,
        ProbeCause::Failed,
    ]);
    (cause, "x.{0,19}").prop_map(|(cause, detail)| ProbeFailure { cause, detail })
}

fn attempt() -> impl Strategy<Value = Attempt> {
    prop_oneof![Just(Attempt::Done), failure().prop_map(Attempt::Failed)]
}

fn certificate() -> impl Strategy<Value = Certificate> {
    (".{0,20}", ".{0,20}", prop::collection::vec(".{0,20}", 0..3), any::<i64>(), any::<i64>(), "[0-9a-f]{64}")
        .prop_map(|(subject, issuer, names, not_before, not_after, fingerprint)| Certificate {
            subject,
            issuer,
            names,
            not_before,
            not_after,
            fingerprint,
        })
}

fn tls() -> impl Strategy<Value = TlsAttempt> {
    let of_shown = prop_oneof![
        (1..3_usize, 0..2_usize).prop_map(|(position, more)| Trust::Signed { position, of: position + more }),
        "x.{0,19}".prop_map(Trust::Invalid),
        Just(Trust::Unsigned),
        "x.{0,19}".prop_map(Trust::Unknown),
    ];
    let shown = (certificate(), of_shown).prop_map(|(certificate, trust)| (Some(certificate), trust));
    let none = "x.{0,19}".prop_map(|why| (None, Trust::Unknown(why)));
    (prop_oneof![shown, none], attempt()).prop_map(|((certificate, trust), handshake)| TlsAttempt {
        certificate,
        trust,
        handshake,
    })
}

fn http() -> impl Strategy<Value = HttpAnswer> {
    let status = prop_oneof![(100..1000_u16).prop_map(Ok), failure().prop_map(Err)];
    ("/[a-z]{0,9}", status, prop::option::of(".{0,20}")).prop_map(|(path, status, given)| HttpAnswer {
        path,
        status,
        given,
    })
}

fn answer() -> impl Strategy<Value = AddressProbe> {
    let target = prop::sample::select(vec![ProbeTarget::Endpoint, ProbeTarget::Eni, ProbeTarget::Peer]);
    let way = prop_oneof![Just(ProbeWay::Direct), "[a-z]{1,9}:3128".prop_map(ProbeWay::Proxy)];
    let address = (any::<IpAddr>(), any::<u16>());
    let address = address.prop_map(|(address, port)| SocketAddr::new(address.to_canonical(), port));
    let source = prop::option::of(any::<IpAddr>().prop_map(|address| address.to_canonical()));
    (address, target, way, source, attempt(), prop::option::of(tls()), prop::collection::vec(http(), 0..4))
        .prop_map(|(address, target, way, source, tcp, tls, http)| AddressProbe {
            address,
            target,
            way,
            source,
            tcp,
            tls,
            http,
        })
}

fn schema() -> jsonschema::Validator {
    let schema = fs::read(crate::docs::probe_schema_path()).unwrap();
    jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn probes_round_trip(host in ".{0,20}", answers in prop::collection::vec(answer(), 0..5)) {
        let mut answers = answers;
        answers.sort_by(|a, b| (a.address, &a.way).cmp(&(b.address, &b.way)));
        answers.dedup_by(|a, b| (a.address, &a.way) == (b.address, &b.way));
        let probe = Probe { vantage: "here".to_owned(), host, tool: eks_netcheck::model::probe::ProbeTool::Own, answers };
        let file = write_probe(&probe).unwrap();
        prop_assert_eq!(parse_probe("here", &file), Ok(probe));
        prop_assert!(schema().is_valid(&serde_json::from_slice(&file).unwrap()));
    }

    /// Any change of one byte gives a probe or an error that names its place.
    #[test]
    fn damaged_files_are_read_or_refused(answers in prop::collection::vec(answer(), 1..3), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let probe = Probe { vantage: "here".to_owned(), host: "h".to_owned(), tool: eks_netcheck::model::probe::ProbeTool::Own, answers };
        let mut file = write_probe(&probe).unwrap();
        let at = at.index(file.len());
        file[at] = byte;
        if let Ok(read) = parse_probe("here", &file) {
            let again = write_probe(&read).unwrap();
            prop_assert_eq!(parse_probe("here", &again), Ok(read));
        }
    }
}

/// The endpoint of the story `private-only`.
const HOST: &str = "8B857F92D98438110A2D4B43839D2B47.gr7.ap-northeast-2.eks.amazonaws.com";

/// A file of one answer, changed.
fn file(change: impl FnOnce(&mut Value)) -> Value {
    let mut file = json!({
        "schema": "eks-netcheck.probe.v1",
        "host": HOST,
        "answers": [{
            "address": "3.39.55.189:443",
            "target": "endpoint",
            "tcp": {"result": "done"},
            "tls": {
                "result": "done", "trust": "signed", "ca": 1, "cas": 1,
                "certificate": {
                    "subject": "CN=kube-apiserver", "issuer": "CN=kubernetes", "names": ["kubernetes"],
                    "not_before": 0, "not_after": 1, "fingerprint": "00",
                },
            },
            "http": [{"path": "/version", "status": 401}],
        }],
    });
    change(&mut file);
    file
}

fn put(dir: &Path, name: &str, text: &str) {
    fs::create_dir_all(dir.join("probe")).unwrap();
    fs::write(dir.join("probe").join(name), text).unwrap();
}

#[test]
fn a_bad_probe_ends_the_audit_and_is_named() {
    let answer = |change: fn(&mut Value)| file(|file| change(&mut file["answers"][0])).to_string();
    let many = |count: usize, of: &str| {
        file(|file| {
            let list = file["answers"].as_array_mut().unwrap();
            match of {
                "answers" => {
                    let one = list[0].clone();
                    *list = (0..count)
                        .map(|at| {
                            let mut one = one.clone();
                            one["address"] = json!(format!("192.0.{}.{}:443", at / 256, at % 256));
                            one
                        })
                        .collect();
                }
                "http" => list[0]["http"] = json!(vec![json!({"path": "/", "status": 200}); count]),
                _ => list[0]["tls"]["certificate"]["names"] = json!(vec!["x"; count]),
            }
        })
        .to_string()
    };
    for (text, problem) in [
        (String::new(), "empty"),
        ("{}".to_owned(), "missing field `schema`"),
        (format!("{{\"answers\": {}", "[".repeat(100_000)), "answers[0]"),
        (file(|file| file["schema"] = json!("eks-netcheck.probe.v2")).to_string(), "its schema is"),
        (answer(|one| one["address"] = json!("endpoint:443")), "invalid socket address"),
        (answer(|one| one["address"] = json!("127.0.0.1; rm -rf /")), "invalid socket address"),
        (answer(|one| one["tls"]["ca"] = json!(2)), "ca from 1 to cas"),
        (answer(|one| one["tls"]["certificate"] = Value::Null), "trust is known"),
        (answer(|one| one["http"][0]["status"] = json!(0)), "one of status and failed"),
        (answer(|one| one["http"][0]["status"] = json!(70_000)), "invalid value"),
        (answer(|one| one["http"][0]["failed"] = json!({"result": "reset"})), "one of status and failed"),
        (answer(|one| one["http"][0] = json!({"path": "/", "failed": {"result": "done"}})), "has no status"),
        (many(257, "answers"), "more answers"),
        (many(1001, "http"), "more answers"),
        (many(1001, "names"), "more answers"),
        (
            file(|file| {
                let list = file["answers"].as_array_mut().unwrap();
                let mut again = list[0].clone();
                again["address"] = json!("[::ffff:3.39.55.189]:443");
                list.push(again);
            })
            .to_string(),
            "twice",
        ),
        (" ".repeat((4 << 20) + 1), "limit of 4 MiB"),
    ] {
        let copy = copy_of("private-only");
        put(copy.path(), "here.json", &text);
        let ran = Netcheck::audit(copy.path()).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{problem}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("probe/here.json") && ran.stderr.contains(problem),
            "{problem}: {}",
            ran.stderr
        );
    }
    for name in ["here.txt", "-x.json", "here"] {
        let copy = copy_of("private-only");
        put(copy.path(), name, &file(|_| {}).to_string());
        let ran = Netcheck::audit(copy.path()).run();
        assert_eq!(ran.code, 2, "{name}");
        assert!(ran.stderr.contains(name), "{}", ran.stderr);
    }
    let copy = copy_of("private-only");
    put(copy.path(), "here.json", &file(|_| {}).to_string());
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
    put(copy.path(), "n1.json", &many(256, "answers"));
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
}

#[test]
fn probes_are_read_from_every_vantage_point() {
    let copy = copy_of("private-only");
    for name in ["n1.json", "here.json"] {
        put(copy.path(), name, &file(|_| {}).to_string());
    }
    let evidence = EvidenceDir::open(copy.path()).unwrap().read("myeks").unwrap();
    let vantages: Vec<_> = evidence.probes.iter().map(|probe| probe.vantage.as_str()).collect();
    assert_eq!(vantages, ["here", "n1"]);
    let address: IpAddr = "3.39.55.189".parse().unwrap();
    let of_address: Vec<_> = evidence.probe("n1").unwrap().of(address).collect();
    assert_eq!(of_address.len(), 1);
    assert!(of_address[0].is_reached() && of_address[0].is_api_server());
    assert!(evidence.probe("n2").is_none());
}

/// The report on private-only, where kubelet of n1 is connected to `peer`, which answered a probe.
fn with_probed_peer(peer: &str, tls: &Value) -> Value {
    let copy = copy_of("private-only");
    let path = copy.path().join("nodes/n1.txt");
    let row = format!("ESTAB 0 0 192.168.1.20:46712 {peer}:443 users:((\"kubelet\",pid=3011,fd=22))\n");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text + &row).unwrap();
    let probe = file(|file| {
        let one = &mut file["answers"][0];
        one["address"] = json!(format!("{peer}:443"));
        one["target"] = json!("peer");
        one["tls"] = tls.clone();
    });
    put(copy.path(), "here.json", &probe.to_string());
    Netcheck::audit(copy.path()).json().0
}

/// A peer that nothing explains is the API server if its certificate shows that, and stays
/// unattributed where it may be a load balancer of the operator.
#[test]
fn a_peer_is_attributed_by_its_certificate() {
    let of = |trust: &str| {
        let mut tls = file(|_| {})["answers"][0]["tls"].clone();
        tls["trust"] = json!(trust);
        tls
    };
    for (peer, trust, path, by, message) in [
        ("8.8.4.4", "signed", "public-endpoint", "tls", ""),
        ("8.8.4.4", "unsigned", "unattributed", "none", "not this cluster's API server"),
        ("8.8.4.4", "invalid", "unattributed", "none", "not valid"),
        ("8.8.4.4", "unknown", "unattributed", "none", "shows a certificate of"),
        // In the VPC, in another private network, in a network of a carrier.
        ("192.168.1.77", "signed", "unattributed", "none", "or a load balancer before it"),
        ("10.9.8.7", "signed", "unattributed", "none", "or a load balancer before it"),
        ("100.64.3.4", "signed", "unattributed", "none", "or a load balancer before it"),
        // What an interface explains is not attributed again.
        ("192.168.11.20", "signed", "vpc", "eni", ""),
        ("192.168.1.55", "unsigned", "private-eni", "eni", ""),
    ] {
        let report = with_probed_peer(peer, &of(trust));
        let rows = report["connections"].as_array().unwrap();
        let row = rows
            .iter()
            .find(|row| row["local"] == "192.168.1.20:46712" && row["peer"] == format!("{peer}:443"));
        let row = row.unwrap_or_else(|| panic!("{peer} {trust}"));
        assert_eq!((&row["path"], &row["by"]), (&json!(path), &json!(by)), "{peer} {trust}");
        let findings = report["findings"].as_array().unwrap();
        let finding = findings.iter().find(|finding| finding["rule"] == "unattributed-connection");
        let text = finding.map(|finding| finding["message"].as_str().unwrap()).unwrap_or_default();
        assert_eq!(text.is_empty(), message.is_empty(), "{peer} {trust}: {text}");
        assert!(text.contains(message), "{peer} {trust}: {text}");
    }
}

/// Probes of many nodes are one phrase: what fewer reached comes before what all reached, and
/// nothing is said of certificates where they are not checked.
#[test]
fn probes_of_many_nodes_are_one_phrase() {
    let copy = copy_of("private-only");
    put(copy.path(), "here.json", &file(|_| {}).to_string());
    let of_node = |tool: &str, is_reached: bool| {
        let text = file(|file| {
            file["tool"] = json!(tool);
            let answer = file["answers"][0].as_object_mut().unwrap();
            answer.remove("tls");
            answer.remove("http");
            if !is_reached {
                answer["tcp"] = json!({"result": "timed-out", "detail": "no answer in 5 s"});
            }
        });
        text.to_string()
    };
    for node in ["n1", "n2"] {
        put(copy.path(), &format!("{node}.json"), &of_node("curl", false));
    }
    for number in 10..1000 {
        put(copy.path(), &format!("n{number}.json"), &of_node("bash", true));
    }
    let ran = Netcheck::audit(copy.path()).env("COLUMNS", "80").run();
    let is_probed = |line: &&str| !line.starts_with("Probed");
    let row = ran.stdout.lines().skip_while(is_probed).enumerate();
    let row = row.take_while(|(at, line)| *at == 0 || line.starts_with(' '));
    let row: Vec<_> = row.map(|(_, line)| line).collect();
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("probed-80", row.join("\n"));
    });
}

/// A probe of another cluster's endpoint, or of another port, shows nothing of this cluster.
#[test]
fn a_probe_of_another_endpoint_is_refused() {
    const OTHER: &str = "AAAABBBBCCCCDDDDEEEEFFFF00001111.gr7.ap-northeast-2.eks.amazonaws.com";
    for (host, is_own) in [
        (HOST.to_owned(), true),
        (HOST.to_lowercase(), true),
        (format!("{HOST}."), true),
        (HOST.replace(".eks.amazonaws.com", ".eks.api.aws"), true),
        (OTHER.to_owned(), false),
        ("localhost".to_owned(), false),
        (String::new(), false),
    ] {
        let copy = copy_of("private-only");
        put(copy.path(), "n1.json", &file(|file| file["host"] = json!(host)).to_string());
        for command in ["audit", "simulate"] {
            let run = Netcheck::new([command, "--cluster", "myeks", "--evidence"]).arg(copy.path());
            let run = if command == "simulate" { run.args(&["--access", "private"]) } else { run };
            let ran = run.run();
            assert_eq!(ran.code == 2, !is_own, "{command} {host:?}: {}", ran.stderr);
            let names = ["probe/n1.json", HOST, &host];
            assert!(is_own || names.iter().all(|name| ran.stderr.contains(name)), "{host:?}: {}", ran.stderr);
        }
    }
    let copy = copy_of("private-only");
    let of_ssh = file(|file| file["answers"][0]["address"] = json!("192.168.1.55:22"));
    put(copy.path(), "here.json", &of_ssh.to_string());
    let ran = Netcheck::audit(copy.path()).run();
    assert!(ran.code == 2 && ran.stderr.contains("192.168.1.55:22"), "{}", ran.stderr);
}

/// A failure without a text has the words of its cause.
#[test]
fn no_sentence_has_a_hole_where_a_failure_has_no_text() {
    for detail in [Value::Null, json!(""), json!(" ")] {
        let silent = file(|file| {
            let one = &mut file["answers"][0];
            one["tcp"] = json!({"result": "timed-out"});
            if !detail.is_null() {
                one["tcp"]["detail"] = detail.clone();
            }
            one["tls"] = Value::Null;
            one["http"] = json!([]);
        });
        let probe = parse_probe("here", silent.to_string().as_bytes()).unwrap();
        assert_eq!(probe.answers[0].failure().unwrap().detail, "nothing answered in time");
    }
    let unknown = file(|file| file["answers"][0]["tls"]["trust"] = json!("unknown"));
    let probe = parse_probe("here", unknown.to_string().as_bytes()).unwrap();
    let why = probe.answers[0].tls.as_ref().unwrap().trust.why().map(str::to_owned);
    assert_eq!(why.as_deref(), Some("the reason is not recorded"));
}

/// What answers at an ENI's address is the API server where its certificate shows that, or where
/// no other host can have the address.
#[test]
fn an_answer_at_the_address_of_an_eni_may_be_another_host() {
    let of = |name: &str, tool: &str, tls: Option<&str>| {
        let copy = copy_of("private-only");
        let probe = file(|file| {
            file["tool"] = json!(tool);
            let one = &mut file["answers"][0];
            one["address"] = json!("192.168.1.55:443");
            one["target"] = json!("eni");
            match tls {
                Some(trust) => one["tls"]["trust"] = json!(trust),
                None => one["tls"] = Value::Null,
            }
        });
        put(copy.path(), &format!("{name}.json"), &probe.to_string());
        let run = Netcheck::new(["reach", "--cluster", "myeks", "--from", name, "--evidence"]);
        run.arg(copy.path()).json()
    };
    for (tls, code, verdict) in [
        (Some("signed"), 0, "yes"),
        (Some("unsigned"), 1, "no"),
        (Some("unknown"), 3, "unknown"),
        (None, 3, "unknown"),
    ] {
        let (report, ran) = of("here", "eks-netcheck", tls);
        assert_eq!((ran, &report["verdict"]), (code, &json!(verdict)), "{tls:?}: {report:#}");
        assert!(!report.to_string().contains("no certificate was seen") || tls.is_none(), "{report:#}");
    }
    // In the VPC, which EC2 shows.
    for tool in ["curl", "bash"] {
        let (report, code) = of("n1", tool, None);
        assert_eq!((code, &report["verdict"]), (0, &json!("yes")), "{tool}: {report:#}");
    }
}
