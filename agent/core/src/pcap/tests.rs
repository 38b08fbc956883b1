//! Captures of real programs, compared with what tshark makes of them, and files that lie.

use super::*;
use crate::flow::Limits;
use crate::model::semconv as s;
use crate::proto::Options;
use crate::testkit::Outcome;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

macro_rules! fixture {
    ($name:literal) => {
        (
            include_bytes!(concat!("../../../../tests/fixtures/http1/", $name)).as_slice(),
            include_str!(concat!("../../../../tests/fixtures/http1/", $name, ".tshark")),
        )
    };
}

const UVICORN: (&[u8], &str) = fixture!("uvicorn.pcap");

fn run(file: &[u8]) -> (Outcome, Result<Summary, PcapError>) {
    let mut flow = Flow::new(Limits::default(), Options::default());
    let mut outcome = Outcome::default();
    let summary = replay(file, Role::Server, &mut flow, &mut outcome);
    (outcome, summary)
}

fn ours(file: &[u8]) -> Vec<String> {
    let (outcome, summary) = run(file);
    summary.expect("the file is whole");
    let line = |exchange: &crate::model::Exchange| {
        let method = exchange.attrs.str(s::HTTP_REQUEST_METHOD).unwrap_or("-");
        let path = exchange.attrs.str(s::URL_PATH).unwrap_or("-");
        let status = exchange.attrs.int(s::HTTP_RESPONSE_STATUS_CODE).map_or("-".to_owned(), |code| code.to_string());
        format!("{method} {path} {status}")
    };
    let mut lines: Vec<String> = outcome.exchanges.iter().map(line).collect();
    lines.sort();
    lines
}

/// Requests of `stream|method|uri|status` lines, each with the next final status of its stream.
fn theirs(lines: &str) -> Vec<String> {
    let mut waiting: BTreeMap<&str, VecDeque<String>> = BTreeMap::new();
    let mut paired = Vec::new();
    for line in lines.lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let [stream, method, uri, status] = fields[..] else { panic!("{line}") };
        let stream = waiting.entry(stream).or_default();
        if status.is_empty() {
            stream.push_back(format!("{method} {}", uri.split('?').next().unwrap_or_default()));
        } else if !status.starts_with('1') || status == "101" {
            let request = stream.pop_front().expect("a response has a request");
            paired.push(format!("{request} {status}"));
        }
    }
    paired.extend(waiting.into_values().flatten().map(|request| request + " -"));
    paired.sort();
    paired
}

#[test]
fn captures_of_real_programs_agree_with_tshark() {
    for (name, (file, expected)) in [
        ("aiohttp", fixture!("aiohttp.pcap")),
        ("curl and nginx", fixture!("curl-nginx.pcap")),
        ("go", fixture!("go.pcap")),
        ("java", fixture!("java.pcap")),
        ("node", fixture!("node.pcap")),
        ("python http.server", fixture!("python-http-server.pcap")),
        ("uvicorn", UVICORN),
        ("wrk and nginx", fixture!("wrk-nginx.pcapng")),
    ] {
        assert_eq!(ours(file), theirs(expected), "{name}");
        assert!(!ours(file).is_empty(), "{name}");
    }
}

/// Frames of a little-endian pcap file: record header and data.
fn frames(file: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut rest = &file[24..];
    let mut frames = Vec::new();
    while rest.len() >= 16 {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        frames.push((&rest[..16], &rest[16..16 + len]));
        rest = &rest[16 + len..];
    }
    frames
}

/// The file with every frame rewritten, on another link type.
fn rewritten(file: &[u8], link: u32, change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut out = file[..20].to_vec();
    out.extend(link.to_le_bytes());
    for (header, data) in frames(file) {
        let (data, wire) = (change(data), u32::from_le_bytes(header[12..16].try_into().unwrap()));
        let added = data.len() as i64 - header[8..12].try_into().map(u32::from_le_bytes).unwrap() as i64;
        out.extend(&header[..8]);
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(((wire as i64 + added.max(-14)) as u32).to_le_bytes());
        out.extend(data);
    }
    out
}

