//! Throughput of parsing and classifying captures.
//!
//! ```sh
//! cargo bench --no-default-features
//! ```
//!
//! `count_lines`, which only counts line feeds in the same bytes, is the baseline: on
//! a noisy machine, compare the ratios to it.

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

/// The size of the pieces that a capture is read in.
const CHUNK: usize = 256 << 10;

fn main() {
    divan::main();
}

fn capture() -> Vec<u8> {
    let mut text = Vec::new();
    capture::write_capture(100_000, &mut text).expect("writing to memory does not fail");
    text
}

fn classifier() -> Classifier {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/evidence/study-public");
    let dir = EvidenceDir::open(&dir).expect("the fixture exists");
    Classifier::new(dir.read("myeks").expect("valid evidence"))
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
        while parser.read_from(&mut text, &mut sink).expect("reading from memory does not fail") > 0 {}
        parser.finish(&mut sink)
    });
}

#[divan::bench]
fn parse_and_classify(bencher: Bencher<'_, '_>) {
    let text = capture();
    let node: NodeName = "n1".parse().expect("a valid name");
    bencher.counter(BytesCount::of_slice(&text)).with_inputs(classifier).bench_values(|mut classifier| {
        let mut parser = Parser::new();
        let mut sink = |event: Event<'_>| {
            if let Event::Row(row) = event {
                classifier.add(&node, row.socket, row.processes.map(|process| (process.comm, process.pid())));
            }
        };
        let mut text = text.as_slice();
        while parser.read_from(&mut text, &mut sink).expect("reading from memory does not fail") > 0 {}
        parser.finish(&mut sink);
        classifier.finish(Vec::new())
    });
}
