//! Regions, credentials, endpoints and proxies, as the aws CLI is configured.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use eks_netcheck_lab::aws::FaultKind;
use eks_netcheck_lab::credentials::{
    CONTAINER_KEY, CredentialServer, INSTANCE_KEY, PORTAL_KEY, PORTAL_TOKEN,
};
use serde_json::{Value, json};

use super::Aws;
use crate::common::{Netcheck, scratch};

#[test]
fn each_configuration_error_has_its_own_message() {
    let base = || Netcheck::new(["audit", "--cluster", "myeks"]).env("AWS_EC2_METADATA_DISABLED", "true");
    let ran = base().env("AWS_CONFIG_FILE", "/dev/null").run();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("no region: pass --region"), "{}", ran.stderr);
    let ran = base().args(&["--region", "eu-west-1"]).run();
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("no credentials") && ran.stderr.contains("aws sso login"), "{}", ran.stderr);
    let ran = base().args(&["--region", "eu-west-1"]).env("AWS_CA_BUNDLE", "/no/such/file").run();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("/no/such/file"), "{}", ran.stderr);
    let home = scratch();
    let config = home.path().join("config");
    std::fs::write(&config, "[profile work]\nregion = eu-west-1\n").unwrap();
    let base = || base().env("AWS_CONFIG_FILE", config.to_str().unwrap());
    let keys = || base().env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "B");
    let no_profile = "there is no profile \"nope\"; the profiles are work";
    for (ran, message) in [
        (base().args(&["--region", "eu-west-1", "--profile", "nope"]).run(), no_profile),
        (keys().args(&["--region", "eu-west-1", "--profile", "nope"]).run(), no_profile),
        (keys().args(&["--region", "a/b"]).run(), "\"a/b\" is not a region"),
        (
            keys().args(&["--region", "eu-west-1", "--role-arn", "audit"]).run(),
            "arn:aws:iam::ACCOUNT:role/NAME",
        ),
        (keys().args(&["--region", ""]).run(), "--region"),
        (
            keys().args(&["--region", "eu-west-1"]).env("AWS_ENDPOINT_URL", "garbage").run(),
            "the AWS endpoint \"garbage\" is not a URL",
        ),
    ] {
        assert_eq!(ran.code, 2, "{message}: {}", ran.stderr);
        assert!(ran.stderr.contains(message), "{message}: {}", ran.stderr);
    }
}

#[test]
fn profiles_and_roles_work_as_in_the_aws_cli() {
    let aws = Aws::of("study-public");
    let home = scratch();
    let config = home.path().join("config");
    std::fs::write(
        &config,
        "[profile work]\nregion = ap-northeast-2\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = x\n",
    )
    .unwrap();
    let with = |args: &[&str]| {
        Netcheck::new([
            "audit",
            "--cluster",
            "myeks",
            "--nodes",
            "none",
            "--profile",
            "work",
            "--timeout",
            "5",
        ])
        .args(args)
        .env("AWS_ENDPOINT_URL", &aws.0.url())
        .env("AWS_CONFIG_FILE", config.to_str().unwrap())
        .env("AWS_EC2_METADATA_DISABLED", "true")
    };
    assert_eq!(with(&[]).run().code, 1);
    assert!(aws.0.calls().iter().all(|call| call.access_key.as_deref() == Some("AKIDPROFILE")));
    // --profile takes precedence over credentials in the environment.
    let ran = with(&[]).env("AWS_ACCESS_KEY_ID", "AKIDENV").env("AWS_SECRET_ACCESS_KEY", "y").run();
    assert_eq!(ran.code, 1);
    assert!(aws.0.calls().iter().all(|call| call.access_key.as_deref() == Some("AKIDPROFILE")));
    assert_eq!(with(&["--role-arn", "arn:aws:iam::111122223333:role/audit"]).run().code, 1);
    let assumed: Vec<_> = aws.0.calls().into_iter().filter(|call| call.operation == "AssumeRole").collect();
    assert_eq!(assumed[0].parameter("RoleArn"), Some("arn:aws:iam::111122223333:role/audit"));
    assert_ne!(aws.0.calls().last().unwrap().access_key.as_deref(), Some("AKIDPROFILE"));
    // A role that may not be assumed has a hint of its own.
    aws.fault("AssumeRole", FaultKind::Denied);
    let ran = with(&["--role-arn", "arn:aws:iam::111122223333:role/audit"]).run();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("sts:AssumeRole") && ran.stderr.contains("trust policy"), "{}", ran.stderr);
}

/// What is pasted asks the account of the run, also where another one has a cluster of that name.
#[test]
fn commands_that_are_printed_have_the_profile_of_the_run() {
    let aws = Aws::of("study-public");
    let home = scratch();
    let config = home.path().join("config");
    std::fs::write(
        &config,
        "[profile work]\nregion = eu-west-1\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = x\n",
    )
    .unwrap();
    let run = |command: &str, args: &[&str]| {
        let run = aws.run(command).args(&["--nodes", "none", "--profile", "work", "--format", "json"]);
        let role = ["--role-arn", "arn:aws:iam::111122223333:role/audit"];
        let run = run.args(&role).env("AWS_CONFIG_FILE", config.to_str().unwrap());
        let ran = run.args(&["--region", "ap-northeast-2"]).args(args).run();
        assert!(matches!(ran.code, 1 | 3), "{}", ran.stderr);
        ran.stdout
    };
    for report in [run("audit", &[]), run("simulate", &["--access", "private"])] {
        let report: Value = serde_json::from_str(&report).unwrap();
        let mut commands = Vec::new();
        crate::steps::commands_of(&report, &mut commands);
        let is_of_account = |one: &&String| ["aws e", "eks-netcheck "].iter().any(|name| one.contains(name));
        let of_account: Vec<_> = commands.iter().filter(is_of_account).collect();
        assert!(of_account.len() > 5, "{commands:#?}");
        for command in of_account {
            let calls = command.matches("aws e").count() + command.matches("eks-netcheck ").count();
            let options = "--region ap-northeast-2 --profile work";
            assert_eq!(command.matches(options).count(), calls, "{command}");
            let has_role = command.contains("--role-arn arn:aws:iam::111122223333:role/audit");
            assert_eq!(has_role, command.starts_with("eks-netcheck "), "{command}");
        }
    }
}

