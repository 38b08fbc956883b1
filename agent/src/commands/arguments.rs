//! The command line: what can be typed, and what it sets.

use crate::config::FlagValue;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// See every request, query and log pattern of this machine, without changing an application.
///
/// Remora watches network connections with eBPF and follows logs, shows what it sees on a live page, and
/// sends it as OpenTelemetry traces, metrics and logs to any OTLP endpoint. It needs root or the
/// capabilities that `remora check` lists.
#[derive(Debug, Parser)]
#[command(name = "remora", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Arguments {
    /// What to do; `run` if not given.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of all commands.
    #[command(flatten)]
    pub options: Options,
}

const EXAMPLES: &str = "\
Examples:
  sudo remora                                   watch this machine; open http://127.0.0.1:4390
  sudo remora run --endpoint http://otel:4317   and send everything to an OpenTelemetry Collector
  sudo remora check                             what works on this kernel, and what is missing
  remora config --set metrics.interval=10s      the effective configuration and where it comes from
  remora decode capture.pcap                    the requests in a packet capture, one JSON object each
  journalctl -o cat | remora patterns           the pattern of each log line

Configuration: --config FILE, else $REMORA_CONFIG, else /etc/remora/config.yaml. Each key is also an
environment variable (metrics.interval: REMORA_METRICS_INTERVAL), and the standard OTEL_* variables apply.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the agent in the foreground until SIGTERM or Ctrl-C (the default)
    Run,
    /// Say what works on this kernel with these privileges, what does not, and why
    Check {
        /// How to print it
        #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
        format: CheckFormat,
    },
    /// Print the effective configuration, each value with where it comes from
    Config {
        /// How to print it
        #[arg(long, value_enum, default_value_t = ConfigFormat::Yaml)]
        format: ConfigFormat,
    },
    /// Watch the services of this machine in the terminal (asks the running agent)
    Top,
    /// Read a packet capture (pcap or pcapng) and print its requests, one JSON object each
    Decode(DecodeArguments),
    /// Read log lines on standard input and print id, severity and template of each
    Patterns,
    /// Read log lines on standard input and print each message, several lines joined, as a JSON string
    JoinLines,
}

/// Arguments of `decode`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct DecodeArguments {
    /// The capture file; - for standard input
    pub file: PathBuf,
    /// End of each connection to decode as: a capture sees one wire, so each request is printed once
    #[arg(long, value_enum, default_value_t = ObservedEnd::Client)]
    pub end: ObservedEnd,
    /// Export the requests to the OTLP endpoint instead of printing them
    #[arg(long)]
    pub otlp: bool,
}

/// The end of a connection that a request is told from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ObservedEnd {
    /// The one that sends requests: CLIENT spans
    Client,
    /// The one that answers them: SERVER spans
    Server,
}

/// How `check` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// One line a capability
    Text,
    /// One JSON array
    Json,
}

/// How `config` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// YAML that can be used as a configuration file
    Yaml,
    /// One JSON object
    Json,
}

/// Options of all commands. Each is a key of the configuration.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// Configuration file
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set any key of the configuration; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
    /// OTLP endpoint [key otlp.endpoint]
    #[arg(long, global = true, value_name = "URL")]
    pub endpoint: Option<String>,
    /// OTLP protocol, grpc or http/protobuf [key otlp.protocol]
    #[arg(long, global = true, value_name = "PROTOCOL")]
    pub protocol: Option<String>,
    /// Address of the live view [key view.listen]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Directory for state [key state.dir]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<String>,
    /// How much the agent says about itself: off, error, warn, info, debug or trace [key log.level]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as metrics.interval=10s")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Options {
    /// The keys that the flags set; a flag of its own wins over `--set`.
    #[must_use]
    pub fn flags(&self) -> Vec<FlagValue> {
        let set = self.set.iter().map(|(path, text)| FlagValue { flag: format!("--set {path}"), path: path.clone(), text: text.clone() });
        let named = [
            ("--endpoint", "otlp.endpoint", &self.endpoint),
            ("--protocol", "otlp.protocol", &self.protocol),
            ("--listen", "view.listen", &self.listen),
            ("--state-dir", "state.dir", &self.state_dir),
            ("--log-level", "log.level", &self.log_level),
        ];
        let named = named
            .into_iter()
            .filter_map(|(flag, path, text)| Some(FlagValue { flag: flag.to_owned(), path: path.to_owned(), text: text.clone()? }));
        set.chain(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_flag_sets_a_key_that_exists() {
        let text = || Some("x".to_owned());
        let options =
            Options { endpoint: text(), protocol: text(), listen: text(), state_dir: text(), log_level: text(), ..Options::default() };
        assert_eq!(options.flags().len(), 5);
        for flag in options.flags() {
            assert!(keys::ALL.iter().any(|key| key.path() == flag.path), "{flag:?}");
        }
    }
}
