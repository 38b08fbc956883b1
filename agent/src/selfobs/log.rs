//! The agent's own log: one line an event on standard error, by level.

use crate::config::LogLevel;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;

/// Starts logging; a second call changes nothing.
pub fn start(level: LogLevel) {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let subscriber = fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(false).with_target(false);
    if subscriber.try_init().is_err() {
        tracing::debug!("logging had been started before");
    }
}
