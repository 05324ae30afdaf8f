//! Tests of the API server over TCP.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

fn evidence_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/evidence")
}

fn study_account() -> Account {
    Account::from_evidence(&evidence_dir().join("study-public")).expect("recorded evidence")
}

/// Sends one request on a new connection, and returns the response's head and body.
fn exchange(api: &Api, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(api.address()).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    stream.write_all(request.as_bytes()).expect("the request is sent");
    // The server responds, and then closes the connection too.
    stream.shutdown(Shutdown::Write).expect("the write side is shut down");
    let mut text = Vec::new();
    stream.read_to_end(&mut text).expect("the server closes the connection");
    let text = String::from_utf8(text).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    (head.to_owned(), body.to_owned())
}

fn signed(service: &str, method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: test/1\r\nContent-Length: {}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=AKID/20260102/eu-west-1/{service}/aws4_request, \
         Signature=0\r\n\r\n{body}",
        body.len()
    )
}

fn post(api: &Api, form: &str) -> (String, String) {
    exchange(api, &signed("ec2", "POST", "/", form))
}

fn get(api: &Api, path: &str) -> (String, String) {
    exchange(api, &signed("eks", "GET", path, ""))
}

/// The contents of all elements named `name`.
fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).skip(1).filter_map(|rest| Some(rest.split_once(&close)?.0)).collect()
}

#[test]
fn every_evidence_fixture_can_be_served() {
    let calls = [
        "DescribeNetworkInterfaces&IncludeManagedResources=true",
        "DescribeInstances&IncludeManagedResources=true",
        "DescribeVpcs",
        "DescribeSubnets",
        "DescribeDhcpOptions",
        "DescribeNatGateways",
        "DescribeRouteTables",
        "DescribeSecurityGroups",
    ];
    for fixture in fs::read_dir(evidence_dir()).expect("the fixtures") {
        let fixture = fixture.expect("a directory").path();
        let account = Account::from_evidence(&fixture).expect("recorded evidence");
        assert!(
            !account.clusters.is_empty() && !account.network_interfaces.is_empty(),
            "{}",
            fixture.display()
        );
        let api = Api::serve(account).expect("a port");
        for call in calls {
            let (head, body) = post(&api, &format!("Action={call}&Version=2016-11-15"));
            assert!(head.starts_with("HTTP/1.1 200 "), "{}: {call}: {body}", fixture.display());
            assert!(body.contains("<item>"), "{}: {call}: {body}", fixture.display());
        }
    }
}

#[test]
fn describe_cluster_finds_known_clusters_only() {
    let api = Api::serve(study_account()).expect("a port");
    let (head, body) = get(&api, "/clusters/myeks");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body["cluster"]["resourcesVpcConfig"]["endpointPublicAccess"], true);
    assert!(body["cluster"]["createdAt"].is_f64(), "{}", body["cluster"]["createdAt"]);

    let (head, body) = get(&api, "/clusters/no%20such");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert!(head.contains("\r\nx-amzn-ErrorType: ResourceNotFoundException\r\n"), "{head}");
    assert_eq!(body, json!({ "message": "No cluster found for name: no such." }).to_string());
}

