//! What tables learn, count and keep: each test is a set of messages and the patterns that must come of it.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn table() -> (PatternTable, MemoryBudget) {
    (PatternTable::new(Limits::default()), MemoryBudget::new(1 << 20))
}

fn word(mut number: u64) -> String {
    let mut out = String::new();
    loop {
        out.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
        if number == 0 {
            return out + "q";
        }
    }
}

fn final_ids(messages: &[String]) -> BTreeMap<String, PatternId> {
    let (mut table, mut budget) = table();
    let ids: Vec<PatternId> = messages.iter().map(|message| table.observe(&[message.as_bytes()], Severity::INFO, 0, &mut budget)).collect();
    messages.iter().cloned().zip(ids.into_iter().map(|id| table.resolve(id))).collect()
}

#[test]
fn flood_of_random_words_gives_limit_plus_one_ids() {
    let (mut table, mut budget) = table();
    let mut ids = BTreeSet::new();
    for n in 0..5_000u64 {
        let message = (0..6).map(|k| word(crate::hash::mix(n, k) >> 20)).collect::<Vec<_>>().join(" ");
        ids.insert(table.observe(&[message.as_bytes()], Severity::INFO, n, &mut budget));
    }
    assert_eq!(ids.len(), 257);
    assert_eq!(table.take_counts().iter().map(|count| count.messages).sum::<u64>(), 5_000);
    assert!(table.memory() <= 256 * 1024, "{}", table.memory());
}

#[test]
fn two_variable_pattern_is_one_id() {
    let messages: Vec<String> = (0..2_000u64)
        .map(|n| format!("user {} logged in from terminal {}", word(crate::hash::mix(n, 1) >> 30), word(crate::hash::mix(n, 2) >> 30)))
        .collect();
    let ids: BTreeSet<PatternId> = final_ids(&messages).into_values().collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(ids.first(), Some(&PatternId::of("user <*> logged in from terminal <*>")));
}

#[test]
fn counts_stay_exact_over_merges() {
    let (mut table, mut budget) = table();
    for name in ["ann", "bob", "eve", "joe", "kim", "lee", "max"] {
        for _ in 0..3 {
            table.observe(&[format!("session opened for user {name}").as_bytes()], Severity::WARN, 0, &mut budget);
        }
    }
    let counts = table.take_counts();
    assert_eq!(counts.iter().map(|count| count.messages).sum::<u64>(), 21);
    assert_eq!(table.len(), 1);
    let changes = table.take_changes();
    assert!(
        changes.iter().any(|change| matches!(change, Change::Alias { new, .. } if *new == PatternId::of("session opened for user <*>")))
    );
}

fn texts(count: u64) -> Vec<String> {
    (0..count).map(|n| format!("state of the pump: {}", (0..=n % 4).map(|k| word(n * 7 + k)).collect::<Vec<_>>().join(" "))).collect()
}

#[test]
fn many_texts_behind_one_head_are_a_variable() {
    let ids: BTreeSet<PatternId> = final_ids(&texts(40)).into_values().collect();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [PatternId::of("state of the pump: <*>")]);
    assert_eq!(final_ids(&texts(2)).into_values().collect::<BTreeSet<_>>().len(), 2);
}

#[test]
fn any_text_behind_a_failure_is_its_reason() {
    let messages = ["could not open file: no such device", "could not open file: access denied by policy"].map(str::to_owned);
    let ids: BTreeSet<PatternId> = final_ids(&messages).into_values().collect();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [PatternId::of("could not open file: <*>")]);
}

#[test]
fn a_text_in_a_statement_survives_a_restart() {
    let (mut before, mut budget) = table();
    for text in ["broken pipe", "timeout", "no such host", "end of the file"] {
        before.observe(&[format!("request {text} was ended by the other server").as_bytes()], Severity::ERROR, 0, &mut budget);
    }
    let mut after = PatternTable::new(Limits::default());
    after.load(&before.save(), 0, &mut budget);
    let id = after.observe(&[b"request of somebody was ended by the other server"], Severity::ERROR, 0, &mut budget);
    assert_eq!((id, after.len()), (PatternId::of("request <*> was ended by the other server"), 1));
}

