//! `remora patterns`: id, severity and template of each log line on standard input.

use super::CommandError;
use crate::config::LogsConfig;
use std::io::{BufRead, Write};

/// Writes `id<TAB>severity<TAB>template` for each line of `input`, severity as the OTLP number.
///
/// # Errors
/// `input` or `output` fails.
pub fn patterns(logs: &LogsConfig, input: &mut dyn BufRead, output: &mut dyn Write) -> Result<(), CommandError> {
    let _ = (logs, input, output);
    Err(CommandError::NotAvailable { command: "patterns" })
}
