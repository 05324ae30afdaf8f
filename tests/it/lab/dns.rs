//! Answers and failures of name servers.

use std::net::{IpAddr, SocketAddr};

use eks_netcheck_lab::dns::{Behaviour, Entry, NameServer};
use eks_netcheck_lab::sandbox::{ENDPOINT_HOST, ENIS, OPERATOR};
use serde_json::json;

use super::{Access, testbed};

#[test]
fn name_server_failures_are_distinguished() {
    let testbed = testbed(Access::Private);
    testbed.dial(ENIS);
    let server =
        NameServer::serve_in(&testbed.lab.operator_netns(), SocketAddr::from((OPERATOR, 5353))).unwrap();
    let resolver = server.address().to_string();
    let file = format!("dns/{resolver}.txt");
    let enis = ENIS.map(IpAddr::V4).to_vec();
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let unanswered = [
        (Behaviour::NxDomain, "no-answer", "NXDOMAIN"),
        (Behaviour::NoData, "no-answer", "NOERROR"),
        (Behaviour::ServFail, "failed", "SERVFAIL"),
        (Behaviour::Refused, "failed", "REFUSED"),
        (Behaviour::Timeout, "timed-out", "no answer within 3 s"),
        (Behaviour::WrongId, "timed-out", "no answer within 3 s"),
        (Behaviour::TruncatedNoTcp, "failed", ""),
        (Behaviour::CnameLoop, "no-answer", ""),
    ];
    for (behaviour, why, detail) in unanswered {
        let name = format!("{behaviour:?}");
        server.set(ENDPOINT_HOST, Entry::failing(behaviour));
        let (report, code) = testbed.audit(&["--resolver", &resolver, "--timeout", "3"]);
        let gap = report["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == file.as_str());
        let gap = gap.unwrap_or_else(|| panic!("{name}: {report:#}"));
        assert_eq!(gap["why"], why, "{name}: {gap}");
        assert!(gap["detail"].as_str().unwrap().contains(detail), "{name}: {gap}");
        // All nodes and this machine resolve the name, so that no rule needs this answer.
        assert_eq!((code, &gap["rules"]), (0, &json!([])), "{name}: {report:#}");
    }
    let many: Vec<IpAddr> = (1..=200).map(|last| IpAddr::from([10, 9, 0, last])).collect();
    let with = |behaviour: Behaviour| Entry::addresses(enis.clone()).with_behaviour(behaviour);
    let answered = [
        ("plain", Entry::addresses(enis.clone()), enis.clone()),
        ("truncated", with(Behaviour::Truncated), enis.clone()),
        ("aliases", with(Behaviour::CnameChain(3)), enis.clone()),
        ("AAAA only", Entry::addresses([v6]), vec![v6]),
        ("large", Entry::addresses(many.clone()), many),
    ];
    for (name, entry, addresses) in answered {
        server.set(ENDPOINT_HOST, entry);
        let (report, _) = testbed.audit(&["--resolver", &resolver]);
        let answer = report["dns"].as_array().unwrap().iter().find(|dns| dns["vantage"] == resolver.as_str());
        let answer = answer.unwrap_or_else(|| panic!("{name}: {report:#}"));
        assert_eq!(answer["addresses"], json!(addresses), "{name}");
    }
}