#[test]
fn two_words_behind_a_word_that_values_follow_are_enough() {
    let messages = ["printer db7 is online now", "printer 12 was paused", "printer main was paused", "printer floor was paused"];
    let messages = messages.map(str::to_owned);
    let ids: BTreeSet<PatternId> = final_ids(&messages[1..]).into_values().collect();
    assert!(ids.contains(&PatternId::of("printer <*> was paused")) && ids.len() == 1);
    let messages = ["printer main has been paused", "printer floor has been paused"].map(str::to_owned);
    assert_eq!(final_ids(&messages).into_values().collect::<BTreeSet<_>>().len(), 2);
}

#[test]
fn texts_behind_exceptions_of_many_types_are_a_variable() {
    let kinds = ["java.io.IOException", "java.net.ConnectException", "a.b.RemoteException"];
    let messages: Vec<String> =
        (0..12u64).map(|n| format!("write of block {n} received exception {}: {}", kinds[(n % 3) as usize], word(n))).collect();
    let ids: BTreeSet<PatternId> = final_ids(&messages).into_values().collect();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [PatternId::of("write of block <*> received exception <*>")]);
}

#[test]
fn a_colon_in_brackets_that_close_again_ends_no_head() {
    let messages: Vec<String> = ["default", "mail", "low", "high", "slow", "night"]
        .map(|queue| format!("queued work of today (work id: 5) for {queue} with 7"))
        .into();
    let ids: BTreeSet<PatternId> = final_ids(&messages).into_values().collect();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [PatternId::of("queued work of today (work id: <*>) for <*> with <*>")]);
}

#[test]
fn an_exception_in_brackets_ends_a_head_whatever_follows() {
    let messages: Vec<String> = (0..12u64)
        .map(|n| {
            format!("servlet threw exception [processing of it failed: a.b.RemoteException: {}] with cause", "of a ".repeat(n as usize))
        })
        .collect();
    let ids: BTreeSet<PatternId> = final_ids(&messages).into_values().collect();
    assert_eq!(ids.len(), 1);
}

#[test]
fn many_users_are_not_many_texts() {
    let users = ["ann", "bob", "eve", "joe", "kim", "lee"];
    let messages: Vec<String> =
        users.iter().flat_map(|user| ["locked", "bad credentials"].map(|text| format!("login of the user {user}: {text}"))).collect();
    let ids: BTreeSet<PatternId> = final_ids(&messages).into_values().collect();
    assert_eq!(ids.len(), 2);
}

#[test]
fn open_rest_survives_a_restart() {
    let (mut before, mut budget) = table();
    for message in texts(12) {
        before.observe(&[message.as_bytes()], Severity::ERROR, 0, &mut budget);
    }
    let mut after = PatternTable::new(Limits::default());
    after.load(&before.save(), 0, &mut budget);
    let id = after.observe(&[b"state of the pump: never seen before (at all)"], Severity::ERROR, 0, &mut budget);
    assert_eq!((id, after.len()), (PatternId::of("state of the pump: <*>"), 1));
}

#[test]
fn two_words_that_vary_elsewhere_are_enough() {
    let mut messages: Vec<String> = ["ann", "bob", "eve", "joe", "kim"].map(|user| format!("session opened for user {user} now")).into();
    let others = ["lock was released by joe", "lock was released by kim", "lock was released by force", "lock was released by hand"];
    messages.extend(others[..2].iter().map(ToString::to_string));
    assert_eq!(final_ids(&messages).into_values().collect::<BTreeSet<_>>().len(), 2);
    messages.reverse();
    assert_eq!(final_ids(&messages).into_values().collect::<BTreeSet<_>>().len(), 2);
    let messages: Vec<String> = others[2..].iter().map(ToString::to_string).collect();
    assert_eq!(final_ids(&messages).into_values().collect::<BTreeSet<_>>().len(), 2);
}

