//! The commands of `remora`, one file each, and what they share: arguments and exit codes.
//!
//! A command gets plain values and writes its result to standard output; it never exits the process.

pub mod arguments;
pub mod check;
pub mod config;
pub mod decode;
pub mod join_lines;
mod lock;
pub mod patterns;
pub mod programs;
pub mod run;
mod run_logs;
pub mod top;

use crate::config::ConfigError;
use remora_logs::lines::{LineStats, MAX_LINE};
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration is wrong; nothing was started.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// Standard input or output failed.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Anything else.
    #[error("{doing}: {source}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CommandError {
    /// 2 for what the user has to write differently, 1 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }

    /// The error with its causes on one line.
    #[must_use]
    pub fn one_line(&self) -> String {
        self.to_string().replace('\n', " ")
    }
}

/// Says on standard error how many lines were too long to be kept whole.
fn warn_of_cut_lines(stats: &LineStats) {
    if stats.truncated > 0 {
        eprintln!(
            "remora: {} of {} lines were cut at {MAX_LINE} bytes ({} bytes left out)",
            stats.truncated, stats.lines, stats.skipped_bytes
        );
    }
}
