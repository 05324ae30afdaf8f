use super::*;
use crate::model::seen_from::HERE;

const HOST: &str = "0A1B.gr7.eu-west-1.eks.amazonaws.com";

fn addresses(text: &str) -> Vec<String> {
    let answer = read(&text.replace("HOST", HOST));
    answer.seen().map(|answer| answer.addresses.iter().map(IpAddr::to_string).collect()).unwrap_or_default()
}

fn detail(text: &str) -> String {
    match read(&text.replace("HOST", HOST)) {
        Observed::Seen(answer) => format!("{:?}", answer.addresses),
        Observed::Unseen(gap) => gap.detail,
    }
}

fn read(text: &str) -> Observed<Answer> {
    parse_answer(HERE, Some(HOST), text.as_bytes()).0.answer
}

#[test]
fn addresses_are_separated_from_other_lines() {
    let answer =
        read("alias.example.\r\n3.39.55.189\r\n3.37.178.179\n3.39.55.189\n; comment\n2600:1f13::1\n");
    let answer = answer.seen().expect("an answer");
    assert_eq!(
        answer.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
        ["3.39.55.189", "3.37.178.179", "2600:1f13::1"]
    );
    assert_eq!(answer.aside, ["alias.example.", "; comment"]);
}

#[test]
fn a_byte_order_mark_is_not_of_the_answer() {
    assert_eq!(addresses("\u{feff}3.39.55.189\r\n3.37.178.179\r\n"), ["3.39.55.189", "3.37.178.179"]);
}

#[test]
fn output_of_getent_is_accepted() {
    let answer = read("192.168.1.55    STREAM a.example\n192.168.1.55    DGRAM  \n::ffff:192.168.1.66 RAW\n");
    let answer = answer.seen().expect("an answer");
    assert_eq!(
        answer.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
        ["192.168.1.55", "192.168.1.66"]
    );
}

#[test]
fn ttl_comment_is_parsed() {
    let answer = read("3.39.55.189\n; TTL 60\n; TTL soon\n");
    let answer = answer.seen().expect("an answer");
    assert_eq!(answer.ttl, Some(60));
    assert_eq!(answer.aside, ["; TTL soon"]);
}

#[test]
fn answer_without_address_is_a_gap() {
    for text in ["", "\n\n", ";; connection timed out; no servers could be reached\n", "1.2.3.4 is not it\n"]
    {
        assert!(read(text).seen().is_none(), "{text:?}");
    }
    assert!(read(&"1.2.3.4\n".repeat(LINES_MAX + 2)).seen().is_none());
}

const DIG: &str = "
; <<>> DiG 9.18.24 <<>> HOST
;; global options: +cmd
;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 29418
;; flags: qr rd ra; QUERY: 1, ANSWER: 2, AUTHORITY: 1, ADDITIONAL: 1

;; QUESTION SECTION:
;HOST. IN A

;; ANSWER SECTION:
HOST. 60 IN CNAME lb.example.
lb.example. 60 IN A 3.39.55.189
lb.example. 60 IN A 3.37.178.179

;; AUTHORITY SECTION:
example. 60 IN NS ns.example.

;; ADDITIONAL SECTION:
ns.example. 60 IN A 192.0.2.53

;; Query time: 1 msec
;; SERVER: 10.0.0.2#53(10.0.0.2) (UDP)
;; MSG SIZE rcvd: 100
";

fn assert_both(tool: &str, text: &str) {
    assert_eq!(addresses(text), ["3.39.55.189", "3.37.178.179"], "{tool}");
}

