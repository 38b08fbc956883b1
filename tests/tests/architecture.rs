//! The dependency rules of `ARCHITECTURE.md`, held by reading the sources.
//!
//! Each rule names what only some places may name. A path counts wherever it stands (in a `use` tree or an
//! expression, also inside a macro call); comments, strings (but for the rule about file names) and test modules do not.

use proc_macro2::{Delimiter, Ident, Literal, Spacing, TokenStream, TokenTree};
use remora_tests::repository;
use std::fs;
use std::path::{Path, PathBuf};

/// A path or string literal of a source file.
#[derive(Debug, PartialEq)]
struct Mention {
    line: usize,
    text: String,
}

/// What a source file names.
#[derive(Debug, Default)]
struct Mentions {
    paths: Vec<Mention>,
    strings: Vec<Mention>,
    unsafe_code: Vec<Mention>,
}

impl Mentions {
    fn of(source: &str) -> Self {
        let mut mentions = Self::default();
        let stream: TokenStream = source.parse().expect("a source file that compiles");
        mentions.walk(stream, "");
        mentions
    }

    /// Collects from a stream whose paths continue `prefix`, as in the braces of a `use` tree.
    fn walk(&mut self, stream: TokenStream, prefix: &str) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at += match &tokens[at] {
                TokenTree::Ident(ident) => self.path(ident, &tokens[at..], prefix),
                TokenTree::Group(group) => {
                    self.walk(group.stream(), "");
                    1
                }
                TokenTree::Literal(literal) => {
                    self.literal(literal);
                    1
                }
                TokenTree::Punct(_) => test_module(&tokens[at..]).unwrap_or(1),
            };
        }
    }

    /// Takes one path that starts with `ident`; returns how many tokens it had.
    fn path(&mut self, ident: &Ident, tokens: &[TokenTree], prefix: &str) -> usize {
        let line = ident.span().start().line;
        let mut text = format!("{prefix}{ident}");
        let mut taken = 1;
        while is_path_separator(&tokens[taken..]) {
            match tokens.get(taken + 2) {
                Some(TokenTree::Ident(next)) => text = format!("{text}::{next}"),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => self.walk(group.stream(), &format!("{text}::")),
                _ => break,
            }
            taken += 3;
        }
        if ident == "unsafe" && !is_unsafe_attribute(tokens) {
            self.unsafe_code.push(Mention { line, text: text.clone() });
        }
        self.paths.push(Mention { line, text });
        taken
    }

    fn literal(&mut self, literal: &Literal) {
        let text = literal.to_string();
        if let Some(start) = text.find('"') {
            let text = text[start + 1..].trim_end_matches('#').trim_end_matches('"').to_owned();
            self.strings.push(Mention { line: literal.span().start().line, text });
        }
    }
}

/// How many tokens `#[cfg(test)] mod name { … }` has, if that is what comes; further attributes may stand between.
fn test_module(tokens: &[TokenTree]) -> Option<usize> {
    let attributes = tokens.chunks(2).take_while(|pair| attribute(pair).is_some()).count();
    let is_test = tokens.chunks(2).take(attributes).filter_map(attribute).any(|text| text == "cfg(test)");
    let module = 2 * attributes;
    match tokens.get(module..module + 3)? {
        [TokenTree::Ident(keyword), TokenTree::Ident(_), TokenTree::Group(_)] if is_test && keyword == "mod" => Some(module + 3),
        _ => None,
    }
}

fn attribute(pair: &[TokenTree]) -> Option<String> {
    match pair {
        [TokenTree::Punct(hash), TokenTree::Group(text)] if hash.as_char() == '#' => Some(text.stream().to_string().replace(' ', "")),
        _ => None,
    }
}

fn is_path_separator(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(first), TokenTree::Punct(second), ..]
        if first.as_char() == ':' && first.spacing() == Spacing::Joint && second.as_char() == ':')
}

/// `#[unsafe(no_mangle)]` says what a symbol is and runs nothing.
fn is_unsafe_attribute(tokens: &[TokenTree]) -> bool {
    matches!(tokens.get(1), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis)
}

/// Whether a path is one of the roots or lies below it.
fn below(text: &str, roots: &[&str]) -> bool {
    roots.iter().any(|root| text.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
}

/// What the Rust sources below a directory of the repository name, with their paths from its root.
fn sources(directory: &str) -> Vec<(String, Mentions)> {
    let mentions = |path: &Path| Mentions::of(&fs::read_to_string(path).expect("a readable file"));
    rust_files(directory).iter().map(|path| (name(path), mentions(path))).collect()
}

fn rust_files(directory: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&repository().join(directory), &mut found);
    assert!(!found.is_empty(), "no sources below {directory}");
    found.sort();
    found
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn name(path: &Path) -> String {
    path.strip_prefix(repository()).expect("a path of the repository").display().to_string()
}

/// Whether a file is one of the places: a directory `agent/src/bpf`, or a module's own file `agent/src/bpf.rs`.
fn is_in(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| file.strip_prefix(place).is_some_and(|rest| rest.starts_with('/') || rest == ".rs"))
}

/// Files that exist only for tests may make fixtures as they need them.
fn is_test(file: &str) -> bool {
    ["/tests/", "/benches/", "/examples/", "/fuzz/"].iter().any(|directory| file.contains(directory))
        || ["/tests.rs", "/fixture.rs", "/testkit.rs"].iter().any(|end| file.ends_with(end))
}