#[test]
fn link_types_are_read() {
    let expected = ours(UVICORN.0);
    let with = |prefix: &'static [u8]| move |frame: &[u8]| [prefix, &frame[14..]].concat();
    let vlan = |frame: &[u8]| [&frame[..12], &[0x81, 0, 0, 7], &frame[12..]].concat();
    let sll: &[u8] = &[0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0];
    let sll2: &[u8] = &[8, 0, 0, 0, 0, 0, 0, 1, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(ours(&rewritten(UVICORN.0, 0, with(&[2, 0, 0, 0]))), expected, "NULL");
    assert_eq!(ours(&rewritten(UVICORN.0, 101, with(&[]))), expected, "RAW");
    assert_eq!(ours(&rewritten(UVICORN.0, 228, with(&[]))), expected, "IPV4");
    assert_eq!(ours(&rewritten(UVICORN.0, 113, with(sll))), expected, "LINUX_SLL");
    assert_eq!(ours(&rewritten(UVICORN.0, 276, with(sll2))), expected, "LINUX_SLL2");
    assert_eq!(ours(&rewritten(UVICORN.0, 1, vlan)), expected, "VLAN");
    let (_, unknown) = run(&rewritten(UVICORN.0, 147, with(&[])));
    assert_eq!(unknown.map(|summary| summary.other_link), Ok(frames(UVICORN.0).len() as u64));
}

#[test]
fn a_short_snap_length_makes_holes_and_no_other_requests() {
    let (file, expected) = fixture!("curl-nginx.pcap");
    let mut cut = file[..24].to_vec();
    for (header, data) in frames(file) {
        let kept = data.len().min(320);
        cut.extend(&header[..8]);
        cut.extend((kept as u32).to_le_bytes());
        cut.extend(&header[12..16]);
        cut.extend(&data[..kept]);
    }
    assert_eq!(ours(&cut), theirs(expected));
}

#[test]
fn a_capture_that_began_late_gives_the_requests_from_there_on() {
    let (file, expected) = fixture!("curl-nginx.pcap");
    let all = theirs(expected);
    let frames = frames(file);
    for from in [3, 5, 9, 14] {
        let mut late = file[..24].to_vec();
        frames[from..].iter().for_each(|(header, data)| late.extend([*header, *data].concat()));
        let ours = ours(&late);
        assert!(ours.iter().all(|line| all.contains(line)), "{ours:?}");
        assert!(ours.len() + 4 >= all.len(), "{ours:?}");
    }
}

#[test]
fn what_is_no_capture_is_an_error() {
    assert_eq!(run(b"").1, Err(PcapError::Empty));
    assert_eq!(run(b"\xd4\xc3").1, Err(PcapError::NotACapture));
    assert_eq!(run(b"GET / HTTP/1.1\r\nHost: not a capture\r\n\r\n").1, Err(PcapError::NotACapture));
    let mut huge = UVICORN.0[..40].to_vec();
    huge[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(run(&huge).1.is_err() || run(&huge).1.is_ok_and(|summary| summary.cut), "a block of 4 GiB");
}

#[test]
fn a_file_that_is_cut_gives_what_it_has() {
    let (outcome, summary) = run(&UVICORN.0[..UVICORN.0.len() - 10]);
    assert!(summary.expect("a cut file is no error").cut);
    assert_eq!(outcome.exchanges.len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_do_no_harm(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20), keep in any::<prop::sample::Index>()) {
        for (file, _) in [UVICORN, fixture!("wrk-nginx.pcapng")] {
            let mut file = file.to_vec();
            for (index, byte) in &changes {
                let at = index.index(file.len());
                file[at] = *byte;
            }
            file.truncate(keep.index(file.len()) + 1);
            let (outcome, _) = run(&file);
            prop_assert!(outcome.held < 1 << 22);
        }
    }
}