#[test]
fn output_of_each_tool_is_read() {
    for (tool, text) in [
        ("dig", DIG),
        (
            "dig twice",
            &format!(
                "$ dig HOST\n{DIG}$ dig other.example\n{}",
                DIG.replace("HOST", "other.example").replace("3.3", "9.9").replace("lb.", "lb2.")
            ),
        ),
        (
            "nslookup",
            "Server:\t\t192.168.0.2\nAddress:\t192.168.0.2#53\n\nNon-authoritative answer:\nName:\tHOST\nAddress: 3.39.55.189\nName:\tHOST\nAddress: 3.37.178.179\n\n",
        ),
        (
            "nslookup of Windows",
            "Server:  UnKnown\r\nAddress:  192.168.0.2\r\n\r\nNon-authoritative answer:\r\nName:    HOST\r\nAddresses:  3.39.55.189\r\n\t  3.37.178.179\r\n\r\n",
        ),
        (
            "nslookup of BusyBox",
            "Server:    10.100.0.10\nAddress 1: 10.100.0.10 kube-dns.kube-system.svc.cluster.local\n\nName:      HOST\nAddress 1: 3.39.55.189 ec2.example\nAddress 2: 3.37.178.179 ec2.example\n",
        ),
        (
            "newer nslookup of BusyBox",
            "Server:\t\t10.100.0.10\nAddress:\t10.100.0.10:53\n\nNon-authoritative answer:\nName:\tHOST\nAddress: 3.39.55.189\nName:\tHOST\nAddress: 3.37.178.179\n",
        ),
        (
            "nslookup with an alias",
            "Server:\t\t192.168.0.2\nAddress:\t192.168.0.2#53\n\nHOST\tcanonical name = lb.example.\nName:\tlb.example\nAddress: 3.39.55.189\nName:\tlb.example\nAddress: 3.37.178.179\n",
        ),
        ("host", "HOST has address 3.39.55.189\nHOST has address 3.37.178.179\n"),
        (
            "host with a server",
            "Using domain server:\nName: 8.8.8.8\nAddress: 8.8.8.8#53\nAliases: \n\nHOST is an alias for lb.example.\nlb.example has address 3.39.55.189\nlb.example has address 3.37.178.179\n",
        ),
        ("getent hosts", "3.39.55.189     HOST\n3.37.178.179     HOST\n"),
        ("getent ahosts", "3.39.55.189     STREAM HOST\n3.39.55.189     DGRAM  \n3.37.178.179    STREAM \n"),
        (
            "wget",
            "[ec2-user@n1 ~]$ wget https://HOST\n--2021-12-30 08:40:50--  https://HOST/\nResolving HOST (HOST)... 3.39.55.189, 3.37.178.179\nConnecting to HOST (HOST)|3.39.55.189|:443... connected.\n",
        ),
        (
            "curl 8",
            "* Host HOST:443 was resolved.\n* IPv6: (none)\n* IPv4: 3.39.55.189, 3.37.178.179\n*   Trying 3.39.55.189:443...\n* Connected to HOST (3.39.55.189) port 443\n",
        ),
        (
            "curl 7",
            "*   Trying 3.39.55.189:443...\n* connect to 3.39.55.189 port 443 failed: Connection timed out\n*   Trying 3.37.178.179:443...\n* Connected to HOST (3.37.178.179) port 443 (#0)\n",
        ),
        (
            "resolvectl",
            "HOST: 3.39.55.189                    -- link: ens5\n      3.37.178.179                   -- link: ens5\n\n-- Information acquired via protocol DNS in 2.1ms.\n-- Data is authenticated: no; Data was acquired via local or encrypted transport: no\n",
        ),
        ("ping", "PING HOST (3.39.55.189) 56(84) bytes of data.\nPING HOST (3.37.178.179): 56 data bytes\n"),
        ("dig +short", "3.39.55.189\n3.37.178.179\n"),
        ("dig +short with comments", "3.39.55.189 ; one\n3.37.178.179 # two\n"),
        ("a list", "['3.39.55.189', '3.37.178.179']\n"),
        ("JSON", "[\n  \"3.39.55.189\",\n  \"3.37.178.179\"\n]\n"),
        ("a line", "3.39.55.189 3.37.178.179\n"),
        ("a script", "n1$ sh resolve.sh\n3.39.55.189\n3.37.178.179\n"),
        ("a quotation", "> HOST has address 3.39.55.189\n> HOST has address 3.37.178.179\n"),
        ("dig +ttlunits", "HOST. 1m IN A 3.39.55.189\nHOST. 1m30s IN A 3.37.178.179\n"),
        ("dig +noall +answer", "HOST. 60 IN A 3.39.55.189\nHOST. 60 IN A 3.37.178.179\n"),
        ("dig +nocl", "HOST. 60 A 3.39.55.189\nHOST. 60 A 3.37.178.179\n"),
        ("dig +nottlid", "HOST. IN A 3.39.55.189\nHOST. IN A 3.37.178.179\n"),
        (
            "drill",
            ";; ->>HEADER<<- opcode: QUERY, rcode: NOERROR, id: 1\n;; QUESTION SECTION:\n;; HOST.\tIN\tA\n\n;; ANSWER SECTION:\nHOST.\t60\tIN\tA\t3.39.55.189\nHOST.\t60\tIN\tA\t3.37.178.179\n\n;; AUTHORITY SECTION:\n\n;; ADDITIONAL SECTION:\n\n;; Query time: 1 msec\n;; SERVER: 10.0.0.2\n",
        ),
        (
            "Resolve-DnsName",
            "PS C:\\Users\\me> Resolve-DnsName HOST\n\nName   Type   TTL   Section    IPAddress\n----   ----   ---   -------    ---------\nHOST   A      60    Answer     3.39.55.189\nHOST   A      60    Answer     3.37.178.179\n",
        ),
        ("dscacheutil", "name: HOST\nip_address: 3.39.55.189\nip_address: 3.37.178.179\n"),
        (
            "systemd-resolve",
            "HOST: 3.39.55.189\n      3.37.178.179\n\n-- Information acquired via protocol DNS in 2.1ms.\n",
        ),
        (
            "telnet",
            "Trying 3.39.55.189...\nTrying 3.37.178.179...\nConnected to HOST.\nEscape character is '^]'.\n",
        ),
        (
            "nc",
            "Connection to HOST (3.39.55.189) 443 port [tcp/https] succeeded!\nConnection to HOST (3.37.178.179) 443 port [tcp/https] succeeded!\n",
        ),
        ("dig +short in a loop", "------\n2025. 02. 09. 01:40:42 KST\n3.39.55.189\n3.37.178.179\n"),
    ] {
        assert_both(tool, text);
    }
    assert_eq!(addresses("* IPv6: 2600:1f13::1, 2600:1f13::2\n"), ["2600:1f13::1", "2600:1f13::2"]);
    assert_eq!(addresses("*   Trying [2600:1f13::1]:443...\n"), ["2600:1f13::1"]);
}

