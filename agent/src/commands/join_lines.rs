//! `remora join-lines`: each log message on standard input, several lines joined, as one JSON string.

use super::CommandError;
use remora_logs::stdin;
use std::io::{BufRead, Write};

/// Writes each message of `input` as a JSON string on a line.
///
/// # Errors
/// `input` or `output` fails.
pub fn join_lines(input: &mut dyn BufRead, output: &mut dyn Write) -> Result<(), CommandError> {
    let stats = stdin::join_lines_stdin(input, output);
    let stats = stats.map_err(|source| CommandError::Io { doing: "read log lines and write joined ones".into(), source })?;
    super::warn_of_cut_lines(&stats);
    Ok(())
}
