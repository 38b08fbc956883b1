//! `remora top`: the live view in the terminal, from the API of the running agent.

use super::CommandError;
use crate::config::ViewConfig;

/// Shows the view until the user leaves.
///
/// # Errors
/// The agent cannot be reached, or the terminal fails.
pub fn top(view: &ViewConfig) -> Result<(), CommandError> {
    let _ = view;
    Err(CommandError::NotAvailable { command: "top" })
}
