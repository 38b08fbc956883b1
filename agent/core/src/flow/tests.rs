//! The flow by itself, with two toy protocols: `toy` speaks lines, `num` speaks digits.

use super::{Amount, Capture, Limits, Loss};
use crate::model::{Close, Family, Key, Mono, Transport, semconv};
use crate::proto::End::{Client, Server};
use crate::proto::{Cx, Descriptor, End, Evidence, Input, Mark, Pairing, Parser, Sample, Step, Stop};
use crate::testkit::{Outcome, Talk};
use std::time::Duration;

const TEXT: Key = semconv::URL_FULL;
const CAPTURE: Capture = Capture { client: Amount::Burst(1), server: Amount::Segment(2) };

static TABLE: &[&Descriptor] = &[&TOY, &NUM, &UDP];
static TOY: Descriptor = Descriptor {
    name: "toy",
    family: Family::Db,
    pairing: Pairing::Number,
    transport: Transport::Tcp,
    ports: &[7],
    capture: CAPTURE,
    detect: |sample| starts(sample, b"toy", Evidence::Weak),
    parser: |_| Box::new(Toy { name: "toy" }),
};
static NUM: Descriptor = Descriptor {
    name: "num",
    family: Family::Db,
    pairing: Pairing::Number,
    transport: Transport::Tcp,
    ports: &[],
    capture: Capture::ALL,
    detect: |sample| starts(sample, b"1", Evidence::Strong),
    parser: |_| Box::new(Toy { name: "num" }),
};
static UDP: Descriptor = Descriptor {
    name: "udp",
    family: Family::Dns,
    pairing: Pairing::Number,
    transport: Transport::Udp,
    ports: &[],
    capture: Capture::ALL,
    detect: |sample| starts(sample, b"u", Evidence::Strong),
    parser: |_| Box::new(Toy { name: "udp" }),
};

fn starts(sample: &Sample<'_>, with: &[u8], then: Evidence) -> Evidence {
    match sample.client {
        bytes if bytes.starts_with(with) => then,
        bytes if with.starts_with(bytes) => Evidence::More,
        _ => Evidence::No,
    }
}

/// Each line of the client is an exchange; `skip N`, `other`, `stop` and `switch` do what they say.
struct Toy {
    name: &'static str,
}

impl Toy {
    fn exchange(&self, text: &[u8], at: Mono, cx: &mut Cx<'_>) {
        let mut exchange = cx.begin_unseen(at);
        exchange.attrs.set_with(TEXT, |out| out.push_str(&format!("{}:{}", self.name, String::from_utf8_lossy(text))));
        cx.request(&mut exchange);
        cx.finish(exchange);
    }
}

impl Parser for Toy {
    fn parse(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let Some(end) = input.bytes().iter().position(|&byte| byte == b'\n') else { return Step::More };
        let line = &input.bytes()[..end];
        match line {
            b"other" => return Step::Stop(Stop::NotMine),
            b"stop" => return Step::Stop(Stop::Opaque),
            b"switch" if self.name == "toy" => return Step::Stop(Stop::Switch("num")),
            b"nowhere" => return Step::Stop(Stop::Switch("nowhere")),
            _ => {}
        }
        if from == Client {
            self.exchange(line, input.time(0), cx);
        }
        match line.strip_prefix(b"skip ").and_then(|n| std::str::from_utf8(n).ok()?.parse::<u64>().ok()) {
            Some(n) => Step::Skip(end as u64 + 1 + n),
            None => Step::Take(end + 1),
        }
    }

    fn skipped(&mut self, _: End, mark: &Mark, cx: &mut Cx<'_>) {
        self.exchange(b"(skipped)", mark.time, cx);
    }

    fn lost(&mut self, _: End, before: &Input<'_>, bytes: u64, mark: &Mark, cx: &mut Cx<'_>) {
        let text = format!("({}+{bytes} lost)", String::from_utf8_lossy(before.bytes()));
        self.exchange(text.as_bytes(), mark.time, cx);
    }

    fn fin(&mut self, from: End, at: Mono, cx: &mut Cx<'_>) {
        self.exchange(format!("(fin {from:?})").as_bytes(), at, cx);
    }

    fn closed(&mut self, how: Close, at: Mono, cx: &mut Cx<'_>) {
        self.exchange(format!("({how:?})").as_bytes(), at, cx);
    }

    fn expire(&mut self, before: Mono, cx: &mut Cx<'_>) {
        if before.0 > 0 {
            self.exchange(b"(expire)", before, cx);
        }
    }
}

fn toy() -> Talk {
    Talk::new().table(TABLE).port(7)
}

fn texts(outcome: &Outcome) -> String {
    let text = |exchange: &crate::model::Exchange| exchange.attrs.str(TEXT).unwrap_or_default().to_owned();
    outcome.exchanges.iter().map(text).collect::<Vec<_>>().join(" ")
}

