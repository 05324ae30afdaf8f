//! Captures of tables in `/proc` and of `conntrack` from arbitrary values: every socket is
//! read, whatever its processes are, and no prefix of a capture with marks is complete.
#![no_main]

use eks_netcheck::capture::parser::{Event, Parser};
use eks_netcheck::capture::reading::CaptureSummary;
use eks_netcheck::evidence::next_step;
use eks_netcheck::evidence::nodes::node;
use libfuzzer_sys::fuzz_target;

type Row = ([u8; 4], u16, [u8; 16], u16, u8, u32, Vec<(u32, u32, Vec<u8>)>);

fuzz_target!(|input: (Vec<Row>, bool, u16)| {
    let (table, is_conntrack, cut) = input;
    let mut text = Vec::new();
    if is_conntrack {
        for (v4, local, _, peer, state, timeout, _) in &table {
            let [a, b, c, d] = v4;
            let state = ["ESTABLISHED", "SYN_SENT", "TIME_WAIT", "CLOSE"][usize::from(*state) % 4];
            text.extend(format!(
                "tcp      6 {timeout} {state} src={a}.{b}.{c}.{d} dst=10.0.0.1 sport={local} dport={peer} src=10.0.0.2 dst={a}.{b}.{c}.{d} sport={peer} dport={local} [ASSURED] mark=0 use=1\n"
            ).bytes());
        }
    } else {
        text.extend(b">> proc\n>> /proc/1/net/tcp\n  sl  local_address rem_address   st\n");
        let mut owners = Vec::new();
        for (number, (v4, local, _, peer, state, inode, _)) in table.iter().enumerate() {
            let host = u32::from_le_bytes(*v4);
            text.extend(format!("{number}: {host:08X}:{local:04X} {host:08X}:{peer:04X} {:02X} 00000000:00000000 00:00000000 00000000 0 0 {inode} 1\n", state % 12 + 1).bytes());
        }
        text.extend(b">> /proc/1/net/tcp6\n  sl  local_address remote_address st\n");
        for (number, (_, local, v6, peer, state, inode, processes)) in table.iter().enumerate() {
            let host: String = v6.iter().map(|byte| format!("{byte:02X}")).collect();
            text.extend(format!("{number}: {host}:{local:04X} {host}:{peer:04X} {:02X} 00000000:00000000 00:00000000 00000000 0 0 {inode} 1\n", state % 12 + 1).bytes());
            for (pid, fd, name) in processes {
                owners.extend(format!("{inode} {pid} {fd} ").bytes());
                owners.extend(name.iter().map(|&byte| if byte == b'\n' { b'?' } else { byte }));
                owners.push(b'\n');
            }
        }
        text.extend(b">> owners\n");
        text.extend(owners);
        text.extend(b">> end\n");
    }
    let rows = if is_conntrack { table.len() } else { 2 * table.len() };
    assert_eq!(read(&text, usize::MAX), rows);
    assert_eq!(read(&text, usize::from(cut).max(1)), rows);
    // Without the last line, whether it was cut in it or above it.
    let length = usize::from(cut).min(text.len().saturating_sub(2));
    let name = "n1".parse().expect("a name");
    let summary = CaptureSummary::read(&name, &text[..length], |_| {}).expect("memory");
    assert!(!node(name, summary, next_step::capture).gaps.is_empty());
});

/// The number of rows of a capture that is read in pieces of `size` bytes.
fn read(text: &[u8], size: usize) -> usize {
    let mut rows = 0;
    let mut sink = |event: Event<'_>| rows += usize::from(matches!(event, Event::Row(_)));
    let mut parser = Parser::new();
    for mut piece in text.chunks(size) {
        while parser.read_from(&mut piece, &mut sink).expect("memory") > 0 {}
    }
    let tally = parser.finish(&mut sink);
    assert_eq!(tally.rejected, 0, "{}", String::from_utf8_lossy(text));
    rows
}
