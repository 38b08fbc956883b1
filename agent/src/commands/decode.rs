//! `remora decode`: the requests in a packet capture, through the code that live traffic goes through.

use super::CommandError;
use super::arguments::{DecodeArguments, ObservedEnd};
use crate::config::Config;
use crate::entity::host::{Host, Uname};
use crate::pipeline::export::Export;
use crate::pipeline::replay::Replay;
use remora_core::flow::Sink;
use remora_core::model::naming::span_name;
use remora_core::model::{Completeness, ConnInfo, Exchange, Kind, Message, Mono, Role, Value};
use remora_core::pcap::{self, Summary};
use serde_json::{Map, Value as Json, json};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Decodes the file and writes one JSON object a request to `output`.
///
/// What could not be used is told in the log.
///
/// # Errors
/// The file cannot be read or is no capture, `output` fails, or export cannot be set up.
pub fn decode(arguments: &DecodeArguments, config: &Config, output: &mut dyn Write) -> Result<(), CommandError> {
    if arguments.otlp { export(arguments, config) } else { print(arguments, config, output) }
}

fn print(arguments: &DecodeArguments, config: &Config, output: &mut dyn Write) -> Result<(), CommandError> {
    let mut lines = Lines { output, failure: None };
    let result = replay(arguments, config, &mut lines);
    match lines.failure {
        Some(source) => Err(CommandError::Io { doing: "write".to_owned(), source }),
        None => result,
    }
}

/// Sends the requests as spans and waits until they are taken.
fn export(arguments: &DecodeArguments, config: &Config) -> Result<(), CommandError> {
    let runtime =
        tokio::runtime::Runtime::new().map_err(|source| CommandError::Io { doing: "start the asynchronous runtime".to_owned(), source })?;
    let export = Export::start(config, runtime.handle())?;
    let host = Host::read(&config.host.root, &Uname::of_this_machine());
    let mut spans = Replay::new(super::run::tracer(config, 0), &host, export.outlet());
    let result = replay(arguments, config, &mut spans);
    let sent = spans.finish();
    runtime.block_on(export.shutdown(super::run::FLUSH));
    tracing::info!(spans = sent, "replayed");
    result
}

fn replay(arguments: &DecodeArguments, config: &Config, sink: &mut dyn Sink) -> Result<(), CommandError> {
    let role = match arguments.end {
        ObservedEnd::Client => Role::Client,
        ObservedEnd::Server => Role::Server,
    };
    let mut flow = super::run::flow(config);
    let summary = pcap::replay(open(&arguments.file)?, role, &mut flow, sink)
        .map_err(|source| CommandError::Failed { doing: "decode", source: Box::new(source) })?;
    warn(&summary);
    Ok(())
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>, CommandError> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    match File::open(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(source) => Err(CommandError::Io { doing: format!("open {}", path.display()), source }),
    }
}

fn warn(summary: &Summary) {
    let Summary { frames, other_link, fragments, broken, over_limit, cut, .. } = *summary;
    if other_link + fragments + broken + over_limit > 0 {
        tracing::warn!(frames, other_link, fragments, broken, over_limit, "frames were skipped");
    }
    if cut {
        tracing::warn!("the file ends in the middle of a block");
    }
}

/// Writes each exchange as a line.
struct Lines<'a> {
    output: &'a mut dyn Write,
    failure: Option<io::Error>,
}

impl Sink for Lines<'_> {
    fn request(&mut self, _: &ConnInfo, _: &mut Exchange) {}

    fn exchange(&mut self, conn: &ConnInfo, exchange: Box<Exchange>) -> Option<Box<Exchange>> {
        if self.failure.is_none() {
            self.failure = writeln!(self.output, "{}", object(conn, &exchange)).err();
        }
        Some(exchange)
    }
}

/// One request as JSON: OpenTelemetry names, times in nanoseconds since the Unix epoch.
fn object(conn: &ConnInfo, exchange: &Exchange) -> Json {
    let mut name = String::new();
    span_name(exchange, &mut name);
    let (client, server) = match exchange.role {
        Some(Role::Server) => (conn.remote, conn.local),
        _ => (conn.local, conn.remote),
    };
    let Mono(start) = exchange.request.first;
    let Mono(end) = exchange.end();
    json!({
        "protocol": exchange.protocol,
        "kind": kind(exchange.kind),
        "name": name,
        "start_time_unix_nano": start,
        "end_time_unix_nano": end,
        "client": client.to_string(),
        "server": server.to_string(),
        "attributes": exchange.attrs.iter().map(|(key, value)| (key.name().to_owned(), plain(&value))).collect::<Map<_, _>>(),
        "request": message(&exchange.request),
        "response": exchange.response.as_ref().map(message),
        "error": exchange.error,
        "trace_id": exchange.context.map(|context| context.trace.to_string()),
        "parent_span_id": exchange.context.map(|context| context.parent.to_string()),
        "incomplete": incomplete(exchange.completeness),
    })
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Client => "client",
        Kind::Server => "server",
        Kind::Producer => "producer",
        Kind::Consumer => "consumer",
    }
}

fn plain(value: &Value<'_>) -> Json {
    match value {
        Value::Str(text) => json!(text),
        Value::Int(int) => json!(int),
        Value::Bool(truth) => json!(truth),
        Value::List(items) => json!(items),
    }
}

fn message(message: &Message) -> Json {
    json!({
        "first_byte_unix_nano": message.first.0,
        "last_byte_unix_nano": message.last.0,
        "body_bytes": message.body_bytes,
    })
}

fn incomplete(missing: Completeness) -> Vec<&'static str> {
    let named = [
        (missing.request_cut, "request_cut"),
        (missing.request_lost, "request_lost"),
        (missing.response_lost, "response_lost"),
        (missing.end_inferred, "end_inferred"),
    ];
    named.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(file: &Path) -> Result<Vec<Json>, String> {
        let arguments = DecodeArguments { file: file.to_owned(), end: ObservedEnd::Client, otlp: false };
        let config = Config::load(&crate::config::Sources::default()).expect("defaults");
        let mut output = Vec::new();
        print(&arguments, &config, &mut output).map_err(|error| error.one_line())?;
        let lines = String::from_utf8(output).expect("JSON is UTF-8");
        Ok(lines.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect())
    }

    #[test]
    fn each_request_of_a_capture_is_one_object() {
        let lines = run(Path::new("../tests/fixtures/http1/uvicorn.pcap")).expect("the capture is read");
        let paths: Vec<_> = lines.iter().map(|line| line["attributes"]["url.full"].as_str().expect("a URL")).collect();
        assert_eq!(paths, ["http://127.0.0.1:18083/a", "http://127.0.0.1:18083/fail", "http://127.0.0.1:18083/b"]);
        let fail = &lines[1];
        assert_eq!((&fail["kind"], &fail["name"], &fail["error"]), (&json!("client"), &json!("GET"), &json!("500")));
        assert_eq!((&fail["server"], &fail["response"]["body_bytes"]), (&json!("127.0.0.1:18083"), &json!(10)));
        assert!(fail["end_time_unix_nano"].as_u64() > fail["start_time_unix_nano"].as_u64());
    }

    #[test]
    fn what_is_no_capture_is_told_in_one_line() {
        assert_eq!(run(Path::new("Cargo.toml")).expect_err("no capture"), "decode: not a pcap or pcapng file");
        assert!(run(Path::new("/nonexistent.pcap")).expect_err("no file").starts_with("cannot open /nonexistent.pcap: "));
    }
}