#[test]
fn weak_evidence_counts_on_a_known_port_only() {
    let outcome = toy().client("toy a\nb\n").run();
    assert_eq!((texts(&outcome).as_str(), outcome.protocol), ("toy:toy a toy:b toy:(Unobserved)", Some("toy")));
    assert_eq!(outcome.captures, [(Amount::Burst(1), Amount::Segment(2))]);
    assert_eq!(toy().at_server().client("toy\n").run().captures, [(Amount::Segment(2), Amount::Burst(1))]);
    let elsewhere = toy().port(8).client("toy\n".repeat(1000)).run();
    assert_eq!((texts(&elsewhere).as_str(), elsewhere.protocol), ("", None));
}

#[test]
fn a_first_message_in_single_bytes_is_classified() {
    let line = "t".to_owned() + "oy" + &"y".repeat(100) + "\n";
    assert_eq!(texts(&toy().client(&line).close(Close::Fin).split(1).run()), format!("toy:{} toy:(Fin)", line.trim()));
}

#[test]
fn what_fits_nothing_is_left_alone_and_not_held() {
    let outcome = toy().client("what").client("toy\n").run();
    assert_eq!((texts(&outcome).as_str(), outcome.captures), ("", vec![(Amount::Nothing, Amount::Nothing)]));
    assert_eq!(outcome.held, 0);
}

#[test]
fn a_connection_joined_midway_is_judged_again_later() {
    assert_eq!(texts(&toy().midway().client("rest of something\n").client("1\n").run()), "num:1 num:(Unobserved)");
}

#[test]
fn a_skip_goes_over_bytes_and_holes_alike() {
    let talk = toy().client("toy\nskip 10\nabc").hole(Client, 4).client("defnext\n");
    assert_eq!(texts(&talk.run()), "toy:toy toy:skip 10 toy:(skipped) toy:next toy:(Unobserved)");
}

#[test]
fn a_hole_elsewhere_is_named_with_what_was_before_it() {
    let talk = toy().client("toy\nhalf").hole(Client, 4).client("rest\n");
    let outcome = talk.run();
    assert_eq!(texts(&outcome), "toy:toy toy:(half+4 lost) toy:rest toy:(Unobserved)");
    assert_eq!(outcome.lost(Loss::Hole), 1);
}

#[test]
fn a_parser_may_hand_over_or_give_up() {
    assert_eq!(
        texts(&toy().client("toy\n").server("x").client("switch\n1\n").server("\n").client("2\n").run()),
        "toy:toy num:switch num:1 num:2 num:(Unobserved)"
    );
    assert_eq!(texts(&toy().client("toy\nstop\nx\n").client("y\n").run()), "toy:toy");
    assert_eq!(texts(&toy().client("toy\nnowhere\nx\n").client("y\n").run()), "toy:toy");
    let other = toy().client("toy\nother\n").client("1\n").run();
    assert_eq!(texts(&other), "toy:toy toy:(Unobserved) num:1 num:(Unobserved)");
    assert_eq!(other.lost(Loss::Misclassified), 1);
}

#[test]
fn a_message_larger_than_the_buffer_becomes_a_hole() {
    let outcome = (0..200).fold(toy().client("toy\n"), |talk, _| talk.client("z".repeat(1000))).client("\nlast\n").run();
    assert!(outcome.held < 256 * 1024, "{}", outcome.held);
    assert_eq!(outcome.lost(Loss::Oversized), 2);
    assert!(texts(&outcome).ends_with("toy:last toy:(Unobserved)"));
}

#[test]
fn ends_and_ticks_reach_the_parser() {
    let talk = toy().client("toy\n").fin(Client).fin(Client).fin(Server).close(Close::ResetByRemote);
    assert_eq!(texts(&talk.run()), "toy:toy toy:(fin Client) toy:(fin Server) toy:(ResetByRemote)");
    assert_eq!(texts(&toy().client("toy\n").wait(Duration::from_secs(400)).tick().run()), "toy:toy toy:(expire) toy:(Unobserved)");
}

#[test]
fn datagrams_are_messages_of_their_own() {
    let talk = toy().udp().client("u1\n").server("answer").client("2\n");
    assert_eq!(texts(&talk.clone().run()), "udp:u1 udp:2 udp:(Unobserved)");
    let limits = Limits { datagram_idle: Duration::from_secs(1), ..Limits::default() };
    assert_eq!(texts(&talk.limits(limits).wait(Duration::from_secs(9)).tick().run()), "udp:u1 udp:2 udp:(expire) udp:(Unobserved)");
}

#[test]
fn a_long_message_at_the_join_is_waited_out_however_many_segments_it_has() {
    let midway = || toy().midway();
    let long = (0..1000).fold(midway(), |talk, _| talk.server("?"));
    assert_eq!(texts(&long.client("1\n").run()), "num:1 num:(Unobserved)");
    let busy = (0..100).fold(midway(), |talk, _| talk.server("?").client("?"));
    assert_eq!(texts(&busy.client("1\n").run()), "", "nothing fits however often the ends take turns");
    let endless = (0..5000).fold(midway(), |talk, _| talk.server("?"));
    assert_eq!(texts(&endless.client("1\n").run()), "");
}
