//! The configuration loader on arbitrary files and values: it accepts or refuses with one line, and does
//! neither panic nor take long.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora::config::{Config, Environment, File, FlagValue, Sources};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (file, value) = text.split_once('\0').unwrap_or((text, text));
    let sources = Sources {
        file: Some(File { path: "c.yaml".into(), text: file.to_owned() }),
        environment: Environment::new([
            ("REMORA_SELECTION_INCLUDE", value),
            ("REMORA_CAPTURE_RING_BYTES", value),
            ("OTEL_EXPORTER_OTLP_HEADERS", value),
            ("X", value),
        ]),
        flags: vec![FlagValue { flag: "--set".into(), path: "http.routes".into(), text: value.to_owned() }],
    };
    if let Err(error) = Config::load(&sources) {
        assert!(!error.to_string().contains('\n'));
    }
});
