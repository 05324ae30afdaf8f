//! `--write` over a file that the run reads: refused before the work, and nothing is changed.

use std::fs::{self, File, hard_link};
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::common::{Netcheck, copy, scratch, story};

/// Asserts that a run refuses a report over an input, and leaves the input as it is.
fn assert_refused(what: &str, dir: &Path, input: &str, run: Netcheck, message: &str) {
    let before = fs::read(dir.join(input)).unwrap();
    let entries = || fs::read_dir(dir).unwrap().count();
    let number = entries();
    let ran = run.dir(dir).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{what}: {}", ran.stderr);
    assert!(ran.stderr.contains(message), "{what}: {}", ran.stderr);
    assert_eq!(fs::read(dir.join(input)).unwrap(), before, "{what}");
    assert_eq!(entries(), number, "{what}: nothing is left behind");
}

#[test]
fn no_input_of_an_audit_is_overwritten() {
    let dir = scratch();
    let dir = dir.path();
    copy(&story("study-public"), &dir.join("sp"));
    fs::write(dir.join("mine.toml"), "fail-on = \"critical\"\n").unwrap();
    fs::write(dir.join("eks-netcheck.toml"), "fail-on = \"never\"\n").unwrap();
    fs::write(dir.join("main.tf"), "resource {}\n").unwrap();
    fs::create_dir(dir.join("below")).unwrap();
    let report = Netcheck::audit(&story("study-public")).args(&["--no-ci", "--format", "json"]).run().stdout;
    fs::write(dir.join("known.json"), report).unwrap();
    hard_link(dir.join("mine.toml"), dir.join("hard.toml")).unwrap();
    symlink("mine.toml", dir.join("link.toml")).unwrap();
    let sp = dir.join("sp");
    let audit = |args: &[&str], write: &str| Netcheck::audit(&sp).args(args).args(&["--write", write]);
    let policy = "is the policy; write the report elsewhere";
    for (args, write, input, message) in [
        (&["--policy", "mine.toml"][..], "json=mine.toml", "mine.toml", policy),
        (&["--policy", "mine.toml"], "html=./below/../mine.toml", "mine.toml", policy),
        (&["--policy", "mine.toml"], "json=link.toml", "mine.toml", policy),
        (&["--policy", "link.toml"], "json=mine.toml", "mine.toml", policy),
        (&["--policy", "mine.toml"], "json=hard.toml", "mine.toml", policy),
        // The policy that is found, also if another one applies to this run.
        (&[], "sarif=eks-netcheck.toml", "eks-netcheck.toml", policy),
        (&["--policy", "mine.toml"], "sarif=eks-netcheck.toml", "eks-netcheck.toml", policy),
        (&["--baseline", "known.json"], "json=known.json", "known.json", "known.json is the baseline"),
        (&["--bundle", "main.tf"], "json=main.tf", "main.tf", "is one of the bundles"),
        (&["--anchor", "main.tf"], "sarif=main.tf", "main.tf", "is the file at which findings are shown"),
        (&[], "json=sp/cluster.json", "sp/cluster.json", "a report there would falsify the evidence"),
        (&[], "json=sp/nodes/n9.txt", "sp/cluster.json", "a report there would falsify the evidence"),
    ] {
        assert_refused(&format!("{args:?} {write}"), dir, input, audit(args, write), message);
    }
    // The second of several targets, and a policy that is found in a directory above.
    let both = audit(&["--policy", "mine.toml", "--write", "json=fine.json"], "junit=mine.toml");
    assert_refused("two targets", dir, "mine.toml", both, policy);
    let below = dir.join("below");
    let ran = audit(&[], "json=../eks-netcheck.toml").dir(&below).run();
    assert!(ran.code == 2 && ran.stderr.contains(policy), "{}", ran.stderr);
    // Standard input is a file too.
    let mut shell = std::process::Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_eks-netcheck");
    shell.env_clear().current_dir(dir).args([
        "-c",
        "exec \"$0\" audit --evidence sp --policy - --write json=mine.toml",
        binary,
    ]);
    let ran = shell.stdin(File::open(dir.join("mine.toml")).unwrap()).output().unwrap();
    let stderr = String::from_utf8(ran.stderr).unwrap();
    assert!(ran.status.code() == Some(2) && stderr.contains(policy), "{stderr}");
    assert_eq!(fs::read_to_string(dir.join("mine.toml")).unwrap(), "fail-on = \"critical\"\n");
    // What the run does not read is replaced.
    fs::write(dir.join("old.json"), "old").unwrap();
    let args = ["--policy", "mine.toml", "--baseline", "known.json", "--anchor", "main.tf"];
    let ran = audit(&args, "json=old.json").dir(dir).run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(fs::read_to_string(dir.join("old.json")).unwrap().starts_with('{'));
}

