//! The text form of learned patterns, kept over restarts.
//! Must never hold a value that was learned to vary, and must survive damage: what cannot be read is skipped.
//!
//! After a first line with the version, one line a pattern: glue as it is, a word between `0x01` and `0x02`,
//! a variable as `0x03`, a learned variable as `0x04`, a rest that varies as `0x05`, a text that varies as `0x06`. None of these bytes
//! can stand in glue or word.

use crate::signature::Sink;
use crate::template::{Builder, Slot, Template};

const VERSION: &[u8] = b"remora-patterns 1";
const WORD: u8 = 1;
const WORD_END: u8 = 2;
/// The marks of what is no word.
const VALUES: [(u8, Slot); 4] = [(3, Slot::VARIABLE), (4, Slot::LEARNED), (5, Slot::REST), (6, Slot::TEXT)];
const LAST_MARK: u8 = 6;
/// Patterns read at most.
const MAX_PATTERNS: usize = 4096;

/// Writes patterns in a fixed order.
pub(super) fn save<'a>(templates: impl Iterator<Item = &'a Template>) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = templates.map(line).collect();
    lines.sort_unstable();
    lines.insert(0, VERSION.to_vec());
    let mut out = lines.join(&b'\n');
    out.push(b'\n');
    out
}

fn line(template: &Template) -> Vec<u8> {
    let mut out = Vec::new();
    let tail = template.parts(|slot, glue, word| {
        out.extend_from_slice(glue);
        match VALUES.iter().find(|(_, value)| *value == slot) {
            Some((mark, _)) => out.push(*mark),
            None => {
                out.push(WORD);
                out.extend_from_slice(word);
                out.push(WORD_END);
            }
        }
    });
    out.extend_from_slice(tail);
    out
}

/// Reads patterns; nothing from a state of another version.
pub(super) fn load(saved: &[u8]) -> impl Iterator<Item = Template> {
    let mut lines = saved.split(|byte| *byte == b'\n');
    let known = lines.next() == Some(VERSION);
    lines.filter(move |line| known && !line.is_empty()).take(MAX_PATTERNS).filter_map(template)
}

fn template(line: &[u8]) -> Option<Template> {
    std::str::from_utf8(line).ok()?;
    let mut builder = Builder::default();
    let mut rest = line;
    while let Some(mark) = rest.iter().position(|byte| (WORD..=LAST_MARK).contains(byte)) {
        if mark > 0 {
            builder.glue(&rest[..mark]);
        }
        let after = &rest[mark + 1..];
        rest = match rest[mark] {
            WORD => {
                let end = memchr::memchr(WORD_END, after)?;
                builder.word(&after[..end]);
                &after[end + 1..]
            }
            mark => {
                builder.value(VALUES.iter().find(|(known, _)| *known == mark)?.1);
                after
            }
        };
    }
    if !rest.is_empty() {
        builder.glue(rest);
    }
    Some(builder.finish())
}
