//! Nodes, their answers and their sockets.

use std::path::Path;

use serde_json::json;

use super::{Kind, address, assert_linear, audit, repeat, rows, write};
use crate::common::edit_json;

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

#[test]
fn time_is_linear_in_the_number_of_nodes_and_sockets() {
    assert_linear(&audit(), &NODES);
}
