//! The time of a run is linear in the size of its input: of each kind of untrusted input,
//! four times as much costs at most as much as two doublings of a factor of 2.6, over all
//! formats of its command together.
//!
//! `LINEAR_SCALE=8 cargo test --no-default-features --test it linear:: -- --nocapture`
//! prints the times at eight times the sizes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use eks_netcheck::report::{FORMATS, REACH_FORMATS, SIMULATION_FORMATS};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bundles::archive;
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

/// An audit with a baseline.
fn compared() -> Run {
    let args = &["audit", "--cluster", "myeks", "--evidence", ".", "--baseline", BASELINE];
    Run { args, ..audit() }
}

fn simulation() -> Run {
    Run {
        args: &["simulate", "--cluster", "myeks", "--evidence", ".", "--access", "private"],
        formats: SIMULATION_FORMATS.iter().map(|format| format.name).collect(),
    }
}

fn reach() -> Run {
    Run {
        args: &["reach", "--evidence", ".", "--from", "192.168.1.99"],
        formats: REACH_FORMATS.iter().map(|format| format.name).collect(),
    }
}

fn check() -> Run {
    Run { args: &["policy", "check", "--strict"], formats: Vec::new() }
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

    /// The times with these numbers of items, less that of a run without any.
    fn times(&self, kind: &Kind, items: [usize; 2], fixed: f64) -> [f64; 2] {
        items.map(|items| {
            let copy = story_copy();
            (kind.2)(copy.path(), items);
            (self.time(copy.path()) - fixed).max(1e-3)
        })
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
    let fixed = (0..REPEATS).map(|_| run.time(story_copy().path())).fold(f64::MAX, f64::min);
    let mut slow = String::new();
    for kind in kinds {
        let items = [kind.1 * scale, 4 * kind.1 * scale];
        let mut least = run.times(kind, items, fixed);
        let doubling = |[once, four_times]: [f64; 2]| (four_times / (once + NOISE)).sqrt();
        for _ in 0..REPEATS {
            // Differences of a few milliseconds are noise.
            if doubling(least) <= DOUBLING_MAX || least[1] < 0.02 {
                break;
            }
            let again = run.times(kind, items, fixed);
            least = [least[0].min(again[0]), least[1].min(again[1])];
        }
        let [once, four_times] = least;
        let line = format!(
            "{}: {}: {} {once:.3} s, {} {four_times:.3} s: {:.2}",
            run.args[0],
            kind.0,
            items[0],
            items[1],
            doubling(least)
        );
        println!("{line}");
        if doubling(least) > DOUBLING_MAX && four_times >= 0.02 {
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

/// A capture of `/proc` with rows of the table of IPv4 and lines of owners.
fn tables(rows: usize, row: fn(usize) -> String, owners: usize, owner: fn(usize) -> String) -> String {
    let lines =
        |items, line: fn(usize) -> String| (0..items).map(|number| line(number) + "\n").collect::<String>();
    format!(
        ">> proc\n  sl  local_address rem_address st\n{}  sl  local_address remote_address st\n>> owners\n{}>> end\n",
        lines(rows, row),
        lines(owners, owner)
    )
}

fn policy(dir: &Path, items: usize, entry: fn(usize) -> String) {
    write(dir, "eks-netcheck.toml", &(0..items).map(entry).collect::<String>());
}

/// Long texts.
const TEXTS: [Kind; 16] = [
    ("dots in a DNS answer", 30_000, |dir, items| write(dir, "dns/n1.txt", &".".repeat(items))),
    ("a long DNS answer", 30_000, |dir, items| write(dir, "dns/n1.txt", &"a.example. ".repeat(items / 11))),
    ("a requester id", 30_000, |dir, items| interface(dir, "RequesterId", &"r".repeat(items))),
    ("a requester id with blanks", 30_000, |dir, items| {
        interface(dir, "RequesterId", &"r ".repeat(items / 2));
    }),
    ("a requester id with colons", 30_000, |dir, items| interface(dir, "RequesterId", &":".repeat(items))),
    ("a requester id of control characters", 10_000, |dir, items| {
        interface(dir, "RequesterId", &"\u{1b}".repeat(items));
    }),
    ("a requester id of wide characters", 10_000, |dir, items| {
        interface(dir, "RequesterId", &"한".repeat(items));
    }),
    ("a requester id of joined characters", 10_000, |dir, items| {
        interface(dir, "RequesterId", &format!("e{}", "\u{301}".repeat(items)));
    }),
    ("the description of an interface", 30_000, |dir, items| {
        interface(dir, "Description", &format!("Amazon EKS {}", "x".repeat(items)));
    }),
    ("the id of an interface", 30_000, |dir, items| {
        interface(dir, "NetworkInterfaceId", &"x".repeat(items));
    }),
    ("the zone of an interface", 30_000, |dir, items| {
        interface(dir, "AvailabilityZone", &"x".repeat(items));
    }),
    ("a tag", 30_000, |dir, items| {
        edit_list(dir, "instances.json", "/Reservations/0/Instances/0/Tags", |tags| {
            tags.push(json!({"Key": "Name", "Value": "x ".repeat(items / 2)}));
        });
    }),
    ("the status of the cluster", 30_000, |dir, items| {
        edit_json(dir, "cluster.json", |json| json["cluster"]["status"] = "x ".repeat(items / 2).into());
    }),
    ("the egress mode of the control plane", 30_000, |dir, items| {
        edit_json(dir, "cluster.json", |json| {
            json["cluster"]["resourcesVpcConfig"]["controlPlaneEgressMode"] = "x".repeat(items).into();
        });
    }),
    ("the detail of a gap", 30_000, |dir, items| {
        let gap = json!({"what": "x".repeat(items), "why": "failed", "detail": ".".repeat(items), "hint": "x ".repeat(items)});
        write(dir, "manifest.json", &json!({"gaps": [gap]}).to_string());
    }),
    ("the reason of a waiver", 30_000, |dir, items| {
        let reason = "x. ".repeat(items / 3 + 1);
        write(
            dir,
            "eks-netcheck.toml",
            &format!(
                "[[waiver]]\nrule = \"node-on-public-path\"\nresource = \"*\"\nreason = \"{reason}\"\nowner = \"o\"\nexpires = 2999-01-01\n"
            ),
        );
    }),
];

/// Sets an attribute of the first EKS-owned ENI.
fn interface(dir: &Path, attribute: &str, value: &str) {
    edit_list(dir, "network-interfaces.json", "/NetworkInterfaces", |list| list[0][attribute] = value.into());
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

/// A number of `publicAccessCidrs`.
fn public_blocks(dir: &Path, items: usize) {
    edit_json(dir, "cluster.json", |json| {
        let blocks: Vec<_> = (0..items).map(|number| format!("{}/32", address(number))).collect();
        json["cluster"]["resourcesVpcConfig"]["publicAccessCidrs"] = json!(blocks);
    });
}

/// Lists of the AWS and Kubernetes answers.
const LISTS: [Kind; 13] = [
    ("CIDR blocks", 2_000, public_blocks),
    ("remote networks", 2_000, |dir, items| {
        edit_json(dir, "cluster.json", |json| {
            let blocks: Vec<_> = (0..items).map(|number| format!("{}/32", address(number))).collect();
            json["cluster"]["remoteNetworkConfig"] = json!({"remoteNodeNetworks": [{"cidrs": blocks}]});
        });
    }),
    ("blocks of the VPC", 2_000, |dir, items| {
        repeat(dir, "vpc.json", "/Vpcs/0/CidrBlockAssociationSet", items, |block, number| {
            block["CidrBlock"] = format!("{}/32", address(number)).into();
        });
    }),
    ("EKS-owned ENIs", 200, |dir, items| {
        repeat(dir, "network-interfaces.json", "/NetworkInterfaces", items, |eni, number| {
            eni["NetworkInterfaceId"] = format!("eni-{number}").into();
            eni["PrivateIpAddresses"] = json!([{"Primary": true, "PrivateIpAddress": address(number)}]);
            eni["AvailabilityZone"] = format!("zone {number}").into();
        });
    }),
    ("other ENIs", 300, |dir, items| {
        repeat(dir, "network-interfaces.json", "/NetworkInterfaces", items, |eni, number| {
            eni["NetworkInterfaceId"] = format!("eni-{number}").into();
            eni["PrivateIpAddresses"] = json!([{"Primary": true, "PrivateIpAddress": address(number)}]);
            eni["Description"] = format!("Amazon EKS other-{number}").into();
        });
    }),
    ("addresses of an ENI", 2_000, |dir, items| {
        repeat(
            dir,
            "network-interfaces.json",
            "/NetworkInterfaces/0/PrivateIpAddresses",
            items,
            |one, number| {
                one["Primary"] = false.into();
                one["PrivateIpAddress"] = address(number).into();
            },
        );
    }),
    ("groups of an ENI", 2_000, |dir, items| {
        repeat(dir, "network-interfaces.json", "/NetworkInterfaces/0/Groups", items, |group, number| {
            group["GroupId"] = format!("sg-{number}").into();
        });
    }),
    ("instances", 200, |dir, items| {
        repeat(dir, "instances.json", "/Reservations", items, |reservation, number| {
            let instance = &mut reservation["Instances"][0];
            instance["InstanceId"] = format!("i-{number:08}").into();
            instance["PrivateIpAddress"] = address(number).into();
            instance["NetworkInterfaces"] = json!([]);
        });
    }),
    ("security groups", 200, |dir, items| {
        repeat(dir, "security-groups.json", "/SecurityGroups", items, |group, number| {
            group["GroupId"] = format!("sg-{number}").into();
        });
    }),
    ("rules of a security group", 1_000, group_rules),
    ("subnets", 300, |dir, items| {
        repeat(dir, "subnets.json", "/Subnets", items, |subnet, number| {
            subnet["SubnetId"] = format!("subnet-{number}").into();
        });
    }),
    ("routes", 1_000, |dir, items| {
        edit_list(dir, "route-tables.json", "/RouteTables", |tables| {
            let route = |number: usize| {
                json!({"DestinationCidrBlock": format!("{}/32", address(number)), "State": "active",
                       "NatGatewayId": "nat-1"})
            };
            for table in tables {
                table["Routes"] = (0..items / 4).map(route).collect();
            }
        });
    }),
    ("NAT gateways", 1_000, |dir, items| {
        repeat(dir, "nat-gateways.json", "/NatGateways", items, |gateway, number| {
            gateway["NatGatewayId"] = format!("nat-{number}").into();
            gateway["NatGatewayAddresses"] = json!([{"PublicIp": address(number)}]);
        });
    }),
];

/// A mode in which the node egress is judged.
fn public_only(dir: &Path) {
    edit_json(dir, "cluster.json", |json| {
        json["cluster"]["resourcesVpcConfig"]["endpointPrivateAccess"] = false.into();
    });
}

/// Nodes, their answers and their sockets.
const NODES: [Kind; 18] = [
    ("nodes with DNS answers", 400, |dir, items| {
        for number in 0..items {
            write(dir, &format!("nodes/node-{number}.txt"), &rows(0, |_| String::new()));
            write(dir, &format!("dns/node-{number}.txt"), "192.168.1.55\n192.168.2.66\n");
        }
    }),
    ("DNS answers", 250, |dir, items| {
        for number in 0..items {
            write(dir, &format!("dns/node-{number}.txt"), "3.39.55.189\n192.168.1.55\n");
        }
    }),
    ("DNS answers that fail", 250, |dir, items| {
        for number in 0..items {
            write(dir, &format!("dns/node-{number}.txt"), ";; connection timed out\n");
        }
    }),
    ("addresses of a DNS answer", 200, |dir, items| {
        for vantage in 0..=items / 900 {
            let numbers = vantage * 900..items.min((vantage + 1) * 900);
            let lines: Vec<_> = numbers.map(address).collect();
            write(dir, &format!("dns/node-{vantage}.txt"), &lines.join("\n"));
        }
    }),
    ("nodes with public connections", 60, |dir, items| {
        for number in 0..items {
            let local = address(number);
            let text = rows(1, |_| {
                "ESTAB 0 0 LOCAL:5000 3.39.55.189:443 users:((\"kubelet\",pid=1,fd=2))".to_owned()
            });
            write(dir, &format!("nodes/node-{number}.txt"), &text.replace("LOCAL", &local));
        }
    }),
    ("nodes that hang", 50, |dir, items| {
        for number in 0..items {
            let local = address(number);
            let text = rows(1, |_| {
                "SYN-SENT 0 1 LOCAL:5000 192.168.1.55:443 users:((\"kubelet\",pid=1,fd=2))".to_owned()
            });
            write(dir, &format!("nodes/node-{number}.txt"), &text.replace("LOCAL", &local));
            write(dir, &format!("dns/node-{number}.txt"), "192.168.1.55\n");
        }
    }),
    ("nodes of public clusters", 1_000, |dir, items| {
        public_only(dir);
        repeat(dir, "instances.json", "/Reservations", items, |reservation, number| {
            let instance = &mut reservation["Instances"][0];
            instance["InstanceId"] = format!("i-{number:08}").into();
            instance["PrivateIpAddress"] = address(number).into();
            instance["NetworkInterfaces"] = json!([]);
        });
        for number in 0..items {
            let local = address(number);
            let text = rows(1, |_| {
                "SYN-SENT 0 1 LOCAL:5000 3.39.55.189:443 users:((\"kubelet\",pid=1,fd=2))".to_owned()
            });
            write(dir, &format!("nodes/node-{number}.txt"), &text.replace("LOCAL", &local));
        }
    }),
    ("nodes of Kubernetes", 150, |dir, items| {
        let node = |number: usize| {
            json!({"metadata": {"name": format!("node-{number}")}, "spec": {"podCIDRs": [format!("{}/32", address(number))]},
                   "status": {"addresses": [{"type": "InternalIP", "address": address(number)}]}})
        };
        let nodes: Vec<_> = (0..items).map(node).collect();
        write(dir, "kubernetes/nodes.json", &json!({"kind": "List", "items": nodes}).to_string());
    }),
    ("endpoint slices", 500, |dir, items| {
        let slice = |number: usize| {
            json!({"addressType": "IPv4", "endpoints": [{"addresses": [address(number)]}],
                   "metadata": {"name": "kubernetes", "namespace": "default",
                                "labels": {"kubernetes.io/service-name": "kubernetes"}}})
        };
        let slices: Vec<_> = (0..items).map(slice).collect();
        write(dir, "kubernetes/endpointslices.json", &json!({"kind": "List", "items": slices}).to_string());
    }),
    ("sockets of one peer", 1_000, |dir, items| {
        let row = |number: usize| {
            format!(
                "ESTAB 0 0 192.168.1.20:{} 3.39.55.189:443 users:((\"kubelet\",pid={number},fd=2))",
                number % 60000
            )
        };
        write(dir, "nodes/n1.txt", &rows(items, row));
    }),
    ("attempts to connect to many peers", 100, |dir, items| {
        let row = |number: usize| {
            format!("SYN-SENT 0 1 192.168.1.20:5000 {}:443 users:((\"kubelet\",pid=1,fd=2))", address(number))
        };
        write(dir, "nodes/n1.txt", &rows(items, row));
    }),
    ("clients of a kubelet", 100, |dir, items| {
        let row = |number: usize| {
            format!("ESTAB 0 0 192.168.1.20:10250 {}:50000 users:((\"kubelet\",pid=1,fd=2))", address(number))
        };
        write(dir, "nodes/n1.txt", &rows(items, row));
    }),
    ("processes", 100, |dir, items| {
        let row = |number: usize| {
            format!("ESTAB 0 0 192.168.1.20:5000 3.39.55.189:443 users:((\"p{number}\",pid={number},fd=2))")
        };
        write(dir, "nodes/n1.txt", &rows(items, row));
    }),
    ("local addresses", 1_000, |dir, items| {
        let row = |number: usize| {
            format!(
                "ESTAB 0 0 {}:5000 3.39.55.189:443 users:((\"kubelet\",pid={number},fd=2))",
                address(number)
            )
        };
        write(dir, "nodes/n1.txt", &rows(items, row));
    }),
    ("rows of /proc", 500, |dir, items| {
        let row = |number: usize| {
            format!(
                "{number}: 1401A8C0:{:04X} BD372703:01BB 01 00000000:00000000 00:00000000 00000000 0 0 {} 1",
                number % 60000,
                number + 1
            )
        };
        let owner = |number: usize| format!("{} {} 3 kubelet", number + 1, number % 1000 + 1);
        write(dir, "nodes/n1.txt", &tables(items, row, items, owner));
    }),
    ("processes of one socket in /proc", 2_000, |dir, items| {
        let row = |number: usize| {
            format!(
                "{number}: 1401A8C0:{:04X} BD372703:01BB 01 00000000:00000000 00:00000000 00000000 0 0 1 1",
                number % 60000
            )
        };
        let owner = |number: usize| format!("1 {} 3 p{number}", number + 1);
        // Each row has as many processes as are kept of a socket.
        write(dir, "nodes/n1.txt", &tables(items / 100, row, items, owner));
    }),
    ("entries of conntrack", 1_000, |dir, items| {
        let entry = |number: usize| {
            format!(
                "tcp      6 9 ESTABLISHED src=192.168.1.20 dst=3.39.55.189 sport={} dport=443 src=3.39.55.189 dst=192.168.1.20 sport=443 dport=1 [ASSURED] mark=0 use=1",
                number % 60000
            )
        };
        write(dir, "nodes/n1.txt", &rows(items, entry));
    }),
    ("lines that are no sockets", 2_000, |dir, items| {
        write(dir, "nodes/n1.txt", &rows(items, |_| "ESTAB 0 0 192.168.1.20:5000 x".to_owned()));
    }),
];

/// Entries of policies and of the evidence directory.
const ENTRIES: [Kind; 9] = [
    ("waivers", 150, |dir, items| {
        policy(dir, items, |number| waiver(&format!("x{number}"), "2999-01-01"));
        findings(dir, items);
    }),
    // A wildcard at the beginning, and one that all findings begin with.
    ("waivers by an end", 300, |dir, items| {
        policy(dir, items, |number| waiver(&format!("*-x{number}"), "2999-01-01"));
        findings(dir, items);
    }),
    ("waivers by a beginning", 300, |dir, items| {
        policy(dir, items, |number| waiver(&format!("node-x{number}*"), "2999-01-01"));
        findings(dir, items);
    }),
    ("accepted gaps by an end", 300, |dir, items| {
        policy(dir, items, |number| {
            format!(
                "[[accept-gap]]\nsubject = \"*-x{number}\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2999-01-01\n"
            )
        });
        gaps(dir, items);
    }),
    ("accepted gaps", 200, |dir, items| {
        policy(dir, items, |number| {
            format!(
                "[[accept-gap]]\nsubject = \"x{number}\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2999-01-01\n"
            )
        });
        gaps(dir, items);
    }),
    ("overrides", 200, |dir, items| {
        policy(dir, items, |number| format!("[[override]]\nclusters = [\"x{number}\"]\nfail-on = \"low\"\n"));
    }),
    ("allowed blocks", 200, |dir, items| {
        let entry = |number: usize| {
            format!("[[allowed-cidr]]\ncidr = \"{}/32\"\nreason = \"r\"\nowner = \"o\"\n", address(number))
        };
        policy(dir, items, entry);
        public_blocks(dir, items);
    }),
    ("gaps of the manifest", 500, gaps),
    ("unknown files", 500, |dir, items| {
        for number in 0..items {
            write(dir, &format!("unknown-{number}"), "");
        }
    }),
];

/// An entry of a policy.
fn waiver(resource: &str, expires: &str) -> String {
    format!(
        "[[waiver]]\nrule = \"node-on-public-path\"\nresource = \"{resource}\"\nreason = \"r\"\nowner = \"o\"\nexpires = {expires}\n"
    )
}

/// Policies that are checked.
const POLICIES: [Kind; 4] = [
    ("waivers", 1_000, |dir, items| {
        policy(dir, items, |number| waiver(&format!("x{number}"), "2999-01-01"));
    }),
    ("expired waivers", 1_000, |dir, items| {
        policy(dir, items, |number| waiver(&format!("x{number}"), "2020-01-01"));
    }),
    ("expired blocks", 1_000, |dir, items| {
        policy(dir, items, |number| {
            format!(
                "[[allowed-cidr]]\ncidr = \"{}/32\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2020-01-01\n",
                address(number)
            )
        });
    }),
    ("overrides", 1_000, |dir, items| {
        policy(dir, items, |number| {
            format!("[[override]]\nclusters = [\"x{number}*\"]\nfail-on = \"low\"\n")
        });
    }),
];

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

/// Baselines.
const BASELINES: [Kind; 3] = [
    ("findings that are gone", 500, baseline),
    ("findings that are gone, and others that are new", 150, |dir, items| {
        baseline(dir, items);
        findings(dir, items);
    }),
    ("clusters", 3_000, |dir, items| {
        let report = |number: usize| json!({"cluster": {"name": format!("c{number}"), "arn": null}, "findings": [], "verdict": "inconclusive"});
        let reports: Vec<_> = (0..items).map(report).collect();
        let reports =
            json!({"schema": "eks-netcheck.reports.v1", "verdict": "fail", "reports": reports}).to_string();
        write(dir, BASELINE, &reports);
    }),
];

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

/// Nodes without sockets, which are known by their names alone.
fn silent_nodes(dir: &Path, items: usize) {
    for number in 0..items {
        write(dir, &format!("nodes/node-{number}.txt"), &rows(0, |_| String::new()));
    }
}

/// The nodes that Kubernetes lists.
fn listed_nodes(dir: &Path, items: usize, compute_type: Option<&str>) {
    let node = |number: usize| {
        json!({"metadata": {"name": format!("node-{number}"), "labels": {"eks.amazonaws.com/compute-type": compute_type.unwrap_or("ec2")}},
               "spec": {}, "status": {"addresses": [{"type": "InternalIP", "address": address(number)}]}})
    };
    let nodes: Vec<_> = (0..items).map(node).collect();
    write(dir, "kubernetes/nodes.json", &json!({"kind": "List", "items": nodes}).to_string());
}

/// Instances that are called `node-NUMBER`.
fn instances(dir: &Path, items: usize) {
    repeat(dir, "instances.json", "/Reservations", items, |reservation, number| {
        let instance = &mut reservation["Instances"][0];
        instance["InstanceId"] = format!("i-{number:08}").into();
        instance["PrivateIpAddress"] = address(number).into();
        instance["PrivateDnsName"] = format!("node-{number}.internal").into();
        instance["NetworkInterfaces"] = json!([]);
    });
}

/// What `simulate` and `reach` judge.
const PLACES: [Kind; 11] = [
    ("nodes", 100, findings),
    ("nodes of Kubernetes", 400, |dir, items| listed_nodes(dir, items, None)),
    // The sizes are such that a comparison of all pairs takes longer than all else.
    ("nodes that are read and that Kubernetes lists", 1_500, |dir, items| {
        silent_nodes(dir, items);
        listed_nodes(dir, items, None);
    }),
    ("nodes that are read and that EC2 lists", 1_000, |dir, items| {
        silent_nodes(dir, items);
        instances(dir, items);
    }),
    ("Fargate nodes with their interfaces", 700, |dir, items| {
        listed_nodes(dir, items, Some("fargate"));
        repeat(dir, "network-interfaces.json", "/NetworkInterfaces", items, |eni, number| {
            eni["NetworkInterfaceId"] = format!("eni-{number}").into();
            eni["Description"] = "eks-fargate".into();
            eni["PrivateIpAddresses"] = json!([{"Primary": true, "PrivateIpAddress": address(number)}]);
        });
    }),
    ("security groups", 500, |dir, items| {
        repeat(dir, "security-groups.json", "/SecurityGroups", items, |group, number| {
            group["GroupId"] = format!("sg-{number}").into();
        });
        repeat(dir, "network-interfaces.json", "/NetworkInterfaces/0/Groups", items, |group, number| {
            group["GroupId"] = format!("sg-{number}").into();
        });
    }),
    ("rules of a security group", 1_000, group_rules),
    ("routes", 1_000, |dir, items| {
        edit_list(dir, "route-tables.json", "/RouteTables", |tables| {
            let route = |number: usize| {
                json!({"DestinationCidrBlock": format!("{}/32", address(number)), "State": "active",
                       "NatGatewayId": "nat-1"})
            };
            for table in tables {
                table["Routes"].as_array_mut().unwrap().extend((0..items).map(route));
            }
        });
    }),
    ("entries of a network ACL", 2_000, |dir, items| {
        let entry = |number: usize| {
            json!({"CidrBlock": format!("{}/32", address(number)), "Egress": number.is_multiple_of(2), "Protocol": "6",
                   "PortRange": {"From": 443, "To": 443}, "RuleAction": "deny", "RuleNumber": number + 1})
        };
        let entries: Vec<_> = (0..items).map(entry).collect();
        let subnets: Value = serde_json::from_slice(&fs::read(dir.join("subnets.json")).unwrap()).unwrap();
        let subnets = subnets["Subnets"].as_array().unwrap().iter();
        let associations: Vec<_> = subnets.map(|subnet| json!({"SubnetId": subnet["SubnetId"]})).collect();
        let acl = json!({"NetworkAclId": "acl-1", "Associations": associations, "Entries": entries});
        write(dir, "network-acls.json", &json!({"NetworkAcls": [acl]}).to_string());
    }),
    ("CIDR blocks", 1_000, public_blocks),
    ("EKS-owned ENIs", 200, |dir, items| {
        repeat(dir, "network-interfaces.json", "/NetworkInterfaces", items, |eni, number| {
            eni["NetworkInterfaceId"] = format!("eni-{number}").into();
            eni["PrivateIpAddresses"] = json!([{"Primary": true, "PrivateIpAddress": address(number)}]);
        });
    }),
];

/// Clients that the user names.
const CLIENTS: [Kind; 2] = [
    ("clients", 200, |dir, items| {
        let client = |number: usize| format!("--client\nc{number}={}/32\n", address(number));
        write(dir, ARGS, &(0..items).map(client).collect::<String>());
    }),
    ("blocks of a client", 200, |dir, items| {
        let blocks: Vec<_> = (0..items).map(|number| format!("{}/32", address(number))).collect();
        write(dir, ARGS, &format!("--client\nc={}\n", blocks.join(",")));
    }),
];

/// A finding for each of a number of nodes.
fn findings(dir: &Path, items: usize) {
    for number in 0..items {
        let text =
            rows(1, |_| "ESTAB 0 0 LOCAL:5000 3.39.55.189:443 users:((\"kubelet\",pid=1,fd=2))".to_owned());
        write(dir, &format!("nodes/node-{number}.txt"), &text.replace("LOCAL", &address(number)));
    }
}

/// A number of gaps of each kind.
fn gaps(dir: &Path, items: usize) {
    let gap = |number: usize| {
        let what = match number % 4 {
            0 => format!("node gap-{number}"),
            1 => format!("dns/gap-{number}.txt"),
            2 => format!("egress of node i-{number}"),
            _ => format!("notes {number}"),
        };
        json!({"what": what, "why": "failed", "detail": "it failed"})
    };
    let gaps: Vec<_> = (0..items).map(gap).collect();
    write(dir, "manifest.json", &json!({"gaps": gaps}).to_string());
}

#[test]
fn time_is_linear_in_the_length_of_texts() {
    assert_linear(&audit(), &TEXTS);
}

#[test]
fn time_is_linear_in_the_length_of_lists() {
    assert_linear(&audit(), &LISTS);
}

#[test]
fn time_is_linear_in_the_number_of_nodes_and_sockets() {
    assert_linear(&audit(), &NODES);
}

#[test]
fn time_is_linear_in_the_number_of_entries() {
    assert_linear(&audit(), &ENTRIES);
}

#[test]
fn time_is_linear_in_the_number_of_entries_of_a_policy_that_is_checked() {
    assert_linear(&check(), &POLICIES);
}

#[test]
fn time_is_linear_in_the_size_of_a_baseline() {
    assert_linear(&compared(), &BASELINES);
}

#[test]
fn time_is_linear_in_the_number_of_answers_to_probes_and_in_the_size_of_bundles() {
    assert_linear(&audit(), &FILES);
}

#[test]
fn time_of_simulate_is_linear() {
    assert_linear(&simulation(), &PLACES);
    assert_linear(&simulation(), &CLIENTS);
}

#[test]
fn time_of_reach_is_linear() {
    assert_linear(&reach(), &PLACES);
}
