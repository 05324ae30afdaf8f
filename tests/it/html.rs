//! `--format html`: what the page says, that it is inert whatever the evidence contains, and
//! its size. With the feature `live`, also what a browser makes of it: `tests/browse.mjs`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest as _, Sha256};

use crate::common::{Netcheck, copy_of, edit_json, of_another_machine, root, story};
use crate::formats::mixed;

/// The page on a cluster.
fn page(run: Netcheck) -> String {
    let ran = run.args(&["--format", "html"]).run();
    assert!(matches!(ran.code, 0 | 1 | 3), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("<!DOCTYPE html>\n"), "{}", ran.stderr);
    assert!(ran.stdout.ends_with("</html>\n"));
    ran.stdout
}

/// Its text, without style, script and elements.
fn text(page: &str) -> String {
    let body = &page[page.find("<body>").unwrap()..page.rfind("<script>").unwrap()];
    let mut text = String::new();
    for part in body.split('<').skip(1) {
        let (_, behind) = part.split_once('>').unwrap();
        text.push_str(behind);
        text.push(' ');
    }
    for (entity, char) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#x2f;", "/")] {
        text = text.replace(entity, char);
    }
    text.replace("&amp;", "&").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How often each element begins in a page.
fn elements(page: &str) -> BTreeMap<&str, usize> {
    let mut elements = BTreeMap::new();
    for part in page.split('<').skip(1) {
        let end = part.find([' ', '>', '\n', '/']).unwrap_or(part.len());
        *elements.entry(&part[..end]).or_default() += 1;
    }
    elements
}

/// The Content-Security-Policy allows the page's own style and script, by their hashes.
#[test]
fn the_page_allows_its_own_style_and_script_alone() {
    let dir = root().join("src/report/html");
    let hash = |file: &str| {
        let hash = Sha256::digest(fs::read(dir.join(file)).unwrap());
        format!("sha256-{}\n", BASE64_STANDARD.encode(hash))
    };
    let hashes = hash("page.css") + &hash("page.js");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(dir.join("csp.txt"), &hashes).unwrap();
    }
    assert_eq!(fs::read_to_string(dir.join("csp.txt")).unwrap(), hashes, "run with UPDATE_DOCS=1");
    let page = page(Netcheck::audit(&story("study-public")));
    let policy = page.lines().find(|line| line.contains("Content-Security-Policy")).unwrap();
    assert!(policy.contains("\"default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for source in ["http://", " src=", "@import", "url(", "<link", "<iframe"] {
        assert!(!page.contains(source), "{source}");
    }
}

#[test]
fn no_template_exempts_anything_from_escaping() {
    for entry in fs::read_dir(root().join("src/report/html")).unwrap() {
        let path = entry.unwrap().path();
        let source = fs::read_to_string(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "html") {
            for word in ["safe", "autoescape", "raw"] {
                assert!(
                    !source.split(|char: char| !char.is_alphanumeric()).any(|one| one == word),
                    "{path:?}: {word}"
                );
            }
        }
    }
}

