//! `remora run`: the agent in the foreground until SIGTERM or SIGINT.

use super::CommandError;
use crate::config::Config;

/// Runs the agent; returns after a clean stop.
///
/// # Errors
/// What kept it from starting, or from going on.
pub fn run(config: Config) -> Result<(), CommandError> {
    let _ = config;
    Err(CommandError::NotAvailable { command: "run" })
}
