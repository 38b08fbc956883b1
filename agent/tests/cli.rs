//! The command line as a user meets it: the real binary with its exit codes and its one-line errors.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Names with values.
type Pairs<'a> = &'a [(&'a str, &'a str)];

fn remora(arguments: &[&str], variables: Pairs<'_>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_remora"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("start remora")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// A configuration file of one test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, text: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("remora-cli-{}-{name}.yaml", std::process::id()));
        std::fs::write(&path, text).expect("write");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn help_shows_the_commands_and_examples() {
    let output = remora(&["--help"], &[]);
    assert!(output.status.success());
    let text = stdout(&output);
    for part in ["run", "check", "config", "top", "decode", "patterns", "join-lines", "Examples:", "127.0.0.1:4390"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn version_is_that_of_the_package() {
    let output = remora(&["--version"], &[]);
    assert_eq!(stdout(&output), format!("remora {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn config_prints_every_value_with_its_origin() {
    let file = TempFile::new("origins", b"metrics:\n  interval: ${EVERY:-15s}\n");
    let output = remora(
        &["config", "--config", file.path(), "--set", "logs.enabled=false", "--listen", "127.0.0.1:1"],
        &[("REMORA_STATE_DIR", "/tmp/state"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317")],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let place = format!("  interval: \"15s\"  # {}:2:13\n", file.path());
    for line in [
        place.as_str(),
        "  enabled: false  # --set logs.enabled\n",
        "  listen: \"127.0.0.1:1\"  # --listen\n",
        "  dir: \"/tmp/state\"  # REMORA_STATE_DIR\n",
        "  endpoint: \"http://c:4317\"  # OTEL_EXPORTER_OTLP_ENDPOINT\n",
        "  temporality: \"cumulative\"  # default\n",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[test]
fn config_prints_json_without_secrets() {
    let output = remora(
        &["config", "--format", "json"],
        &[("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2"), ("REMORA_VIEW_TOKEN", "hunter2hunter2hunter2")],
    );
    let text = stdout(&output);
    assert!(!text.contains("hunter2"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["otlp.headers"]["value"]["api-key"], "***");
    assert_eq!(json["otlp.headers"]["origin"], "OTEL_EXPORTER_OTLP_HEADERS");
    assert_eq!(json["view.listen"]["value"], "127.0.0.1:4390");
}

#[test]
fn printed_configuration_is_a_configuration() {
    let first = stdout(&remora(&["config"], &[]));
    let file = TempFile::new("again", first.as_bytes());
    let output = remora(&["config", "--config", file.path()], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn bad_configuration_stops_every_command_with_one_line_and_code_2() {
    let file = TempFile::new("bad", b"metrics:\n  intervall: 10s\n");
    let commands: [&[&str]; 4] = [&[], &["run"], &["check"], &["config"]];
    for command in commands {
        let output = remora(&[command, &["--config", file.path()]].concat(), &[]);
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        let expected =
            format!("remora: configuration: {}:2:3: unknown key metrics.intervall; did you mean metrics.interval?\n", file.path());
        assert_eq!(stderr(&output), expected);
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let binary = TempFile::new("binary", b"\xff\xfe\x00view:");
    let cases: [(&[&str], Pairs<'_>, &str); 4] = [
        (&["config", "--config", "/nowhere/c.yaml"], &[], "/nowhere/c.yaml: cannot read"),
        (&["config"], &[("REMORA_CONFIG", "/nowhere/d.yaml")], "/nowhere/d.yaml: cannot read"),
        (&["config", "--config", "/"], &[], "/: cannot read"),
        (&["config", "--config", binary.path()], &[], "cannot read"),
    ];
    for (arguments, variables, part) in cases {
        let output = remora(arguments, variables);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = stderr(&output);
        assert!(text.contains(part) && text.lines().count() == 1, "{text}");
    }
}

#[test]
fn usage_errors_have_code_2() {
    for arguments in [["nonsense", ""], ["config", "--nonsense"], ["config", "--set=nonsense"]] {
        let output = remora(&arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!stderr(&output).is_empty());
    }
}

#[test]
fn check_prints_one_line_a_capability_and_json() {
    let text = stdout(&remora(&["check"], &[]));
    for name in ["kernel", "CAP_BPF", "CAP_NET_ADMIN", "cgroup", "btf", "lockdown", "locked memory", "tracefs"] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing in\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&stdout(&remora(&["check", "--format", "json"], &[]))).expect("JSON");
    let capabilities = json.as_array().expect("array");
    assert_eq!(capabilities.len(), text.lines().count());
    assert!(capabilities.iter().all(|capability| capability["state"].is_string() && capability["reason"].is_string()));
}

#[test]
fn check_without_a_kernel_to_ask_says_so() {
    let output = remora(&["check", "--set", "host.proc=/nowhere", "--set", "host.sys=/nowhere"], &[]);
    let text = stdout(&output);
    assert!(text.contains("release cannot be read"), "{text}");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_remora"))
        .arg("config")
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start remora");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("wait");
    assert_eq!(stderr(&output), "");
    assert!(output.status.success());
}
