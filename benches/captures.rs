//! How fast captures are read and judged.
//!
//! ```sh
//! cargo bench --no-default-features
//! ```
//!
//! `count_lines` does the least that any reader must, on the same bytes in the
//! same run: on a noisy machine, look at the ratio to it. Figures from a whole
//! process, with memory, are in the README.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use eks_netcheck::capture::parser::{Event, Parser};
use eks_netcheck::classify::Classifier;
use eks_netcheck::evidence::directory::EvidenceDir;
use eks_netcheck::model::name::NodeName;
use std::path::Path;

#[path = "../examples/capture.rs"]
#[expect(dead_code, reason = "the example's main is not called here")]
mod capture;

/// What a capture is read in.
const CHUNK: usize = 256 << 10;

fn main() {
    divan::main();
}

fn capture() -> Vec<u8> {
    let mut text = Vec::new();
    capture::write_capture(100_000, &mut text).expect("memory takes it");
    text
}

fn classifier() -> Classifier {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/evidence/study-public");
    let dir = EvidenceDir::open(&dir).expect("a directory");
    Classifier::new(dir.read("myeks").expect("evidence"))
}

#[divan::bench]
fn count_lines(bencher: Bencher<'_, '_>) {
    let text = capture();
    bencher
        .counter(BytesCount::of_slice(&text))
        .bench(|| text.chunks(CHUNK).map(|chunk| memchr::memchr_iter(b'\n', chunk).count()).sum::<usize>());
}

#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    let text = capture();
    bencher.counter(BytesCount::of_slice(&text)).bench(|| {
        let mut parser = Parser::new();
        let mut sink = |event: Event<'_>| {
            black_box(event);
        };
        let mut text = text.as_slice();
        while parser.read_from(&mut text, &mut sink).expect("memory can be read") > 0 {}
        parser.finish(&mut sink)
    });
}

#[divan::bench]
fn parse_and_classify(bencher: Bencher<'_, '_>) {
    let text = capture();
    let node: NodeName = "n1".parse().expect("a name");
    bencher.counter(BytesCount::of_slice(&text)).with_inputs(classifier).bench_values(|mut classifier| {
        let mut parser = Parser::new();
        let mut sink = |event: Event<'_>| {
            if let Event::Row(row) = event {
                classifier.add(&node, row.socket, row.processes.map(|process| (process.comm, process.pid())));
            }
        };
        let mut text = text.as_slice();
        while parser.read_from(&mut text, &mut sink).expect("memory can be read") > 0 {}
        parser.finish(&mut sink);
        classifier.finish(Vec::new())
    });
}