#[test]
fn list_clusters_is_paginated() {
    let mut account = Account::default();
    for name in ["a", "b", "c"] {
        account.clusters.insert(name.to_owned(), json!({ "name": name }));
    }
    let api = Api::serve(account).expect("a port");
    assert_eq!(get(&api, "/clusters?maxResults=2").1, r#"{"clusters":["a","b"],"nextToken":"lab+2/2=="}"#);
    let second = get(&api, "/clusters?maxResults=2&nextToken=lab%2B2%2F2%3D%3D").1;
    assert_eq!(second, r#"{"clusters":["c"],"nextToken":null}"#);
    assert!(get(&api, "/clusters?nextToken=x").0.starts_with("HTTP/1.1 400 "));
}

#[test]
fn account_page_size_limits_the_page_size() {
    let mut account = study_account();
    let interface = account.network_interfaces[0].clone();
    account.network_interfaces = (0..200)
        .map(|number| {
            let mut interface = interface.clone();
            interface["NetworkInterfaceId"] = json!(format!("eni-{number:03}"));
            interface
        })
        .collect();
    account.page_size = Some(5);
    let api = Api::serve(account).expect("a port");
    let (mut count, mut form) = (0, "Action=DescribeNetworkInterfaces&MaxResults=1000".to_owned());
    loop {
        let body = post(&api, &form).1;
        count += body.matches("<networkInterfaceId>").count();
        let [token] = elements(&body, "nextToken")[..] else { break };
        let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
        form = format!("Action=DescribeNetworkInterfaces&NextToken={token}");
    }
    let pages: Vec<_> = api.calls().iter().map(|call| call.page).collect();
    assert_eq!((count, pages), (200, (1..=40).collect()));
}

#[test]
fn managed_interfaces_are_returned_on_request_only() {
    let mut account = study_account();
    account.network_interfaces.truncate(2);
    account.network_interfaces[0]["Operator"] = json!({ "Managed": true, "Principal": "eks.amazonaws.com" });
    let api = Api::serve(account).expect("a port");
    let count = |form: &str| post(&api, form).1.matches("<networkInterfaceId>").count();
    assert_eq!(count("Action=DescribeNetworkInterfaces"), 1);
    assert_eq!(count("Action=DescribeNetworkInterfaces&IncludeManagedResources=true"), 2);
}

#[test]
fn instances_are_filtered_within_their_reservations() {
    let instance = |id: &str, state: &str| json!({ "InstanceId": id, "State": { "Name": state } });
    let reservations = vec![
        json!({ "Instances": [instance("i-1", "running"), instance("i-2", "stopped")] }),
        json!({ "Instances": [instance("i-3", "stopped")] }),
    ];
    let api = Api::serve(Account { reservations, ..Account::default() }).expect("a port");
    let ids = |form: &str| {
        let body = post(&api, form).1;
        elements(&body, "instanceId").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let running = "Action=DescribeInstances&Filter.1.Name=instance-state-name&Filter.1.Value.1=running";
    assert_eq!(ids(running), ["i-1"]);
    assert_eq!(ids("Action=DescribeInstances&InstanceId.1=i-3"), ["i-3"]);
}

#[test]
fn unsupported_requests_are_rejected() {
    let api = Api::serve(study_account()).expect("a port");
    for (form, code) in [
        ("Action=DescribeVpcs&Filter.1.Name=colour&Filter.1.Value.1=red", "InvalidParameterValue"),
        ("Action=DescribeVpcs&MaxResults=3", "InvalidParameterValue"),
        ("Action=DescribeVpcs&NextToken=x", "InvalidNextToken"),
        ("Action=DescribeVpcs&Colour=red", "UnknownParameter"),
        ("Action=DescribeVpcs&VpcId.1=vpc-none", "InvalidVpcID.NotFound"),
        ("Action=DescribeVpcAttribute&VpcId=vpc-none&Attribute=enableDnsSupport", "InvalidVpcID.NotFound"),
        ("Action=DescribeImages", "InvalidAction"),
    ] {
        let (head, body) = post(&api, form);
        assert!(head.starts_with("HTTP/1.1 400 "), "{form}: {head}");
        assert_eq!(elements(&body, "Code"), [code], "{form}");
    }
    let (head, body) = exchange(&api, "GET /clusters/myeks HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert!(head.contains("x-amzn-ErrorType: MissingAuthenticationToken"), "{head}{body}");
}

#[test]
fn account_can_be_updated_while_the_server_runs() {
    let api = Api::serve(study_account()).expect("a port");
    let form = "Action=DescribeVpcAttribute&VpcId=vpc-0acc8989bae6e7464&Attribute=enableDnsHostnames";
    assert_eq!(elements(&post(&api, form).1, "value"), ["true"]);
    api.update_account(|account| account.dns_hostnames = false);
    assert_eq!(elements(&post(&api, form).1, "value"), ["false"]);
}

#[test]
fn assume_role_returns_the_access_key_of_the_role() {
    let api = Api::serve(Account::default()).expect("a port");
    let role = "Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Freader&RoleSessionName=me";
    let body = exchange(&api, &signed("sts", "POST", "/", role)).1;
    assert_eq!(elements(&body, "Arn"), ["arn:aws:sts::1:assumed-role/reader/me"]);
    assert_eq!(elements(&body, "AccessKeyId"), [sts::access_key("arn:aws:iam::1:role/reader")]);
    assert_eq!(api.calls()[0].parameter("RoleArn"), Some("arn:aws:iam::1:role/reader"));
}

#[test]
fn connection_serves_several_requests() {
    let api = Api::serve(Account::default()).expect("a port");
    let request = signed("sts", "POST", "/", "Action=GetCallerIdentity");
    let (_, body) = exchange(&api, &(request.clone() + &request));
    assert_eq!(elements(&body, "Account").len(), 2);
    let calls = api.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[1].operation.as_str(), calls[1].user_agent.as_str()), ("GetCallerIdentity", "test/1"));
}

#[test]
fn errors_have_the_format_of_their_service() {
    let api = Api::serve(study_account()).expect("a port");
    api.inject_fault(Fault::always("*", FaultKind::Denied).times(2));
    let (head, body) = post(&api, "Action=DescribeVpcs");
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert_eq!(elements(&body, "Code"), ["UnauthorizedOperation"]);
    assert!(body.contains("not authorized to perform: ec2:DescribeVpcs"), "{body}");
    let (head, body) = get(&api, "/clusters/myeks");
    assert!(head.contains("x-amzn-ErrorType: AccessDeniedException"), "{head}");
    assert!(body.contains("eks:DescribeCluster"), "{body}");
    assert!(get(&api, "/clusters/myeks").0.starts_with("HTTP/1.1 200 "), "the fault is limited to two calls");
}

#[test]
fn transport_faults_are_injected() {
    let api = Api::serve(study_account()).expect("a port");
    let regular = get(&api, "/clusters/myeks");
    for kind in [FaultKind::Html, FaultKind::Close, FaultKind::TruncatedBody] {
        api.inject_fault(Fault::always("DescribeCluster", kind).times(1));
    }
    let (head, body) = get(&api, "/clusters/myeks");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.starts_with("<!DOCTYPE html>"), "{head}{body}");
    assert_eq!(get(&api, "/clusters/myeks"), (String::new(), String::new()));
    let (_, body) = get(&api, "/clusters/myeks");
    assert!(!body.is_empty() && body.len() < regular.1.len() && regular.1.starts_with(&body), "{body}");
    assert_eq!(get(&api, "/clusters/myeks").1, regular.1);
}

#[test]
fn dropping_the_server_closes_unanswered_connections() {
    let api = Api::serve(study_account()).expect("a port");
    api.inject_fault(Fault::always("*", FaultKind::NoResponse));
    let mut stream = TcpStream::connect(api.address()).expect("the server listens");
    stream.write_all(signed("eks", "GET", "/clusters", "").as_bytes()).expect("the request is sent");
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
    assert!(stream.read(&mut [0]).is_err(), "the server responded");
    drop(api);
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    assert_eq!(stream.read(&mut [0]).expect("end of file"), 0);
}

#[test]
fn endless_body_does_not_end() {
    let api = Api::serve(study_account()).expect("a port");
    api.inject_fault(Fault::always("*", FaultKind::EndlessBody));
    let mut stream = TcpStream::connect(api.address()).expect("the server listens");
    stream.write_all(signed("eks", "GET", "/clusters", "").as_bytes()).expect("the request is sent");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    let mut body = vec![0; 256 * 1024];
    stream.read_exact(&mut body).expect("more bytes than any regular response");
}

#[test]
fn delayed_response_is_complete() {
    let api = Api::serve(study_account()).expect("a port");
    api.inject_fault(Fault::always("*", FaultKind::Delay(Duration::from_millis(80))));
    let start = Instant::now();
    assert!(get(&api, "/clusters").1.contains("myeks"));
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[test]
fn dropped_server_refuses_connections() {
    let api = Api::serve(study_account()).expect("a port");
    let address = api.address();
    let dropping = thread::spawn(move || drop(api));
    dropping.join().expect("no panic");
    assert!(TcpStream::connect(address).is_err());
}
