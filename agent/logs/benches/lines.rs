//! Speed and memory of the log core against its budgets: `cargo bench -p remora-logs`.
//! Figures are lines per CPU second of the one thread, the best of five runs.

#![expect(clippy::print_stdout, reason = "a bench prints")]

#[expect(dead_code, reason = "the evaluation uses the rest")]
#[path = "../examples/corpus/mod.rs"]
mod corpus;

use corpus::Form;
use remora_logs::envelope::{PartJoiner, cri, docker_json};
use remora_logs::join::{Joined, Joiner};
use remora_logs::stdin::join_lines_stdin;
use remora_logs::{Pipeline, Settings, Severity};
use rustix::time::{ClockId, clock_gettime};
use std::fmt::Write as _;
use std::hint::black_box;

/// Lines of each style, as one container logs them.
const A_CONTAINER: usize = 20_000;
/// The first of them, of which most bring something new.
const FIRST: usize = 2_000;

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn best(mut run: impl FnMut()) -> f64 {
    (0..5)
        .map(|_| {
            let start = cpu_seconds();
            run();
            cpu_seconds() - start
        })
        .fold(f64::INFINITY, f64::min)
}

fn report(name: &str, lines: usize, bytes: usize, seconds: f64, budget: &str) {
    println!("{name:44} {:8.0} k lines/s {:8.0} MB/s  budget {budget}", lines as f64 / seconds / 1e3, bytes as f64 / seconds / 1e6);
}

fn corpus_lines(form: Form) -> Vec<Vec<u8>> {
    corpus::styles()
        .iter()
        .flat_map(|style| style.expand(A_CONTAINER).into_iter().map(|line| line.text(form).into_bytes()).collect::<Vec<_>>())
        .collect()
}

fn wrapped(lines: &[Vec<u8>], wrap: impl Fn(&str) -> String) -> Vec<Vec<u8>> {
    lines.iter().map(|line| wrap(&String::from_utf8_lossy(line)).into_bytes()).collect()
}

fn size(lines: &[Vec<u8>]) -> usize {
    lines.iter().map(|line| line.len() + 1).sum()
}

/// Decode, join, recognise, count: what the agent does for a line that is counted only.
fn counted<'a>(lines: &'a [Vec<u8>], decode: impl Fn(&'a [u8]) -> Option<remora_logs::envelope::Entry<'a>>, per_table: usize) {
    let mut pipeline = Pipeline::new(Settings::default(), 64 << 20);
    for chunk in lines.chunks(per_table) {
        let mut table = pipeline.table();
        let mut joiner = Joiner::default();
        let mut parts = PartJoiner::default();
        for line in chunk {
            let Some(entry) = decode(line) else { continue };
            parts.push(&entry, |text, _| {
                joiner.push(text, 1, |joined| {
                    black_box(pipeline.count(&mut table, &joined, Severity::UNSPECIFIED, 1));
                });
            });
        }
        pipeline.drop_table(table);
    }
}

fn counted_text(lines: &[Vec<u8>]) {
    let mut pipeline = Pipeline::new(Settings::default(), 64 << 20);
    let mut table = pipeline.table();
    for line in lines {
        black_box(pipeline.count(&mut table, &Joined::line(line), Severity::UNSPECIFIED, 1));
    }
}

fn random_words(count: usize) -> Vec<Vec<u8>> {
    let mut state = 1u64;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (0..7).map(|at| char::from(b'a' + (state >> (20 + at * 5)) as u8 % 26)).collect::<String>()
    };
    (0..count).map(|_| (0..8).map(|_| word()).collect::<Vec<_>>().join(" ").into_bytes()).collect()
}

fn main() {
    let raw = corpus_lines(Form::Raw);
    let cri_lines = wrapped(&raw, |line| format!("2026-11-25T15:04:05.123456789Z stdout F {line}"));
    report(
        "CRI: decode, join, count",
        raw.len(),
        size(&cri_lines),
        best(|| counted(&cri_lines, cri::decode, A_CONTAINER)),
        "1,200 k lines/s",
    );
    let first: Vec<Vec<u8>> = cri_lines.chunks(A_CONTAINER).flat_map(|container| container[..FIRST].to_vec()).collect();
    report("CRI, the first lines of each container", first.len(), size(&first), best(|| counted(&first, cri::decode, FIRST)), "");
    let docker = wrapped(&raw, |line| {
        let mut out = String::from("{\"log\":\"");
        for character in line.chars() {
            match character {
                '"' | '\\' => {
                    out.push('\\');
                    out.push(character);
                }
                other => out.push(other),
            }
        }
        let _ = write!(out, "\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-25T15:04:05.123456789Z\"}}");
        out
    });
    report(
        "Docker json-file: decode, join, count",
        raw.len(),
        size(&docker),
        best(|| counted(&docker, docker_json::decode, A_CONTAINER)),
        "1,200 k lines/s",
    );
    report("text: count", raw.len(), size(&raw), best(|| raw.chunks(A_CONTAINER).for_each(counted_text)), "");
    let content = corpus_lines(Form::Content);
    report("content: count", content.len(), size(&content), best(|| content.chunks(A_CONTAINER).for_each(counted_text)), "");
    let json = corpus_lines(Form::Json);
    report("JSON: count", json.len(), size(&json), best(|| json.chunks(A_CONTAINER).for_each(counted_text)), "");
    let logfmt = corpus_lines(Form::Logfmt);
    report("logfmt: count", logfmt.len(), size(&logfmt), best(|| logfmt.chunks(A_CONTAINER).for_each(counted_text)), "");
    let joined = raw.join(&b'\n');
    report(
        "join lines to JSON strings",
        raw.len(),
        joined.len(),
        best(|| drop(black_box(join_lines_stdin(&joined[..], std::io::sink())))),
        "",
    );
    records(&raw);
    let long: Vec<Vec<u8>> = raw.chunks(400).map(|lines| lines.join(&b' ')[..].iter().copied().take(36 * 1024).collect()).collect();
    report("36 KB lines: count", long.len(), size(&long), best(|| counted_text(&long)), "200 MB/s");
    let words = random_words(100_000);
    report("all-new words: count", words.len(), size(&words), best(|| counted_text(&words)), "500 k lines/s");
    memory(&words);
}

fn records(raw: &[Vec<u8>]) {
    let seconds = best(|| {
        let mut pipeline = Pipeline::new(Settings::default(), 64 << 20);
        for lines in raw.chunks(A_CONTAINER) {
            let mut table = pipeline.table();
            for line in lines {
                black_box(pipeline.record(&mut table, &Joined::line(line), Severity::UNSPECIFIED, 1));
            }
            pipeline.drop_table(table);
        }
    });
    report("text: whole records, redacted", raw.len(), size(raw), seconds, "");
}

fn memory(words: &[Vec<u8>]) {
    let mut pipeline = Pipeline::new(Settings::default(), 64 << 20);
    let mut table = pipeline.table();
    for line in words {
        pipeline.count(&mut table, &Joined::line(line), Severity::UNSPECIFIED, 1);
    }
    println!("memory at the pattern limit: {} KiB  budget 256 KiB", table.memory() / 1024);
    let tables = words.chunks(words.len() / 100).map(|words| {
        let mut table = pipeline.table();
        for line in words {
            pipeline.count(&mut table, &Joined::line(line), Severity::UNSPECIFIED, 1);
        }
        table
    });
    let tables: Vec<_> = tables.collect();
    let memory: usize = tables.iter().map(|table| table.memory()).sum();
    println!("memory of {} containers at the pattern limit: {} MiB  budget 32 MiB", tables.len(), memory >> 20);
}
