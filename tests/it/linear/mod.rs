//! The time of a run is linear in the size of its input: of each kind of untrusted input,
//! four times as much costs at most as much as two doublings of a factor of 2.6, over all
//! formats of its command together.
//!
//! `LINEAR_SCALE=8 cargo test --no-default-features --test it linear:: -- --nocapture`
//! prints the times at eight times the sizes.

mod entries;
mod files;
mod lists;
mod nodes;
mod places;
mod texts;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use eks_netcheck::report::FORMATS;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{copy_of, edit_json, scratch};

/// The factor that a doubling of the input may cost.
const DOUBLING_MAX: f64 = 2.6;

/// How often a run that seems too slow is measured again; the shortest time counts, since
/// other processes only add to it.
const REPEATS: usize = 4;

/// A kind of untrusted input: its name, the number of its items in the smaller of the two
/// runs, and the function that puts a number of items into a copy of a story.
type Kind = (&'static str, usize, fn(&Path, usize));

/// A command that reads such inputs: its arguments in the directory of the story, and its
/// formats. Further arguments are in a hidden file of the story, one on each line.
struct Run {
    args: &'static [&'static str],
    formats: Vec<&'static str>,
}

/// The further arguments of a run.
const ARGS: &str = ".args";

/// The baseline of a run.
const BASELINE: &str = ".baseline.json";

fn audit() -> Run {
    Run {
        args: &["audit", "--cluster", "myeks", "--evidence", ".", "--explain-paths"],
        formats: FORMATS.iter().map(|format| format.name).collect(),
    }
}

/// By how much the time of a run without items may be wrong, in seconds.
const NOISE: f64 = 0.005;

/// The processor time that a command took, by the accounts of the kernel.
fn processor_time(command: &mut Command) -> Duration {
    let mut child = command.spawn().unwrap();
    let id = Pid::from_child(&child);
    // It is read while the ended process is kept: std waits without its times.
    waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    let text = fs::read_to_string(format!("/proc/{}/schedstat", child.id())).unwrap();
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(0 | 1 | 3)), "{command:?}: {code:?}");
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

impl Run {
    /// The processor time that it takes.
    fn time(&self, dir: &Path) -> f64 {
        let out = scratch();
        let mut command = Command::new(env!("CARGO_BIN_EXE_eks-netcheck"));
        command.env_clear().current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.args(self.args);
        if let Ok(more) = fs::read_to_string(dir.join(ARGS)) {
            command.args(more.lines());
        }
        for format in &self.formats {
            command.arg("--write").arg(format!("{format}={}", out.path().join(format).display()));
        }
        processor_time(&mut command).as_secs_f64()
    }

    /// The times with these numbers of items.
    fn times(&self, kind: &Kind, items: [usize; 2]) -> [f64; 2] {
        items.map(|items| {
            let copy = story_copy();
            (kind.2)(copy.path(), items);
            self.time(copy.path())
        })
    }

    /// The time without any item.
    fn fixed(&self) -> f64 {
        self.time(story_copy().path())
    }
}

const STORY: &str = "public-and-private-stale";

/// A copy of the story, with what each command reads.
fn story_copy() -> TempDir {
    let copy = copy_of(STORY);
    baseline(copy.path(), 0);
    policy(copy.path(), 0, |_| String::new());
    copy
}

#[expect(clippy::print_stdout, reason = "the times are shown by --nocapture")]
fn assert_linear(run: &Run, kinds: &[Kind]) {
    let scale = std::env::var("LINEAR_SCALE").map_or(1, |scale| scale.parse().unwrap());
    let mut fixed = (0..REPEATS).map(|_| run.fixed()).fold(f64::MAX, f64::min);
    let mut slow = String::new();
    for kind in kinds {
        let items = [kind.1 * scale, 4 * kind.1 * scale];
        let mut least = run.times(kind, items);
        // Of the items alone.
        let own = |least: [f64; 2], fixed: f64| least.map(|time| (time - fixed).max(1e-3));
        let doubling = |[once, four_times]: [f64; 2]| (four_times / (once + NOISE)).sqrt();
        for _ in 0..REPEATS {
            // Differences of a few milliseconds are noise.
            let times = own(least, fixed);
            if doubling(times) <= DOUBLING_MAX || times[1] < 0.02 {
                break;
            }
            // A machine that was busy makes any of the three too long.
            let again = run.times(kind, items);
            least = [least[0].min(again[0]), least[1].min(again[1])];
            fixed = fixed.min(run.fixed());
        }
        let [once, four_times] = own(least, fixed);
        let line = format!(
            "{}: {}: {} {once:.3} s, {} {four_times:.3} s: {:.2}",
            run.args[0],
            kind.0,
            items[0],
            items[1],
            doubling([once, four_times])
        );
        println!("{line}");
        if doubling([once, four_times]) > DOUBLING_MAX && four_times >= 0.02 {
            writeln!(slow, "{line}").unwrap();
        }
    }
    assert!(slow.is_empty(), "a doubling of the input costs more than {DOUBLING_MAX} times:\n{slow}");
}