#[test]
fn transcripts_of_several_commands_are_read() {
    for (what, text) in [
        (
            "dig +short of several names",
            "[root@n1 ~]# dig +short HOST\nlb.example.\n3.39.55.189\n3.37.178.179\n[root@n1 ~]# dig +short other.example\n9.9.9.9\n[root@n1 ~]# curl -s https://checkip.amazonaws.com\n8.8.4.4\n",
        ),
        (
            "dig +short in a transcript",
            "sh-4.2$ sudo ss -tnp\nsh-4.2$ dig +short $HOST_OF_ENDPOINT @10.0.0.2\n3.39.55.189\n3.37.178.179\n# from the bastion\n3.37.178.179\nsh-4.2$ hostname -i\n10.0.0.7\n",
        ),
        (
            "curl of several names",
            "$ curl -v https://other.example/\n*   Trying 9.9.9.9:443...\n* Connected to other.example (9.9.9.9) port 443 (#0)\n$ curl -v https://HOST/\n*   Trying 3.39.55.189:443...\n* connect to 3.39.55.189 port 443 failed: Connection timed out\n*   Trying 3.37.178.179:443...\n",
        ),
        (
            "curl without prompts",
            "*   Trying 9.9.9.9...\n* TCP_NODELAY set\n* Connected to other.example (9.9.9.9) port 443 (#0)\n*   Trying 3.39.55.189...\n* Trying 3.37.178.179...\n* Failed to connect to HOST port 443: Connection timed out\n",
        ),
    ] {
        assert_both(what, text);
    }
}

#[test]
fn statuses_are_read() {
    let failed = |status: &str| DIG.lines().take(9).collect::<Vec<_>>().join("\n").replace("NOERROR", status);
    assert_eq!(detail(&failed("NXDOMAIN")), "there is no such name (NXDOMAIN)");
    assert_eq!(detail(&failed("NOERROR")), "the name exists and has no address (NOERROR)");
    assert_eq!(detail(&failed("SERVFAIL")), "the name server answers SERVFAIL");
    for (text, status) in [
        ("** server can't find HOST: NXDOMAIN\n", "NXDOMAIN"),
        ("** server can't find HOST: SERVFAIL\n", "SERVFAIL"),
        ("Host HOST not found: 3(NXDOMAIN)\n", "NXDOMAIN"),
        ("Host HOST not found: 5(REFUSED)\n", "REFUSED"),
        ("Server:  dns\nAddress:  10.0.0.2\n\n*** dns can't find HOST: Non-existent domain\n", "NXDOMAIN"),
        (
            "; <<>> DiG 9.16.1 <<>> HOST\n;; global options: +cmd\n;; connection timed out; no servers could be reached\n",
            "no name server answered",
        ),
        (
            "Resolving HOST (HOST)... failed: Name or service not known.\nwget: unable to resolve host address 'HOST'\n",
            "did not resolve",
        ),
        (
            "* Could not resolve host: HOST\n* Closing connection\ncurl: (6) Could not resolve host: HOST\n",
            "did not resolve",
        ),
        ("HOST: resolve call failed: 'HOST' not found\n", "did not resolve"),
        ("HOST: resolve call failed: Name 'HOST' not found\n", "did not resolve"),
    ] {
        assert!(detail(text).contains(status), "{text}: {}", detail(text));
    }
}