/// The default credential chain of the aws CLI, one source at a time.
#[test]
fn each_source_of_the_default_credential_chain_works() {
    let aws = Aws::of("study-public");
    let metadata = CredentialServer::serve("ap-northeast-2").unwrap();
    let home = scratch();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let process = r#"{"Version":1,"AccessKeyId":"AKIDPROCESS","SecretAccessKey":"x"}"#;
    let process = write("process.json", process);
    let config = write(
        "config",
        &format!(
            "[profile process]\ncredential_process = cat {process}\n\
             [profile portal]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = audit\n\
             [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n\
             [profile chained]\nrole_arn = arn:aws:iam::444455556666:role/audit\nsource_profile = process\n\
             [profile here]\nrole_arn = arn:aws:iam::444455556666:role/audit\ncredential_source = Ec2InstanceMetadata\n"
        ),
    );
    // The file name is the SHA-1 of the session's name.
    write(
        ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json",
        &json!({"accessToken": PORTAL_TOKEN, "expiresAt": "2999-01-01T00:00:00Z"}).to_string(),
    );
    let token = write("token", "of-a-pipeline");
    let container = format!("{}/container", metadata.url());
    let (url, instance) = (aws.0.url(), metadata.url());
    let region = ("AWS_REGION", "ap-northeast-2");
    let on_instance =
        [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance)];
    let sources: [(&str, &[(&str, &str)]); 8] = [
        ("AKIDPROCESS", &[region, ("AWS_PROFILE", "process")]),
        (PORTAL_KEY, &[region, ("AWS_PROFILE", "portal"), ("AWS_ENDPOINT_URL_SSO", &instance)]),
        ("444455556666", &[region, ("AWS_PROFILE", "chained")]),
        ("444455556666", &[region, ("AWS_PROFILE", "here"), on_instance[0], on_instance[1]]),
        (
            "777788889999",
            &[
                region,
                ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
                ("AWS_ROLE_ARN", "arn:aws:iam::777788889999:role/ci"),
            ],
        ),
        (CONTAINER_KEY, &[region, ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container)]),
        (INSTANCE_KEY, &[region, on_instance[0], on_instance[1]]),
        // The instance metadata service gives the region too.
        (INSTANCE_KEY, &on_instance),
    ];
    for (key, variables) in sources {
        let before = aws.0.calls().len();
        let mut run = Netcheck::new(["audit", "--cluster", "myeks", "--nodes", "none", "--timeout", "10"])
            .env("AWS_ENDPOINT_URL", &url)
            .env("AWS_CONFIG_FILE", &config)
            .env("HOME", home.path().to_str().unwrap())
            .env("PATH", "/usr/bin:/bin");
        for (name, value) in variables {
            run = run.env(name, value);
        }
        let ran = run.run();
        assert_eq!(ran.code, 1, "{variables:?}: {}", ran.stderr);
        let journal = aws.0.calls();
        let call = journal[before..].iter().find(|call| call.operation == "DescribeCluster").unwrap();
        let access_key = call.access_key.as_deref().unwrap_or_default();
        assert!(access_key.ends_with(key), "{variables:?}: {access_key}");
        assert_eq!(call.region.as_deref(), Some("ap-northeast-2"));
    }
}

#[test]
fn service_specific_endpoint_urls_are_used() {
    let (eks, ec2) = (Aws::of("study-public"), Aws::of("study-public"));
    let ran = Netcheck::new(["audit", "--cluster", "myeks", "--nodes", "none", "--timeout", "5"])
        .env("AWS_ENDPOINT_URL_EKS", &eks.0.url())
        .env("AWS_ENDPOINT_URL_EC2", &ec2.0.url())
        .env("AWS_ACCESS_KEY_ID", "A")
        .env("AWS_SECRET_ACCESS_KEY", "B")
        .env("AWS_REGION", "ap-northeast-2")
        .run();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(eks.operations().into_iter().collect::<Vec<_>>(), ["DescribeCluster"]);
    assert!(ec2.operations().len() >= 9 && !ec2.operations().contains("DescribeCluster"));
}

#[test]
fn https_proxy_is_used() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let request = std::thread::spawn(move || {
        let (mut stream, _) = proxy.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").unwrap();
        line
    });
    let ran = Netcheck::new(["audit", "--cluster", "myeks", "--nodes", "none", "--timeout", "2"])
        .env("HTTPS_PROXY", &url)
        .env("AWS_ACCESS_KEY_ID", "A")
        .env("AWS_SECRET_ACCESS_KEY", "B")
        .env("AWS_REGION", "ap-northeast-2")
        .run();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let line = request.join().unwrap();
    assert!(line.starts_with("CONNECT ") && line.contains("ap-northeast-2.amazonaws.com:443"), "{line}");
}
