//! `remora decode`: the requests in a packet capture, through the code that live traffic goes through.

use super::CommandError;
use super::arguments::DecodeArguments;
use crate::config::Config;
use std::io::Write;

/// Decodes the file and writes one JSON object a request to `output`, or exports the requests.
///
/// # Errors
/// The file cannot be read or is no capture, `output` fails, or the export fails.
pub fn decode(arguments: &DecodeArguments, config: &Config, output: &mut dyn Write) -> Result<(), CommandError> {
    let _ = (arguments, config, output);
    Err(CommandError::NotAvailable { command: "decode" })
}
