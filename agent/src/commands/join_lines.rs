//! `remora join-lines`: each log message on standard input, several lines joined, as one JSON string.

use super::CommandError;
use std::io::{BufRead, Write};

/// Writes each message of `input` as a JSON string on a line.
///
/// # Errors
/// `input` or `output` fails.
pub fn join_lines(input: &mut dyn BufRead, output: &mut dyn Write) -> Result<(), CommandError> {
    let _ = (input, output);
    Err(CommandError::NotAvailable { command: "join-lines" })
}