/// The name server, records beside the answer and other names are not taken.
#[test]
fn only_the_endpoints_addresses_are_taken() {
    let other = detail("other.example has address 9.9.9.9\n");
    assert!(other.contains("\"other.example\"") && other.contains(HOST), "{other}");
    for text in [
        ";; SERVER: 10.0.0.2#53(10.0.0.2)\n",
        "Server:\t\t192.168.0.2\nAddress:\t192.168.0.2#53\n",
        "Server:  UnKnown\nAddress:  192.168.0.2\n",
        ";; ADDITIONAL SECTION:\nHOST. 60 IN A 192.0.2.53\n",
        "* Uses proxy env variable https_proxy == 'http://10.0.0.5:3128'\n*   Trying 10.0.0.5:3128...\n* Connected to 10.0.0.5 (10.0.0.5) port 3128 (#0)\n* Establish HTTP proxy tunnel to HOST:443\n",
        "Resolving proxy.corp.example (proxy.corp.example)... 10.0.0.5\nConnecting to proxy.corp.example (proxy.corp.example)|10.0.0.5|:3128... connected.\n",
        "$ curl -s https://checkip.amazonaws.com\n10.0.0.5\n",
        "$ hostname -i\n10.0.0.5\n",
    ] {
        assert_eq!(addresses(text), [""; 0], "{text}");
    }
}

#[test]
fn a_record_type_whose_query_failed_is_a_gap() {
    let failed = DIG.lines().take(9).collect::<Vec<_>>().join("\n").replace("NOERROR", "SERVFAIL");
    let text =
        failed + &DIG.replace("IN A 3.39.55.189", "IN AAAA 2600:1f13::1").replace("IN A 3.37", "IN TXT 3.37");
    let (vantage, gaps) = parse_answer("n1", Some(HOST), text.replace("HOST", HOST).as_bytes());
    assert!(vantage.answer.seen().is_some());
    assert_eq!(gaps[0].subject, Subject::Records { kind: "A", vantage: "n1".to_owned() });
}

#[test]
fn a_failed_query_counts_for_its_name_and_type() {
    let missing = |text: &str| {
        let (_, gaps) = parse_answer("n1", Some(HOST), text.replace("HOST", HOST).as_bytes());
        gaps.iter().map(|gap| format!("{}: {}", gap.subject, gap.detail)).collect::<Vec<_>>()
    };
    let failed = DIG.lines().take(9).collect::<Vec<_>>().join("\n").replace("NOERROR", "SERVFAIL") + "\n";
    let of_aaaa = failed.replace("IN A", "IN AAAA");
    assert_eq!(
        missing(&(DIG.to_owned() + &of_aaaa)),
        ["AAAA records from n1: the query failed: the name server answers SERVFAIL"]
    );
    // The same query was repeated, is about another name, or says that there is no record.
    assert_eq!(missing(&(failed.clone() + DIG)), [""; 0]);
    assert_eq!(missing(&(DIG.to_owned() + &of_aaaa.replace("HOST", "other.example"))), [""; 0]);
    assert_eq!(missing(&(DIG.to_owned() + &of_aaaa.replace("SERVFAIL", "NXDOMAIN"))), [""; 0]);
    // nslookup asks for both types.
    let nslookup = "Server:\t\t192.168.0.2\nAddress:\t192.168.0.2#53\n\nName:\tHOST\nAddress: 3.39.55.189\n";
    let second = "** server can't find HOST: SERVFAIL\n";
    assert_eq!(missing(&(nslookup.to_owned() + second)).len(), 1);
    assert_eq!(missing(&(second.to_owned() + nslookup)), [""; 0]);
    let timed_out = "; <<>> DiG 9.16.1 <<>> HOST A\n;; connection timed out; no servers could be reached\n";
    let of_aaaa = "HOST. 60 IN AAAA 2600:1f13::1\n";
    assert_eq!(
        missing(&(of_aaaa.to_owned() + timed_out)),
        ["A records from n1: the query failed: no name server answered"]
    );
}

/// Many addresses and aliases in one text take no more than linear time.
#[test]
fn time_is_linear() {
    let addresses = |line: usize| {
        let all: Vec<_> = (0..60).map(|byte| format!("10.{}.{}.{byte}", line / 250, line % 250)).collect();
        format!("Resolving {HOST} ({HOST})... {}\n", all.join(", "))
    };
    let aliases =
        (0..LINES_MAX).rev().map(|line| format!("a{line}.example. 60 IN CNAME a{}.example.\n", line + 1));
    let began = std::time::Instant::now();
    read(&(0..LINES_MAX).map(addresses).collect::<String>());
    read(&aliases.collect::<String>());
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn text_that_is_no_answer_is_malformed() {
    for text in [".".repeat(LINE_MAX + 1), "1.2.3.4\n".repeat(LINES_MAX + 2)] {
        let Observed::Unseen(gap) = read(&text) else { panic!("an answer") };
        assert_eq!(gap.why, GapReason::Malformed);
    }
}