/// Asserts that, outside the allowed places, no file of a directory has an offending mention.
fn only(allowed: &[&str], directory: &str, offences: impl Fn(&Mentions) -> Vec<&Mention>) {
    let mut broken = Vec::new();
    for (file, mentions) in sources(directory).iter().filter(|(file, _)| !is_in(file, allowed) && !is_test(file)) {
        broken.extend(offences(mentions).iter().map(|mention| format!("{file}:{}: {}", mention.line, mention.text)));
    }
    assert!(broken.is_empty(), "only {allowed:?} may name this:\n{}", broken.join("\n"));
}

fn only_these_name(allowed: &[&str], directory: &str, roots: &[&str]) {
    only(allowed, directory, |mentions| mentions.paths.iter().filter(|path| below(&path.text, roots)).collect());
}

#[test]
fn only_bpf_names_aya() {
    only_these_name(&["agent/src/bpf"], "agent", &["aya", "aya_ebpf", "aya_obj"]);
}

#[test]
fn pure_crates_know_no_io_and_no_clock() {
    let outside = [
        "std::fs",
        "std::env",
        "std::process",
        "std::thread",
        "std::os",
        "std::net::TcpStream",
        "std::net::TcpListener",
        "std::net::UdpSocket",
        "std::time::Instant",
        "std::time::SystemTime",
        "tokio",
        "rustix",
        "procfs",
        "opentelemetry",
        "opentelemetry_proto",
        "remora_otlp",
    ];
    only_these_name(&[], "agent/core/src", &outside);
    only_these_name(&[], "agent/logs/src", &outside);
}

#[test]
fn only_pipeline_and_selfobs_name_otlp() {
    let otlp = ["remora_otlp", "opentelemetry", "opentelemetry_sdk", "opentelemetry_proto"];
    only_these_name(&["agent/src/pipeline", "agent/src/selfobs"], "agent/src", &otlp);
}

#[test]
fn only_containerds_client_speaks_grpc_by_itself() {
    only_these_name(&["agent/src/entity/containerd"], "agent/src", &["tonic", "tonic_prost"]);
}

#[test]
fn only_the_readers_of_the_node_name_its_files() {
    // The last one reads the agent's own process.
    let readers = ["agent/src/kernel", "agent/src/entity", "agent/src/samplers", "agent/src/logs", "agent/src/selfobs/process"];
    only_these_name(&readers, "agent/src", &["procfs"]);
    // Defaults of the roots are configuration.
    let with_config: Vec<&str> = readers.iter().copied().chain(["agent/src/config"]).collect();
    only(&with_config, "agent/src", |mentions| {
        let node = |text: &str| ["/proc", "/sys"].iter().any(|root| text == *root || text.starts_with(&format!("{root}/")));
        mentions.strings.iter().filter(|string| node(&string.text)).collect()
    });
    // Beside the node, a command reads the files that the user names.
    let with_commands: Vec<&str> = with_config.iter().copied().chain(["agent/src/commands", "agent/src/main"]).collect();
    only_these_name(&with_commands, "agent/src", &["std::fs", "tokio::fs"]);
}

#[test]
fn unsafe_code_is_in_the_bpf_loader_and_the_bpf_programs() {
    let places = ["agent/src/bpf", "agent-ebpf/src"];
    for directory in ["agent", "agent-ebpf", "tests"] {
        only(&places, directory, |mentions| mentions.unsafe_code.iter().collect());
    }
}

#[test]
fn nothing_is_left_to_do() {
    let left = ["todo", "unimplemented"].map(|name| format!("{name}!("));
    for directory in ["agent", "agent-ebpf", "tests"] {
        for path in rust_files(directory) {
            let text = fs::read_to_string(&path).expect("a readable file");
            assert!(!left.iter().any(|call| text.contains(call)), "{} is not finished", path.display());
        }
    }
}

#[test]
fn pure_crates_depend_on_nothing_that_does_io() {
    for member in ["agent/core", "agent/logs", "agent-ebpf"] {
        let manifest = fs::read_to_string(repository().join(member).join("Cargo.toml")).expect("a manifest");
        for line in manifest.lines().take_while(|line| !line.starts_with("[dev-dependencies]")) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let forbidden = ["aya", "tokio", "hyper", "tonic", "rustix", "procfs", "remora-otlp", "opentelemetry"];
            assert!(!forbidden.contains(&name), "{member} depends on {name}");
        }
    }
}

#[test]
fn mentions_are_found_wherever_they_stand() {
    let mentions = Mentions::of(
        r##"
        //! aya::comment
        use std::{fs::File, io::{self, Read as _}};
        fn f() { assert!(aya::maps(::tokio::spawn) > "/proc/1"); unsafe { g() } }
        #[unsafe(no_mangle)] fn g() {}
        #[cfg(test)] use tokio::test_only;
        #[cfg(test)] #[expect(lint)] mod tests { use aya::hidden; }
        use tokio::later;
        "##,
    );
    let paths: Vec<&str> = mentions.paths.iter().map(|path| path.text.as_str()).collect();
    for path in ["std::fs::File", "std::io::self", "std::io::Read", "aya::maps", "tokio::spawn", "tokio::later", "tokio::test_only"] {
        assert!(paths.contains(&path), "{path} is not among {paths:?}");
    }
    assert!(!paths.iter().any(|path| path.contains("comment") || path.contains("hidden")));
    assert_eq!(mentions.unsafe_code, [Mention { line: 4, text: "unsafe".into() }]);
    assert!(mentions.strings.contains(&Mention { line: 4, text: "/proc/1".into() }));
    assert!(below("std::fs::File", &["std::fs"]) && !below("std::fsx", &["std::fs"]));
}
