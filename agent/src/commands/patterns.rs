//! `remora patterns`: id, severity and template of each log line on standard input, by the code that the agent runs.

use super::CommandError;
use remora_logs::stdin;
use std::io::{BufRead, Write};

/// Writes `id<TAB>severity<TAB>template` for each line of `input`, severity as the OTLP number.
///
/// # Errors
/// `input` or `output` fails.
pub fn patterns(input: &mut dyn BufRead, output: &mut dyn Write) -> Result<(), CommandError> {
    let stats = stdin::patterns_stdin(input, output, stdin::DEFAULT_BATCH);
    let stats = stats.map_err(|source| CommandError::Io { doing: "read log lines and write their patterns".into(), source })?;
    super::warn_of_cut_lines(&stats);
    Ok(())
}
