//! Prints a synthetic capture in the format of `ss -tnp`, with any number of rows:
//!
//! ```sh
//! cargo run --profile optimized --no-default-features --example capture 1000000 > nodes/n1.txt
//! ```
//!
//! The output is deterministic. Of the rows, 60 % are IPv4, 24 % IPv4-mapped IPv6
//! and 16 % IPv6; one in a thousand belongs to kubelet and one to kube-proxy.

use std::io::{self, BufWriter, Write};

fn main() -> io::Result<()> {
    let rows = std::env::args().nth(1).and_then(|rows| rows.parse().ok()).unwrap_or(1_000_000);
    let mut out = BufWriter::new(io::stdout().lock());
    write_capture(rows, &mut out)?;
    out.flush()
}

/// Writes the header line and `rows` rows.
pub(crate) fn write_capture(rows: u64, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<10} {:<6} {:<6} {:>39} {:>39} Process",
        "State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port"
    )?;
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for row in 0..rows {
        let [port, a, b, pid, fd] = [0; 5].map(|_: u8| random.next());
        let (local, peer) = addresses(row, a, b, port);
        let comm = match row % 1000 {
            0 => "kubelet",
            500 => "kube-proxy",
            _ => ["nginx", "java", "envoy", "node", "containerd", "coredns"][(a % 6) as usize],
        };
        let (pid, fd) = (pid % 4_000_000 + 1, fd % 5000 + 3);
        let second =
            if b % 3 == 0 { format!(",(\"{comm}\",pid={},fd={fd})", pid + 1) } else { String::new() };
        let users = format!("((\"{comm}\",pid={pid},fd={fd}){second}");
        let state = ["ESTAB", "ESTAB", "ESTAB", "ESTAB", "CLOSE-WAIT"][(b % 5) as usize];
        writeln!(out, "{state:<10} {:<6} {:<6} {local:>39} {peer:>39} users:{users})", 0, 0)?;
    }
    Ok(())
}

fn addresses(row: u64, a: u64, b: u64, port: u64) -> (String, String) {
    let local_port = 32768 + port % 28000;
    let (peer_port, host) = match row % 1000 {
        0 => (443, "3.39.55.189".to_owned()),
        500 => (443, "3.37.178.179".to_owned()),
        _ => (
            [443, 5432, 6379, 9092, 8080][(a % 5) as usize],
            format!("{}.{}.{}.{}", a % 200 + 11, b % 256, (a >> 8) % 256, (b >> 8) % 256),
        ),
    };
    match row % 25 {
        0..15 => (format!("192.168.1.20:{local_port}"), format!("{host}:{peer_port}")),
        15..21 => (format!("[::ffff:192.168.1.20]:{local_port}"), format!("[::ffff:{host}]:{peer_port}")),
        _ => (
            format!("[2600:1f13:abc:de01::94]:{local_port}"),
            format!("[2600:1f13:{:x}:{:x}::{:x}]:{peer_port}", a % 0xffff, b % 0xffff, (a >> 16) % 0xffff),
        ),
    }
}

/// A xorshift64 generator: deterministic on every platform.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
