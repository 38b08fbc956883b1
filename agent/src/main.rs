//! The `remora` binary: parses arguments, starts a command, turns failures into one line and an exit code.

use clap::Parser;
use remora::commands::arguments::{Arguments, Command, Options};
use remora::commands::{self, CommandError};
use remora::config::{Config, Environment, Sources, file};
use remora::{kernel, pipeline, selfobs};
use std::io::{self, ErrorKind};
use std::process::ExitCode;

fn main() -> ExitCode {
    match execute(Arguments::parse()) {
        Ok(code) => code,
        Err(CommandError::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("remora: {}", error.one_line());
            error.exit_code()
        }
    }
}

fn execute(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let config = load(&arguments.options)?;
    pipeline::clients::clients(&config)?;
    selfobs::log::start(config.log_level);
    for notice in &config.notices {
        tracing::warn!("{notice}");
    }
    let mut output = io::stdout().lock();
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => {
            drop(output);
            commands::run::run(config)?;
        }
        Command::Check { format } => {
            let verdict = commands::check::check(&config, commands::programs::probe(&config), format, &mut output)?;
            if verdict == kernel::Verdict::NoCapture {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Config { format } => commands::config::print(&config, format, &mut output)?,
        Command::Top => commands::top::top(&config.view)?,
        Command::Decode(arguments) => commands::decode::decode(&arguments, &config, &mut output)?,
        Command::Patterns => commands::patterns::patterns(&mut io::stdin().lock(), &mut output)?,
        Command::JoinLines => commands::join_lines::join_lines(&mut io::stdin().lock(), &mut output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn load(options: &Options) -> Result<Config, CommandError> {
    let environment = Environment::new(std::env::vars_os());
    let file = file::read(options.config.as_deref(), &environment)?;
    Ok(Config::load(&Sources { file, environment, flags: options.flags() })?)
}