/// A list in a JSON file, at a JSON pointer.
fn edit_list(dir: &Path, file: &str, pointer: &str, change: impl FnOnce(&mut Vec<Value>)) {
    edit_json(dir, file, |json| change(json.pointer_mut(pointer).unwrap().as_array_mut().unwrap()));
}

/// Repeats an item of a list, changed by its number.
fn repeat(dir: &Path, file: &str, pointer: &str, items: usize, change: fn(&mut Value, usize)) {
    edit_list(dir, file, pointer, |list| {
        let item = list[0].clone();
        list.extend((0..items).map(|number| {
            let mut item = item.clone();
            change(&mut item, number);
            item
        }));
    });
}

fn write(dir: &Path, file: &str, text: &str) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn address(number: usize) -> String {
    format!("10.{}.{}.{}", 128 + number / 65536, number / 256 % 256, number % 256)
}

fn rows(items: usize, row: fn(usize) -> String) -> String {
    let mut text = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n".to_owned();
    for number in 0..items {
        writeln!(text, "{}", row(number)).unwrap();
    }
    text
}

fn policy(dir: &Path, items: usize, entry: fn(usize) -> String) {
    write(dir, "eks-netcheck.toml", &(0..items).map(entry).collect::<String>());
}

/// A security group with a number of rules.
fn group_rules(dir: &Path, items: usize) {
    let rule = |number: usize| {
        json!({"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
               "IpRanges": [{"CidrIp": format!("{}/32", address(number))}]})
    };
    edit_list(dir, "security-groups.json", "/SecurityGroups/0/IpPermissions", |rules| {
        *rules = (0..items).map(rule).collect();
    });
}

/// A route to an address.
fn route(number: usize) -> Value {
    json!({"DestinationCidrBlock": format!("{}/32", address(number)), "State": "active",
           "NatGatewayId": "nat-1"})
}

/// A number of `publicAccessCidrs`.
fn public_blocks(dir: &Path, items: usize) {
    edit_json(dir, "cluster.json", |json| {
        let blocks: Vec<_> = (0..items).map(|number| format!("{}/32", address(number))).collect();
        json["cluster"]["resourcesVpcConfig"]["publicAccessCidrs"] = json!(blocks);
    });
}

/// A baseline with findings of nodes that are called `gone-NUMBER`.
fn baseline(dir: &Path, items: usize) {
    let cluster: Value = serde_json::from_slice(&fs::read(dir.join("cluster.json")).unwrap()).unwrap();
    let finding = |number: usize| {
        json!({"rule": "node-on-public-path", "subject": format!("gone-{number}"), "about": null,
               "message": "m", "severity": "high", "waived": false})
    };
    let findings: Vec<_> = (0..items).map(finding).collect();
    let report = json!({
        "schema": "eks-netcheck.report.v1", "verdict": "fail", "findings": findings,
        "cluster": {"name": cluster["cluster"]["name"], "arn": cluster["cluster"]["arn"]},
    });
    write(dir, BASELINE, &report.to_string());
}

/// A finding for each of a number of nodes.
fn findings(dir: &Path, items: usize) {
    for number in 0..items {
        let text =
            rows(1, |_| "ESTAB 0 0 LOCAL:5000 3.39.55.189:443 users:((\"kubelet\",pid=1,fd=2))".to_owned());
        write(dir, &format!("nodes/node-{number}.txt"), &text.replace("LOCAL", &address(number)));
    }
}
