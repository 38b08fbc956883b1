//! Measures pattern recognition against ground truth: grouping accuracy (GA) and per-template F1 (FGA).
//!
//! `cargo run --release -p remora-logs --example evaluate` expands the statements in `corpora/` to lines, raw (with
//! header), as content, JSON and logfmt, and prints a table. `-- --show STYLE` lists the groups that are wrong.
//! `-- FILE…` measures labelled files instead: one `label<TAB>line` a line.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a measuring tool that stops at the first surprise")]

#[path = "corpus/mod.rs"]
mod corpus;

use corpus::{Form, Line, Style};
use remora_logs::stdin::{DEFAULT_BATCH, patterns_stdin};
use std::collections::{BTreeMap, BTreeSet};

const LINES: usize = 2_000;

/// What one run answered for each line.
struct Answers {
    ids: Vec<String>,
    severities: Vec<String>,
    templates: Vec<String>,
}

fn run(lines: &[String]) -> Answers {
    let mut input = lines.join("\n").into_bytes();
    input.push(b'\n');
    let mut output = Vec::new();
    patterns_stdin(&input[..], &mut output, DEFAULT_BATCH).expect("memory does not fail");
    let output = String::from_utf8(output).expect("UTF-8");
    let mut answers = Answers { ids: Vec::new(), severities: Vec::new(), templates: Vec::new() };
    for line in output.lines() {
        let mut parts = line.splitn(3, '\t').map(str::to_owned);
        answers.ids.push(parts.next().expect("an id"));
        answers.severities.push(parts.next().expect("a severity"));
        answers.templates.push(parts.next().expect("a template"));
    }
    answers
}

fn groups<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, BTreeSet<usize>> {
    let mut groups: BTreeMap<K, BTreeSet<usize>> = BTreeMap::new();
    for (index, key) in keys.enumerate() {
        groups.entry(key).or_default().insert(index);
    }
    groups
}

/// Grouping accuracy and F1 of template groups.
fn accuracy(labels: &[String], ids: &[String]) -> (f64, f64) {
    let truth = groups(labels.iter());
    let answer = groups(ids.iter());
    let true_sets: BTreeSet<&BTreeSet<usize>> = truth.values().collect();
    let right: Vec<&BTreeSet<usize>> = answer.values().filter(|group| true_sets.contains(group)).collect();
    let lines: usize = right.iter().map(|group| group.len()).sum();
    (lines as f64 / labels.len() as f64, 2.0 * right.len() as f64 / (truth.len() + answer.len()) as f64)
}

/// Share of the second half's lines that a process started there gives the same id.
fn restart(lines: &[String], ids: &[String]) -> f64 {
    let half = lines.len() / 2;
    let again = run(&lines[half..]);
    let same = again.ids.iter().zip(&ids[half..]).filter(|(now, before)| now == before).count();
    same as f64 / (lines.len() - half) as f64
}

/// Ids when the lines are spread over four processes.
fn four_nodes(lines: &[String]) -> Vec<String> {
    let mut ids = vec![String::new(); lines.len()];
    for node in 0..4 {
        let part: Vec<String> = lines.iter().skip(node).step_by(4).cloned().collect();
        for (index, id) in run(&part).ids.into_iter().enumerate() {
            ids[node + index * 4] = id;
        }
    }
    ids
}

fn show_errors(labels: &[String], lines: &[String], answers: &Answers) {
    let answer = groups(answers.ids.iter());
    for (label, members) in groups(labels.iter()) {
        let ids: BTreeSet<&String> = members.iter().map(|index| &answers.ids[*index]).collect();
        let exact = ids.len() == 1 && ids.iter().all(|id| answer[*id].len() == members.len());
        if !exact {
            println!("  {label} ({} lines, {} ids)", members.len(), ids.len());
            for id in ids.iter().take(6) {
                let first = answer[*id].first().copied().unwrap_or_default();
                println!("    {} x{} e.g. {}", answers.templates[first], answer[*id].len(), lines[first]);
            }
        }
    }
}

fn measure_style(style: &Style, show: Option<&str>) -> Vec<f64> {
    let lines: Vec<Line> = style.expand(LINES);
    let labels: Vec<String> = lines.iter().map(|line| line.label.clone()).collect();
    let mut row = Vec::new();
    for form in [Form::Raw, Form::Content, Form::Json, Form::Logfmt] {
        let text: Vec<String> = lines.iter().map(|line| line.text(form)).collect();
        let answers = run(&text);
        let (ga, fga) = accuracy(&labels, &answers.ids);
        row.extend([ga, fga]);
        if matches!(form, Form::Raw | Form::Json) {
            let judged: Vec<bool> =
                lines.iter().zip(&answers.severities).filter_map(|(line, have)| Some(line.severity()?.to_string() == *have)).collect();
            row.push(if judged.is_empty() { f64::NAN } else { judged.iter().filter(|right| **right).count() as f64 / judged.len() as f64 });
        }
        if form == Form::Raw {
            row.push(restart(&text, &answers.ids));
            row.push(accuracy(&labels, &four_nodes(&text)).0 - ga);
        }
        if show == Some(style.name.as_str()) && matches!(form, Form::Raw | Form::Content) {
            println!("{} {form:?}", style.name);
            show_errors(&labels, &text, &answers);
        }
    }
    row
}

fn measure_files(files: &[String]) {
    for file in files {
        let text = String::from_utf8_lossy(&std::fs::read(file).expect("a readable file")).into_owned();
        let (labels, lines): (Vec<String>, Vec<String>) =
            text.lines().filter_map(|line| line.split_once('\t')).map(|(label, line)| (label.to_owned(), line.to_owned())).unzip();
        let answers = run(&lines);
        let (ga, fga) = accuracy(&labels, &answers.ids);
        println!("{file}: GA {ga:.3} FGA {fga:.3}");
        show_errors(&labels, &lines, &answers);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let show = arguments.iter().position(|argument| argument == "--show").and_then(|at| arguments.get(at + 1));
    if show.is_none() && !arguments.is_empty() {
        return measure_files(&arguments);
    }
    println!("{:16} raw GA   FGA   sev  restart 4nodes content GA FGA  JSON GA  FGA   sev  logfmt GA FGA", "style");
    let mut sums: Vec<(f64, u32)> = vec![(0.0, 0); 11];
    for style in corpus::styles() {
        let row = measure_style(&style, show.map(String::as_str));
        println!("{:16} {}", style.name, row.iter().map(|value| format!("{value:6.3}")).collect::<Vec<_>>().join(" "));
        for (sum, value) in sums.iter_mut().zip(row).filter(|(_, value)| !value.is_nan()) {
            *sum = (sum.0 + value, sum.1 + 1);
        }
    }
    println!("{:16} {}", "mean", sums.iter().map(|(sum, count)| format!("{:6.3}", sum / f64::from(*count))).collect::<Vec<_>>().join(" "));
}
