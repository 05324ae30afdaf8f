//! Answers to probes, and bundles.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Kind, address, assert_linear, audit, write};
use crate::bundles::archive;

/// Answers to probes, and bundles.
const FILES: [Kind; 6] = [
    ("vantage points of probes", 60, |dir, items| {
        for number in 0..items {
            probe(dir, number, 1..2);
        }
    }),
    ("answers of a probe", 60, |dir, items| probe(dir, 0, 0..items)),
    ("bundles", 60, |dir, items| {
        for number in 0..items {
            bundle(
                dir,
                number,
                &format!("tcp 0 0 {}:5000 3.39.55.189:443 ESTABLISHED 1/kubelet\n", address(number)),
            );
        }
    }),
    ("rows of a bundle", 2_000, |dir, items| {
        let row = |number: usize| {
            format!("tcp 0 0 192.168.9.9:{} 3.39.55.189:443 ESTABLISHED {number}/kubelet\n", number % 60_000)
        };
        bundle(dir, 0, &(0..items).map(row).collect::<String>());
    }),
    ("addresses of a curl", 2_000, |dir, items| {
        let addresses: Vec<_> = (0..items).map(address).collect();
        let curl = format!("* IPv4: {}\n", addresses.join(", "));
        let files = [("networking/curl_api_server.txt", curl.into_bytes())];
        fs::write(dir.join("nodes/b.tar.gz"), archive(&files)).unwrap();
    }),
    ("entries of a bundle", 3_000, |dir, items| {
        let names: Vec<_> = (0..items).map(|number| format!("var_log/{number}")).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), Vec::new())).collect();
        fs::write(dir.join("nodes/b.tar.gz"), archive(&files)).unwrap();
    }),
];

/// The answers of some addresses to probes from a vantage point.
fn probe(dir: &Path, vantage: usize, numbers: std::ops::Range<usize>) {
    let cluster: Value = serde_json::from_slice(&fs::read(dir.join("cluster.json")).unwrap()).unwrap();
    let endpoint = cluster["cluster"]["endpoint"].as_str().unwrap();
    let answer = |number: usize| {
        let certificate = json!({"subject": format!("s{number}"), "issuer": "i", "names": [format!("n{number}")],
                                 "not_before": 1, "not_after": 2, "fingerprint": "00"});
        json!({"address": format!("{}:443", address(number)), "target": "endpoint", "tcp": {"result": "done"},
               "tls": {"result": "done", "trust": "unsigned", "certificate": certificate},
               "http": [{"path": "/api", "status": 200}]})
    };
    let answers: Vec<_> = numbers.map(answer).collect();
    let file =
        json!({"schema": "eks-netcheck.probe.v1", "host": &endpoint["https://".len()..], "answers": answers});
    write(dir, &format!("probe/vantage-{vantage}.json"), &file.to_string());
}

/// A bundle of a node with these rows of netstat.
fn bundle(dir: &Path, number: usize, rows: &str) {
    let head = "Active Internet connections (servers and established)\nProto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name\n";
    let files = [("system/netstat.txt", format!("{head}{rows}").into_bytes())];
    fs::write(dir.join(format!("nodes/b{number}.tar.gz")), archive(&files)).unwrap();
}

#[test]
fn time_is_linear_in_the_number_of_answers_to_probes_and_in_the_size_of_bundles() {
    assert_linear(&audit(), &FILES);
}