/// Also those of a run that collects, before it begins.
#[test]
fn no_input_of_a_live_run_is_overwritten() {
    let dir = scratch();
    let dir = dir.path();
    fs::write(dir.join("roles"), "arn:aws:iam::111122223333:role/audit\n").unwrap();
    fs::write(dir.join("config"), "apiVersion: v1\n").unwrap();
    fs::write(dir.join("eks-netcheck.toml"), "").unwrap();
    let cases: &[(&str, &str, &str)] = &[
        (
            "audit --all-clusters --region all --accounts roles --write json=roles",
            "roles",
            "is the file of accounts",
        ),
        (
            "audit --cluster myeks --nodes kubectl --kubeconfig config --write json=config",
            "config",
            "is the kubeconfig file",
        ),
        #[cfg(feature = "live")]
        (
            "reach --cluster myeks --region eu-west-1 --from n1 --nodes kubectl --kubeconfig config --write json=config",
            "config",
            "is the kubeconfig file",
        ),
        #[cfg(feature = "live")]
        (
            "trace --cluster myeks --region eu-west-1 --nodes kubectl --kubeconfig config --write json=config -- true",
            "config",
            "is the kubeconfig file",
        ),
        #[cfg(feature = "live")]
        (
            "trace --cluster myeks --region eu-west-1 --policy roles --fail-on high --write json=roles -- true",
            "roles",
            "is the policy",
        ),
    ];
    for (command, input, message) in cases {
        assert_refused(command, dir, input, Netcheck::new(command.split(' ')), message);
    }
}

#[test]
fn no_input_of_other_commands_is_overwritten() {
    let dir = scratch();
    let dir = dir.path();
    copy(&story("study-public"), &dir.join("sp"));
    copy(&story("private-only"), &dir.join("po"));
    fs::copy(dir.join("sp/nodes.txt"), dir.join("n.txt"))
        .or_else(|_| fs::write(dir.join("n.txt"), ">> node n1 <<\n").map(|()| 0))
        .unwrap();
    fs::write(dir.join("plan.json"), "{}").unwrap();
    fs::write(dir.join("eks-netcheck.toml"), "fail-on = \"never\"\n").unwrap();
    let falsify = "a report there would falsify the evidence";
    for (command, input, message) in [
        ("simulate --evidence sp --plan plan.json --write json=plan.json", "plan.json", "is the plan"),
        ("simulate --evidence sp --access private --write json=sp/vpc.json", "sp/cluster.json", falsify),
        (
            "simulate --evidence sp --access private --write json=eks-netcheck.toml",
            "eks-netcheck.toml",
            "is the policy",
        ),
        ("reach --evidence sp --from here --write json=sp/cluster.json", "sp/cluster.json", falsify),
        (
            "reach --evidence sp --from here --write json=eks-netcheck.toml",
            "eks-netcheck.toml",
            "is the policy",
        ),
        ("diff sp po --write json=po/cluster.json", "po/cluster.json", falsify),
        ("diff sp n.txt --write json=n.txt", "n.txt", "is one of the recordings to compare"),
    ] {
        assert_refused(command, dir, input, Netcheck::new(command.split(' ')), message);
    }
}

