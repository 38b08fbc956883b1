//! `remora config`: the effective configuration, each value with its origin; secrets are masked.

use super::CommandError;
use super::arguments::ConfigFormat;
use crate::config::{Config, reference};
use std::io::Write;

/// Prints the configuration.
///
/// # Errors
/// `output` fails.
pub fn print(config: &Config, format: ConfigFormat, output: &mut dyn Write) -> Result<(), CommandError> {
    let written = match format {
        ConfigFormat::Yaml => output.write_all(reference::yaml(&config.effective).as_bytes()),
        ConfigFormat::Json => writeln!(output, "{:#}", reference::json(&config.effective)),
    };
    written.map_err(|source| CommandError::Io { doing: "write the configuration".into(), source })
}
