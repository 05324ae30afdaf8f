//! The API as a client on a socket sees it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

fn evidence() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/evidence")
}

fn study() -> Account {
    Account::from_evidence(&evidence().join("study-public")).expect("recorded evidence")
}

/// Sends one request on a connection of its own, and returns the response's head and body.
fn exchange(api: &Api, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(api.address()).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    stream.write_all(request.as_bytes()).expect("the server reads");
    // The server answers what it has, and then ends the connection too.
    stream.shutdown(Shutdown::Write).expect("half a close");
    let mut text = Vec::new();
    stream.read_to_end(&mut text).expect("the server ends the connection");
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

/// The texts of all elements of the name.
fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).skip(1).filter_map(|rest| Some(rest.split_once(&close)?.0)).collect()
}

#[test]
fn all_recorded_evidence_can_be_served() {
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
    for story in fs::read_dir(evidence()).expect("the fixtures") {
        let story = story.expect("a directory").path();
        let account = Account::from_evidence(&story).expect("recorded evidence");
        assert!(
            !account.clusters.is_empty() && !account.network_interfaces.is_empty(),
            "{}",
            story.display()
        );
        let api = Api::serve(account).expect("a port");
        for call in calls {
            let (head, body) = post(&api, &format!("Action={call}&Version=2016-11-15"));
            assert!(head.starts_with("HTTP/1.1 200 "), "{}: {call}: {body}", story.display());
            assert!(body.contains("<item>"), "{}: {call}: {body}", story.display());
        }
    }
}

#[test]
fn a_cluster_is_described_or_not_found() {
    let api = Api::serve(study()).expect("a port");
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
fn clusters_are_listed_by_pages() {
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
fn pages_are_as_small_as_the_account_says() {
    let mut account = study();
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
    let (mut seen, mut form) = (0, "Action=DescribeNetworkInterfaces&MaxResults=1000".to_owned());
    loop {
        let body = post(&api, &form).1;
        seen += body.matches("<networkInterfaceId>").count();
        let [token] = elements(&body, "nextToken")[..] else { break };
        let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
        form = format!("Action=DescribeNetworkInterfaces&NextToken={token}");
    }
    let pages: Vec<_> = api.journal().iter().map(|call| call.page).collect();
    assert_eq!((seen, pages), (200, (1..=40).collect()));
}

#[test]
fn managed_interfaces_are_there_when_they_are_asked_for() {
    let mut account = study();
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
fn what_is_not_honoured_is_refused() {
    let api = Api::serve(study()).expect("a port");
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
fn an_attribute_of_the_vpc_changes_while_the_server_runs() {
    let api = Api::serve(study()).expect("a port");
    let form = "Action=DescribeVpcAttribute&VpcId=vpc-0acc8989bae6e7464&Attribute=enableDnsHostnames";
    assert_eq!(elements(&post(&api, form).1, "value"), ["true"]);
    api.change(|account| account.dns_hostnames = false);
    assert_eq!(elements(&post(&api, form).1, "value"), ["false"]);
}

#[test]
fn a_role_signs_with_its_own_key() {
    let api = Api::serve(Account::default()).expect("a port");
    let role = "Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Freader&RoleSessionName=me";
    let body = exchange(&api, &signed("sts", "POST", "/", role)).1;
    assert_eq!(elements(&body, "Arn"), ["arn:aws:sts::1:assumed-role/reader/me"]);
    assert_eq!(elements(&body, "AccessKeyId"), [sts::access_key("arn:aws:iam::1:role/reader")]);
    assert_eq!(api.journal()[0].parameter("RoleArn"), Some("arn:aws:iam::1:role/reader"));
}

#[test]
fn a_connection_takes_one_request_after_the_other() {
    let api = Api::serve(Account::default()).expect("a port");
    let request = signed("sts", "POST", "/", "Action=GetCallerIdentity");
    let (_, body) = exchange(&api, &(request.clone() + &request));
    assert_eq!(elements(&body, "Account").len(), 2);
    let journal = api.journal();
    assert_eq!(journal.len(), 2);
    assert_eq!(
        (journal[1].operation.as_str(), journal[1].user_agent.as_str()),
        ("GetCallerIdentity", "test/1")
    );
}

#[test]
fn errors_have_the_words_of_their_service() {
    let api = Api::serve(study()).expect("a port");
    api.fault(Fault::always("*", FaultKind::Denied).times(2));
    let (head, body) = post(&api, "Action=DescribeVpcs");
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert_eq!(elements(&body, "Code"), ["UnauthorizedOperation"]);
    assert!(body.contains("not authorized to perform: ec2:DescribeVpcs"), "{body}");
    let (head, body) = get(&api, "/clusters/myeks");
    assert!(head.contains("x-amzn-ErrorType: AccessDeniedException"), "{head}");
    assert!(body.contains("eks:DescribeCluster"), "{body}");
    assert!(get(&api, "/clusters/myeks").0.starts_with("HTTP/1.1 200 "), "twice was ordered");
}

#[test]
fn answers_go_wrong_on_the_wire() {
    let api = Api::serve(study()).expect("a port");
    let whole = get(&api, "/clusters/myeks");
    for kind in [FaultKind::Html, FaultKind::Close, FaultKind::CutShort] {
        api.fault(Fault::always("DescribeCluster", kind).times(1));
    }
    let (head, body) = get(&api, "/clusters/myeks");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.starts_with("<!DOCTYPE html>"), "{head}{body}");
    assert_eq!(get(&api, "/clusters/myeks"), (String::new(), String::new()));
    let (_, body) = get(&api, "/clusters/myeks");
    assert!(!body.is_empty() && body.len() < whole.1.len() && whole.1.starts_with(&body), "{body}");
    assert_eq!(get(&api, "/clusters/myeks").1, whole.1);
}

#[test]
fn a_call_that_is_never_answered_ends_with_the_server() {
    let api = Api::serve(study()).expect("a port");
    api.fault(Fault::always("*", FaultKind::Silence));
    let mut stream = TcpStream::connect(api.address()).expect("the server listens");
    stream.write_all(signed("eks", "GET", "/clusters", "").as_bytes()).expect("the server reads");
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
    assert!(stream.read(&mut [0]).is_err(), "something was answered");
    drop(api);
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
}

#[test]
fn a_body_without_end_goes_on() {
    let api = Api::serve(study()).expect("a port");
    api.fault(Fault::always("*", FaultKind::Endless));
    let mut stream = TcpStream::connect(api.address()).expect("the server listens");
    stream.write_all(signed("eks", "GET", "/clusters", "").as_bytes()).expect("the server reads");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    let mut much = vec![0; 256 * 1024];
    stream.read_exact(&mut much).expect("more than any answer");
}

#[test]
fn a_late_answer_is_right() {
    let api = Api::serve(study()).expect("a port");
    api.fault(Fault::always("*", FaultKind::Delay(Duration::from_millis(80))));
    let start = Instant::now();
    assert!(get(&api, "/clusters").1.contains("myeks"));
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[test]
fn a_dropped_server_is_gone() {
    let api = Api::serve(study()).expect("a port");
    let address = api.address();
    let dropping = thread::spawn(move || drop(api));
    dropping.join().expect("no panic");
    assert!(TcpStream::connect(address).is_err());
}
