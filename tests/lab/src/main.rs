//! `lab [--nodes N] [COMMAND...]`: starts a lab, runs a command (by default a
//! shell) in it as the operator, and exits with the command's exit code.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use eks_netcheck_lab::sandbox::{CLUSTER, CLUSTER_IP, Lab, LabConfig, PUBLIC, REGION};

const USAGE: &str = "usage: lab [--nodes N] [COMMAND...]";

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        _ = writeln!(std::io::stderr(), "lab: {error:#}");
        ExitCode::from(2)
    })
}

fn run() -> Result<ExitCode> {
    let (config, command) = parse_args(std::env::args_os().skip(1))?;
    let started = Instant::now();
    let lab = Lab::start(config)?;
    for node in lab.nodes() {
        node.dial("kubelet", (PUBLIC[0], 443))?;
        node.dial("kube-proxy", (PUBLIC[1], 443))?;
        node.dial("aws-k8s-agent", (CLUSTER_IP, 443))?;
    }
    let aws = lab.serve_aws()?;
    let mut stderr = std::io::stderr();
    _ = writeln!(stderr, "lab: cluster {CLUSTER} started in {:.1} s", started.elapsed().as_secs_f64());
    for node in lab.nodes() {
        _ = writeln!(
            stderr,
            "lab: node {} ({}): ssh ec2-user@{}",
            node.name(),
            node.address(),
            node.address()
        );
    }

    let (program, arguments) = match command.split_first() {
        Some((program, arguments)) => (program.as_os_str(), arguments),
        None => (OsStr::new("bash"), &["--norc".into()] as &[_]),
    };
    let status = lab
        .operator_command(program)
        .args(arguments)
        .env("PS1", r"operator:\w\$ ")
        .env("AWS_ENDPOINT_URL", aws.url())
        .env("AWS_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .status();
    let status = status.context("running the command")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn parse_args(arguments: impl Iterator<Item = OsString>) -> Result<(LabConfig, Vec<OsString>)> {
    let mut arguments = arguments.peekable();
    let mut config = LabConfig::default();
    while let Some(flag) = arguments.next_if(|argument| argument.to_string_lossy().starts_with('-')) {
        match flag.to_str() {
            Some("--nodes") => {
                let count = arguments.next().and_then(|count| count.to_str()?.parse().ok());
                config.nodes = count.context("--nodes requires a number")?;
            }
            Some("--") => break,
            Some("--help" | "-h") => bail!("{USAGE}"),
            _ => bail!("unknown option: {}\n{USAGE}", flag.to_string_lossy()),
        }
    }
    Ok((config, arguments.collect()))
}