#[test]
fn idle_patterns_give_way() {
    let mut table = PatternTable::new(Limits { patterns: 2, ..Limits::default() });
    let mut budget = MemoryBudget::new(1 << 20);
    table.observe(&[b"alpha beta"], Severity::INFO, 0, &mut budget);
    table.observe(&[b"gamma delta"], Severity::INFO, 1, &mut budget);
    assert_eq!(table.observe(&[b"other text"], Severity::INFO, 2, &mut budget), overflow_id(Severity::INFO));
    let late = Limits::default().idle_ns + 10;
    assert_eq!(table.observe(&[b"other text"], Severity::INFO, late, &mut budget), PatternId::of("other text"));
    assert!(table.take_changes().contains(&Change::Evicted { id: PatternId::of("alpha beta") }));
}

#[test]
fn a_message_without_room_gets_a_place_when_a_pattern_is_idle_or_several_become_one() {
    let overflow = overflow_id(Severity::INFO);
    let mut budget = MemoryBudget::new(1 << 20);
    let mut table = PatternTable::new(Limits { patterns: 4, idle_ns: 100, ..Limits::default() });
    let mut observe = |message: &str, now: u64| table.observe(&[message.as_bytes()], Severity::INFO, now, &mut budget);
    for message in ["first other text", "second quite another", "session opened for user ann", "session opened for user bob"] {
        observe(message, 1);
    }
    let full = "disk quota of volume exceeded";
    assert!((0..3).all(|_| observe(full, 2) == overflow), "four patterns are there");
    for name in ["eve", "joe", "kim"] {
        observe(&format!("session opened for user {name}"), 3);
    }
    assert_eq!(observe(full, 3), PatternId::of(full), "the sessions are one pattern now");
    assert!((0..3).all(|_| observe("no place for this yet", 50) == overflow));
    assert_eq!(observe("no place for this yet", 104), PatternId::of("no place for this yet"), "a pattern is idle");
}

#[test]
fn saved_state_gives_the_same_ids() {
    let (mut before, mut budget) = table();
    for name in ["ann", "bob", "eve", "joe", "kim", "lee"] {
        before.observe(&[format!("session {name} opened for {name}{name} at 5").as_bytes()], Severity::INFO, 0, &mut budget);
        before.observe(&[format!("service {name} started").as_bytes()], Severity::INFO, 0, &mut budget);
    }
    let saved = before.save();
    let mut after = PatternTable::new(Limits::default());
    after.load(&saved, 0, &mut budget);
    assert_eq!(after.len(), before.len());
    let id = after.observe(&[b"service zoe started"], Severity::INFO, 0, &mut budget);
    assert_eq!(id, PatternId::of("service <*> started"));
    assert_eq!(after.save(), saved);
    assert_eq!(after.take_changes(), []);
}

#[test]
fn damaged_state_is_skipped() {
    let (mut table, mut budget) = table();
    table.load(b"remora-patterns 1\n\x01broken\n\xff\n\x01good\x02 \x03\n", 0, &mut budget);
    table.load(b"something else\n\x01good\x02", 0, &mut budget);
    assert_eq!(table.len(), 1);
}

#[test]
fn node_budget_is_a_hard_cap() {
    let mut table = PatternTable::new(Limits::default());
    let mut budget = MemoryBudget::new(600);
    table.observe(&[b"alpha beta"], Severity::INFO, 0, &mut budget);
    assert_eq!(table.observe(&[b"gamma delta epsilon"], Severity::INFO, 0, &mut budget), overflow_id(Severity::INFO));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn final_ids_do_not_depend_on_order(seed in any::<u64>()) {
        let forms = ["could not read the file X: Y", "user X logged in from Y", "service X started", "cannot open file X because of Y", "X is a good server name", "link up", "link to host X was lost", "link to host X5[7] was lost"];
        let mut messages: Vec<String> = (0..200u64).map(|n| {
            let r = crate::hash::mix(seed, n);
            let form = forms[(r % 8) as usize];
            form.replace('X', &word(r >> 8 & 0x1f)).replace('Y', &word(r >> 16 & 0x3ff))
        }).collect();
        let forward = final_ids(&messages);
        messages.sort_by_key(|message| crate::hash::mix_bytes(seed, message.as_bytes()));
        prop_assert_eq!(forward, final_ids(&messages));
    }
}
