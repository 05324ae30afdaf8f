//! Parses arbitrary bytes as a capture of any kind: no panic, every line counted, and the
//! same rows for every chunk size.
#![no_main]

use eks_netcheck::capture::parser::{Event, Parser};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], u8)| {
    let (bytes, size) = input;
    let whole = read(bytes, usize::MAX);
    let lines = bytes.split_inclusive(|&byte| byte == b'\n').count() as u64;
    assert_eq!(whole.1, lines);
    assert_eq!(whole, read(bytes, usize::from(size).max(1)));
});

/// Parses `bytes` in chunks of `size`; returns the rows as text and the number of lines.
fn read(bytes: &[u8], size: usize) -> (Vec<String>, u64) {
    let mut rows = Vec::new();
    let mut sink = |event: Event<'_>| {
        if let Event::Row(row) = event {
            let names: Vec<_> = row.processes.map(|process| (process.comm.to_vec(), process.pid())).collect();
            rows.push(format!("{:?} {names:?}", row.socket));
        }
    };
    let mut parser = Parser::new();
    for mut piece in bytes.chunks(size) {
        while parser.read_from(&mut piece, &mut sink).expect("memory can be read") > 0 {}
    }
    let tally = parser.finish(&mut sink);
    assert_eq!(tally.rows, rows.len() as u64);
    (rows, tally.lines())
}