/// What an option names is an input also where the run has no use for it.
#[test]
fn no_file_that_an_option_names_is_overwritten() {
    let dir = scratch();
    let dir = dir.path();
    fs::write(dir.join("config"), "apiVersion: v1\n").unwrap();
    fs::create_dir(dir.join("below")).unwrap();
    symlink("config", dir.join("link")).unwrap();
    hard_link(dir.join("config"), dir.join("hard")).unwrap();
    let kubeconfig = "config is the kubeconfig file";
    let of_ssh = "config is a file of --ssh-option";
    for (command, message) in [
        ("reach --cluster myeks --from 10.0.1.5 --kubeconfig config --write json=config", kubeconfig),
        ("reach --cluster myeks --from 10.0.0.0/16 --kubeconfig link --write json=config", kubeconfig),
        ("reach --cluster myeks --from here --kubeconfig config --write table=below/../config", kubeconfig),
        ("reach --cluster myeks --from n1 --nodes ssh --kubeconfig config --write json=./link", kubeconfig),
        ("reach --cluster myeks --from n1 --nodes none --kubeconfig config --write json=config", kubeconfig),
        ("audit --cluster myeks --nodes none --kubeconfig config --write json=config", kubeconfig),
        ("audit --cluster myeks --bundle b --kubeconfig config --write json=config", kubeconfig),
        ("audit --cluster myeks --nodes ssm,ssh --kubeconfig config --write html=config", kubeconfig),
        ("simulate --cluster myeks --access private --kubeconfig config --write json=config", kubeconfig),
        ("audit --cluster myeks --ssh-option IdentityFile=config --write json=config", of_ssh),
        ("audit --cluster myeks --nodes none --ssh-option Identityfile=config --write json=config", of_ssh),
        (
            "reach --cluster myeks --from 10.0.1.5 --ssh-option IdentityFile=config --write json=config",
            of_ssh,
        ),
        #[cfg(feature = "live")]
        ("trace --cluster myeks --kubeconfig config --write json=config -- true", kubeconfig),
        #[cfg(feature = "live")]
        ("trace --cluster myeks --write json=config -- ./config", "config is the command"),
    ] {
        let command = command.replace("myeks", "myeks --region eu-west-1");
        assert_refused(&command, dir, "config", Netcheck::new(command.split(' ')), message);
    }
    let of_ssh_names = |names: &str| {
        let audit = Netcheck::new(["audit", "--cluster", "myeks", "--region", "eu-west-1", "--ssh-option"]);
        audit.arg(names).args(&["--write", "json=config"])
    };
    for names in ["UserKnownHostsFile=\"other config\"", "IdentityFile config", "CertificateFile = config"] {
        assert_refused(names, dir, "config", of_ssh_names(names), of_ssh);
    }
    // A hard link is replaced by the report, and would no longer be that file.
    let hard = "audit --cluster myeks --region eu-west-1 --kubeconfig config --write json=hard";
    assert_refused(hard, dir, "hard", Netcheck::new(hard.split(' ')), "hard is the kubeconfig file");
}

/// What the environment names is an input too, and so are the files that are read without it.
#[test]
fn no_file_that_the_environment_names_is_overwritten() {
    let dir = scratch();
    let dir = dir.path();
    for sub in ["home/.kube", "home/.aws", "certs"] {
        fs::create_dir_all(dir.join(sub)).unwrap();
    }
    for file in ["file", "home/.kube/config", "home/.aws/config", "home/.aws/credentials", "certs/1a2b3c4d.0"]
    {
        fs::write(dir.join(file), "before\n").unwrap();
    }
    let home = dir.join("home");
    let story = story("private-only");
    let run = |variable: &str, value: &str, write: &str| {
        let audit = Netcheck::audit(&story).env("HOME", home.to_str().unwrap()).env(variable, value);
        audit.arg("--write").arg(format!("json={write}"))
    };
    for (variable, value, input, message) in [
        ("KUBECONFIG", "other:file", "file", "is the kubeconfig file"),
        ("KUBECONFIG", "", "home/.kube/config", "is the kubeconfig file"),
        ("AWS_CONFIG_FILE", "./file", "file", "is the configuration of AWS"),
        ("AWS_CONFIG_FILE", "~/.aws/credentials", "home/.aws/credentials", "is the configuration of AWS"),
        ("KUBECONFIG", "", "home/.aws/config", "is the configuration of AWS"),
        ("AWS_SHARED_CREDENTIALS_FILE", "file", "file", "is the file of AWS credentials"),
        ("KUBECONFIG", "", "home/.aws/credentials", "is the file of AWS credentials"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "file", "file", "is the token for AWS"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "file", "file", "is the token for AWS"),
        ("AWS_CA_BUNDLE", "file", "file", "is the root certificates"),
        ("SSL_CERT_FILE", "file", "file", "is the root certificates"),
        ("SSL_CERT_DIR", "certs", "certs/1a2b3c4d.0", "is one of the root certificates"),
    ] {
        assert_refused(&format!("{variable}={value}"), dir, input, run(variable, value, input), message);
    }
    // What is not there yet is no input, and a variable that names another file leaves these alone.
    for (variable, value, write) in [
        ("SSL_CERT_DIR", "certs", "certs/report.json"),
        ("KUBECONFIG", "other", "home/.kube/config"),
        ("KUBECONFIG", "", "home/.kube/report.json"),
    ] {
        let ran = run(variable, value, write).dir(dir).run();
        assert_eq!(ran.code, 0, "{variable}={value} {write}: {}", ran.stderr);
        assert!(fs::read_to_string(dir.join(write)).unwrap().starts_with('{'), "{write}");
    }
}