#[test]
fn the_page_has_verdict_threshold_paths_nodes_and_steps() {
    let page = page(Netcheck::audit(&story("public-and-private-stale")));
    let text = text(&page);
    for words in [
        "Network paths of myeks",
        "✕ Fail",
        "1 finding at or above high: node-on-public-path; 1 medium",
        "Policy: default policy",
        "Operator → API server nothing that was seen differs",
        "Nodes → API server differs",
        "Expected by the access mode",
        "Observed",
        "1 node: kubelet and kube-proxy public",
        "1 node: kubelet and kube-proxy private",
        "sudo systemctl restart kubelet",
        "1 to 3. Do steps 1 to 3 of node-on-public-path .",
        "CIS Amazon EKS Benchmark v1.8.0",
        "Not judged, without effect on the verdict",
        concat!("eks-netcheck ", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // Each way is a drawing with a sentence for those who do not see it.
    assert!(page.contains("aria-label=\"kube-proxy, kubelet on n1: connected with 3.37.178.179:443, 3.39.55.189:443 (public-endpoint)\""));
    assert_eq!(page.matches("<svg").count(), page.matches("role=\"img\"").count());
    let private = text_of("private-only", &[]);
    assert!(private.contains("✓ Pass"), "{private}");
    assert!(text_of("private-only", &["--fail-on", "never"]).contains("(threshold: never)"));
}

/// What decides the verdict stands once at the top of the page; findings that are alike are one line
/// with the names of the nodes, and what is code in a text is marked as code.
#[test]
fn the_page_says_once_what_is_alike() {
    let dir = copy_of("node-egress-missing");
    let nodes = dir.path().join("nodes");
    let capture = fs::read_to_string(nodes.join("n2.txt")).unwrap();
    fs::write(dir.path().join("extra`x`.txt"), "").unwrap();
    let unknown = capture.replace("3.37.178.179", "198.51.100.7");
    for at in 10..20 {
        fs::write(nodes.join(format!("n{at}.txt")), of_another_machine(&unknown, at)).unwrap();
    }
    let page = page(Netcheck::audit(dir.path()));
    let (head, rest) = page.split_once("</main>").map_or((page.as_str(), ""), |(body, rest)| (body, rest));
    assert!(!rest.is_empty());
    let banner = &head[head.find("<div class=\"banner").unwrap()..];
    let banner = &banner[..banner.find("<section").unwrap()];
    assert_eq!(banner.matches("at or above high").count(), 1, "{banner}");
    assert!(page.contains("<code>kubectl get nodes -o wide</code>"));
    assert!(!page.contains("`kubectl"));
    let alike = "n10, n11, n12, n13, n14 and 5 more: ";
    assert!(page.contains(alike), "{}", text(&page));
    assert!(page.contains("<p class=\"names\">n10, n11, n12, n13, n14, n15, n16, n17, n18, n19</p>"));
}

fn text_of(name: &str, args: &[&str]) -> String {
    text(&page(Netcheck::audit(&story(name)).args(args)))
}

#[test]
fn waivers_gaps_and_notes_to_the_policy_are_marked() {
    let (copy, policy) = mixed();
    let text = text(&page(Netcheck::audit(copy.path()).args(&policy.each_ref().map(String::as_str))));
    for words in ["waived until", "Needed for the verdict", "Not judged without it:", "eks-netcheck.toml"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// Markup in every text of the evidence that can have it.
const MARKUP: &str =
    "</script></style></svg>\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}{% raw %}";

/// A copy of a story in which names are what an attacker would choose; or, for comparison,
/// such that HTML has no special characters in them.
fn with_names(name: &str) -> tempfile::TempDir {
    let copy = copy_of("hostile-names");
    let dir = copy.path();
    edit_json(dir, "cluster.json", |json| {
        json["cluster"]["status"] = name.into();
        json["cluster"]["endpoint"] = format!("https://{name}").into();
        json["cluster"]["resourcesVpcConfig"]["vpcId"] = name.into();
        json["cluster"]["controlPlaneEgressMode"] = name.into();
    });
    edit_json(dir, "network-interfaces.json", |json| {
        for (number, one) in json["NetworkInterfaces"].as_array_mut().unwrap().iter_mut().enumerate() {
            one["NetworkInterfaceId"] = format!("{name}{number:03}").into();
            one["VpcId"] = name.into();
            one["AvailabilityZone"] = name.into();
            one["RequesterId"] = name.into();
        }
    });
    edit_json(dir, "instances.json", |json| {
        for reservation in json["Reservations"].as_array_mut().unwrap() {
            for (number, one) in reservation["Instances"].as_array_mut().unwrap().iter_mut().enumerate() {
                one["InstanceId"] = format!("{name}{number}").into();
            }
        }
    });
    fs::write(dir.join("dns/here.txt"), format!("{name}\n3.39.55.189\n")).unwrap();
    let mut rows = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n".to_owned();
    for process in ["kubelet", name, "kube-proxy"] {
        writeln!(rows, "ESTAB 0 0 192.168.1.20:5000 3.39.55.189:443 users:((\"{process}\",pid=1,fd=2))")
            .unwrap();
    }
    fs::write(dir.join("nodes/n1.txt"), rows).unwrap();
    let gap = |what: &str| serde_json::json!({"what": what, "why": "failed", "detail": name, "hint": name});
    let gaps = [gap(name), gap("node n9"), gap("node n8"), gap("subnets.json")];
    fs::write(dir.join("manifest.json"), serde_json::json!({"gaps": gaps}).to_string()).unwrap();
    let quoted = serde_json::to_string(name).unwrap();
    let waiver = format!(
        "[[waiver]]\nrule = \"public-endpoint-open\"\nresource = \"*\"\nreason = {quoted}\nowner = {quoted}\nexpires = 9999-12-31\n\
         [[waiver]]\nrule = \"node-cut-off\"\nresource = {quoted}\nreason = {quoted}\nowner = \"o\"\nexpires = 9999-12-31\n"
    );
    fs::write(dir.join("eks-netcheck.toml"), waiver).unwrap();
    copy
}

fn page_with_names(dir: &Path) -> String {
    page(Netcheck::audit(dir).dir(dir).args(&["--fail-on", "low"]))
}

#[test]
fn no_element_is_made_from_evidence() {
    let hostile = page_with_names(with_names(MARKUP).path());
    let tame = page_with_names(with_names(&"t".repeat(MARKUP.len())).path());
    assert_eq!(elements(&hostile), elements(&tame));
    let shown = hostile.matches("&lt;img src=x onerror=alert(2)&gt;").count();
    assert!(shown > 20, "{shown}: {}", text(&hostile));
    // In drawings, text is wrapped.
    let is_drawn =
        |line: &str| line.starts_with("<text ") && line.contains(">&lt;&#x2f;script&gt;&lt;&#x2f;style");
    assert!(hostile.lines().any(is_drawn), "{hostile}");
    assert!(hostile.contains("{{ 7*7 }}"), "no text is a template");
    for link in hostile.split("href=\"").skip(1) {
        let to = &link[..link.find('"').unwrap()].replace("&#x2f;", "/");
        assert!(to.starts_with('#') || to.starts_with("https://docs.aws.amazon.com/"), "{to}");
    }
}

/// A story with a number of nodes, of which every hundredth is on the public path.
fn fleet(nodes: usize) -> tempfile::TempDir {
    let copy = copy_of("public-and-private-stale");
    for number in 0..nodes {
        let peer = if number % 100 == 7 { "3.39.55.189" } else { "192.168.1.55" };
        let local = format!("192.168.{}.{}", 3 + number / 250, number % 250 + 1);
        let mut rows = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n".to_owned();
        for process in ["kubelet", "kube-proxy", "other"] {
            writeln!(rows, "ESTAB 0 0 {local}:5000 {peer}:443 users:((\"{process}\",pid=1,fd=2))").unwrap();
        }
        fs::write(copy.path().join(format!("nodes/ip-{number:05}.ec2.internal.txt")), rows).unwrap();
    }
    copy
}

#[test]
fn nodes_that_are_alike_are_one_group_and_the_size_is_linear_in_their_number() {
    let pages = [500, 1000, 2000].map(|nodes| page(Netcheck::audit(fleet(nodes).path())));
    let text = text(&pages[1]);
    // With those of the story: one of each kind.
    for words in ["11 nodes: kubelet and kube-proxy public", "991 nodes: kubelet and kube-proxy private"] {
        assert!(text.contains(words), "{words}");
    }
    let [one, two, four] = pages.each_ref().map(String::len);
    let per_node = (four - one) / 1500;
    // Of 10,000 nodes, a page that a browser opens.
    assert!(per_node < 1500, "{per_node} bytes for a node: {one}, {two}, {four}");
    assert!(four - two < (two - one) * 5 / 2, "{one}, {two}, {four}");
}

/// What a list leaves out is counted.
#[test]
fn long_lists_are_bounded_and_say_so() {
    let copy = copy_of("public-and-private-stale");
    let mut rows = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n".to_owned();
    for number in 0..3000 {
        writeln!(
            rows,
            "ESTAB 0 0 192.168.1.20:5000 3.39.55.189:443 users:((\"p{number}\",pid={},fd=2))",
            number + 1
        )
        .unwrap();
    }
    fs::write(copy.path().join("nodes/n1.txt"), rows).unwrap();
    let text = text(&page(Netcheck::audit(copy.path())));
    assert!(text.contains("more findings of this rule; the JSON report lists them all."), "{text}");
}

#[cfg(feature = "live")]
mod browser {
    use std::process::Command;

    use eks_netcheck::model::audit::{Audited, Summary};
    use eks_netcheck::policy::Policy;
    use eks_netcheck::report::format::ReportSettings;
    use eks_netcheck::report::html::FORMAT;
    use eks_netcheck::report::style::Style;
    use eks_netcheck::rules;
    use eks_netcheck::run::judge::judge_facts;

    use super::*;
    use crate::common::{scratch, subdirs};
    use crate::needs::facts;

    /// The page on several clusters: all stories, and one cluster that was not judged.
    fn many() -> String {
        let settings = ReportSettings {
            is_many: true,
            rules: &rules::ALL,
            anchor: String::new(),
            time: 0,
            style: Style { width: 80, color: false },
            explain_paths: false,
            all: false,
        };
        let mut writer = (FORMAT.write)(&settings);
        let (mut summary, mut out) = (Summary::default(), Vec::new());
        for name in subdirs(&root().join("fixtures/evidence")) {
            let facts = facts(&story(&name), false, &[]);
            let judgment = judge_facts(&facts, &Policy::default(), None);
            summary.counts.add(judgment.verdict);
            writer.cluster(&Audited { facts, judgment }, &mut out).unwrap();
        }
        writer.end(&summary, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Whether the pages in a directory are as they should be, and what is not.
    fn browse(dir: &Path) -> (bool, String) {
        let own = root().join("target/validators/bin/node");
        let node = if own.exists() { own } else { "node".into() };
        let output = Command::new(node).arg(root().join("tests/browse.mjs")).arg(dir).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn pages_are_accepted_by_a_browser_axe_and_a_validator() {
        let dir = scratch();
        let write =
            |name: &str, page: &str| fs::write(dir.path().join(format!("{name}.html")), page).unwrap();
        for name in ["public-and-private-stale", "endpoint-black-holed"] {
            write(name, &page(Netcheck::audit(&story(name))));
        }
        let (copy, policy) = mixed();
        write("mixed", &page(Netcheck::audit(copy.path()).args(&policy.each_ref().map(String::as_str))));
        write("markup", &page_with_names(with_names(MARKUP).path()));
        write("many", &many());
        write("large", &page(Netcheck::audit(fleet(10_000).path())));
        let (accepted, output) = browse(dir.path());
        assert!(accepted, "{output}");
    }

    /// Each of these pages has one thing wrong with it, and it is found.
    #[test]
    fn broken_pages_are_rejected() {
        let good = page(Netcheck::audit(&story("public-and-private-stale")));
        let csp = good.lines().find(|line| line.contains("Content-Security-Policy")).unwrap();
        let broken = [
            ("lang", good.replace("<html lang=\"en\">", "<html>"), "axe html-has-lang"),
            (
                "wide",
                good.replace("<h3 ", "<p><code>x</code></p><h3 ").replacen(
                    "<p class=\"note\">",
                    &format!("<pre>{}</pre><p>", "x".repeat(500)),
                    1,
                ),
                "wider than the window",
            ),
            ("script", good.replacen("<main ", "<script>alert(1)</script><main ", 1), "console: "),
            (
                "request",
                good.replace(csp, "").replacen("<main ", "<img alt=x src=\"http://127.0.0.1:9/x\"><main ", 1),
                "request: http://127.0.0.1:9/x",
            ),
            (
                "dialog",
                good.replace(csp, "").replacen("<main ", "<script>alert(1)</script><main ", 1),
                "dialog: 1",
            ),
            (
                "contrast",
                good.replace(csp, "").replace("--soft: #4f5a69", "--soft: #c0c8d0"),
                "axe color-contrast",
            ),
            (
                "blank",
                good.replace(csp, "").replacen("margin: 0; background", "visibility: hidden; background", 1),
                "blank: ",
            ),
            ("sort", good.replace(csp, "").replacen("collator.compare(a, b)", "0", 1), "not sorted"),
            (
                "filter",
                good.replace(csp, "").replacen("row.hidden = !hit", "row.hidden = false", 1),
                "filtered by",
            ),
            ("link", good.replacen("href=\"#c1-nodes\"", "href=\"javascript:x\"", 1), "link to javascript:x"),
        ];
        let dir = scratch();
        for (name, page, _) in &broken {
            assert_ne!(*page, good, "{name}");
            fs::write(dir.path().join(format!("{name}.html")), page).unwrap();
        }
        let (accepted, output) = browse(dir.path());
        assert!(!accepted);
        for (name, _, words) in broken {
            let found =
                output.lines().any(|line| line.starts_with(&format!("{name}.html")) && line.contains(words));
            assert!(found, "{name}: {words}: {output}");
        }
    }
}
