//! What `remora patterns` and `remora join-lines` do: lines in, one line out for each, with the code the agent runs.
//! Must never lose or add a line.

use crate::join::{Joined, Joiner};
use crate::lines::{self, LineStats};
use crate::pipeline::{Pipeline, Settings};
use crate::severity::Severity;
use crate::table::{PatternTable, overflow_id, overflow_template};
use crate::template::PatternId;
use crate::terminal;
use rustc_hash::FxHashMap;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

/// Lines whose ids are held back so that what later lines teach counts for earlier ones too.
pub const DEFAULT_BATCH: usize = 256 * 1024;

/// Bytes that are written at once: a write a line costs as much as what is written.
const WRITTEN: usize = 64 * 1024;

/// Memory of the one table of a run.
const TABLE_BUDGET: usize = 8 << 20;

/// Reads log lines and writes `id<TAB>severity<TAB>template` for each, severity as the OTLP number.
///
/// Like the agent, which holds records back until its next export, it reads up to `batch` lines before it writes:
/// within a batch, all lines of a pattern carry the id that the pattern has at the batch's end. A `batch` of 1 writes
/// each line's id at once.
pub fn patterns_stdin(reader: impl BufRead, mut writer: impl Write, batch: usize) -> io::Result<LineStats> {
    let mut run = Patterns::new();
    let stats = lines::for_each(reader, |line| {
        run.observe(line);
        if run.held.len() >= batch.max(1) { run.write(&mut writer) } else { Ok(()) }
    })?;
    run.write(&mut writer)?;
    writer.flush()?;
    Ok(stats)
}

/// Reads raw lines of one stream and writes each joined message as one JSON string a line.
///
/// Time stands still: a message is complete when the next one begins, never because of a pause.
pub fn join_lines_stdin(reader: impl BufRead, mut writer: impl Write) -> io::Result<LineStats> {
    let mut joiner = Joiner::default();
    let mut json = Vec::new();
    let stats = lines::for_each(reader, |line| {
        joiner.push(line, 0, |joined| json_string(joined.text, &mut json));
        if json.len() >= WRITTEN {
            writer.write_all(&json)?;
            json.clear();
        }
        Ok(())
    })?;
    joiner.flush(|joined| json_string(joined.text, &mut json));
    writer.write_all(&json)?;
    writer.flush()?;
    Ok(stats)
}

/// Appends `text` as a JSON string and a line end (RFC 8259 section 7); bytes that are no UTF-8 become U+FFFD.
fn json_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            control if control < ' ' => out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes()),
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.extend_from_slice(b"\"\n");
}

struct Patterns {
    table: PatternTable,
    pipeline: Pipeline,
    held: Vec<(PatternId, Severity)>,
    /// A line without what was meant for a terminal.
    plain: Vec<u8>,
}

impl Patterns {
    fn new() -> Self {
        let pipeline = Pipeline::new(Settings::default(), TABLE_BUDGET);
        Self { table: pipeline.table(), pipeline, held: Vec::new(), plain: Vec::new() }
    }

    fn observe(&mut self, line: &[u8]) {
        let line = terminal::plain(line, &mut self.plain);
        self.held.push(self.pipeline.count(&mut self.table, &Joined::line(line), Severity::UNSPECIFIED, 0));
    }

    fn write(&mut self, writer: &mut impl Write) -> io::Result<()> {
        let mut answers: FxHashMap<(PatternId, u8), String> = FxHashMap::default();
        let mut out = Vec::with_capacity(2 * WRITTEN);
        for (id, severity) in self.held.drain(..) {
            let id = self.table.resolve(id);
            let number = severity.number();
            let answer =
                answers.entry((id, number)).or_insert_with(|| format!("{id}\t{number}\t{}\n", template_of(&self.table, id, severity)));
            out.extend_from_slice(answer.as_bytes());
            if out.len() >= WRITTEN {
                writer.write_all(&out)?;
                out.clear();
            }
        }
        writer.write_all(&out)?;
        self.table.take_changes();
        self.table.take_counts();
        Ok(())
    }
}

fn template_of(table: &PatternTable, id: PatternId, severity: Severity) -> Arc<str> {
    match table.template_of(id) {
        Some(template) => template,
        None if id == overflow_id(severity) => overflow_template(severity).into(),
        None => Arc::from(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patterns(input: &[u8], batch: usize) -> Vec<String> {
        let mut out = Vec::new();
        patterns_stdin(input, &mut out, batch).expect("memory does not fail");
        String::from_utf8(out).expect("UTF-8").lines().map(str::to_owned).collect()
    }

    #[test]
    fn text_json_and_logfmt_agree() {
        let lines = patterns(
            b"2026-11-25 15:04:05 WARN [main] a.b.C: disk 5 is full\n{\"level\":\"warn\",\"msg\":\"disk 7 is full\"}\nlevel=warn msg=\"disk 9 is full\"\n",
            DEFAULT_BATCH,
        );
        assert_eq!(lines.len(), 3);
        assert!(lines[0].ends_with("\t13\tdisk <*> is full"), "{}", lines[0]);
        assert_eq!(lines[0], lines[1]);
        assert_eq!(lines[0], lines[2]);
    }

    #[test]
    fn earlier_lines_profit_from_later_ones() {
        let input =
            b"session opened for ann\nsession opened for bob\nsession opened for eve\nsession opened for joe\nsession opened for kim\n";
        assert!(patterns(input, DEFAULT_BATCH).iter().all(|line| line.ends_with("session opened for <*>")));
        assert!(patterns(input, 1)[0].ends_with("session opened for ann"));
    }

    #[test]
    fn joined_messages_are_json_strings() {
        let mut out = Vec::new();
        join_lines_stdin(&b"a \"q\" \\ \xff\x01\n  b\tc\r\nnext"[..], &mut out).expect("memory does not fail");
        assert_eq!(crate::bytes::lossy(&out), "\"a \\\"q\\\" \\\\ \u{fffd}\\u0001\\n  b\\tc\"\n\"next\"\n");
    }

    proptest! {
        #[test]
        fn every_line_has_an_answer(input in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400)) {
            let expected = input.split(|byte| *byte == b'\n').count() - usize::from(input.last().is_none_or(|byte| *byte == b'\n'));
            prop_assert_eq!(patterns(&input, 3).len(), expected);
        }
    }
}
