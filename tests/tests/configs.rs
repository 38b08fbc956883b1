//! Every configuration file that a user may copy is well formed, and a real Collector accepts those meant for it.

use remora_tests::{part, repository};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const DIRECTORIES: [&str; 3] = ["otel-collector-config", "examples", "deploy"];

/// All files below a directory whose names end in one of the extensions.
fn files(directory: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Templates of a Helm chart are no YAML before Helm has filled them in.
fn is_template(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "templates")
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a readable file");
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_yaml_file_holds_mappings() {
    for directory in DIRECTORIES {
        let found = files(&repository().join(directory), &["yaml", "yml"]);
        assert!(!found.is_empty(), "no YAML below {directory}");
        for path in found.iter().filter(|path| !is_template(path)) {
            let documents = documents(path);
            assert!(!documents.is_empty() && documents.iter().all(Value::is_object), "{} holds something else", path.display());
        }
    }
}

#[test]
fn every_json_file_parses() {
    for directory in DIRECTORIES {
        for path in files(&repository().join(directory), &["json"]) {
            let text = fs::read_to_string(&path).expect("a readable file");
            let parsed: Result<Value, _> = serde_json::from_str(&text);
            assert!(parsed.is_ok_and(|value| value.is_object()), "{}", path.display());
        }
    }
}

#[test]
fn files_that_compose_mounts_from_here_exist() {
    for path in files(&repository().join("examples"), &["yaml"]).iter().filter(|path| path.ends_with("compose.yaml")) {
        let directory = path.parent().expect("a file has a directory");
        let compose = documents(path).remove(0);
        let services = compose["services"].as_object().expect("services");
        let mounts = services.values().flat_map(|service| service["volumes"].as_array().into_iter().flatten());
        for mount in mounts.filter_map(Value::as_str).filter(|mount| mount.starts_with('.')) {
            let source = mount.split(':').next().unwrap_or_default();
            assert!(directory.join(source).exists(), "{} mounts {source}", path.display());
        }
    }
}

#[test]
fn the_collector_accepts_its_configurations() {
    let Some(collector) = part("otelcol") else { return };
    for path in files(&repository().join("otel-collector-config"), &["yaml"]) {
        let output = Command::new(&collector).arg("validate").arg("--config").arg(&path).output().expect("a program that starts");
        assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    }
}
