//! Files that grow, rotate, are cut, vanish, and are found again by the next agent.

use super::follow::{Activity, Begin, Followed, Turn};
use super::intake::{Intake, IntakeSettings, Origin, Written};
use super::lane::Format;
use super::position::FilePosition;
use crate::entity::cgroup::Placement;
use crate::entity::service_name::Service;
use crate::entity::table::{Entity, EntityId, EntityKind};
use crate::selfobs::{Counters, Event, Loss};
use remora_core::model::Attrs;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// When each read of these tests is over.
const READ_BY: u64 = 1_900_000_000_000_000_000;

fn origin() -> Arc<Origin> {
    let service = Service { name: "app".into(), namespace: None, version: None, instance: "1".into() };
    let placement = Placement::default();
    let entity = Entity { id: EntityId(1), kind: EntityKind::Program, service, resource: Attrs::default(), placement, container: None };
    Arc::new(Origin { entity: Arc::new(entity), path: Some("/app.log".into()) })
}

/// An agent that follows one path, with a clock that moves only when it is told to.
struct Agent {
    followed: Followed,
    intake: Intake,
    counters: Arc<Counters>,
    origin: Arc<Origin>,
    now: Instant,
    wall: u64,
    got: Vec<String>,
    written: Vec<Written>,
}

impl Agent {
    fn with(make: impl FnOnce(&Intake) -> Followed) -> Self {
        let counters = Arc::new(Counters::new([]));
        let settings = IntakeSettings { settings: remora_logs::Settings::default(), state: None, counters: Arc::clone(&counters) };
        let intake = Intake::new(settings);
        let followed = make(&intake);
        Self {
            followed,
            intake,
            counters,
            origin: origin(),
            now: Instant::now(),
            wall: 1_795_619_045_000_000_000,
            got: Vec::new(),
            written: Vec::new(),
        }
    }

    fn begin(path: &Path, format: Format, begin: Begin) -> Self {
        Self::with(|_| Followed::begin(path.to_path_buf(), format, begin, 1))
    }

    fn resume(path: &Path, format: Format, done: &[FilePosition], sent: &[FilePosition]) -> Self {
        Self::with(|intake| Followed::resume(path.to_path_buf(), format, done, sent, intake))
    }

    /// One turn, after `passed`.
    fn turn(&mut self, passed: Duration) -> Activity {
        self.now += passed;
        self.wall += u64::try_from(passed.as_nanos()).unwrap();
        let table = self.intake.table(&"app".into(), self.wall);
        let mut buffer = vec![0; 1000];
        let mut turn = Turn { intake: &mut self.intake, buffer: &mut buffer, now: self.now, wall: self.wall, clock: || READ_BY };
        let activity = self.followed.turn(&self.origin, table, &mut turn);
        self.take();
        activity
    }

    fn take(&mut self) {
        for held in self.intake.take() {
            self.got.push(held.record.body);
            self.written.push(held.written);
        }
    }

    /// Turns until nothing is new, long enough for messages to be complete, but not for files to be let go.
    fn read(&mut self) -> Vec<String> {
        for _ in 0..3 {
            while self.turn(Duration::from_millis(300)) == Activity::More {}
        }
        self.turn(Duration::from_millis(1_100));
        std::mem::take(&mut self.got)
    }

    fn positions(&mut self) -> Vec<FilePosition> {
        self.followed.positions()
    }
}

struct Log {
    dir: TempDir,
}

impl Log {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.other("app.log")
    }

    fn other(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        append(&self.path(), text.as_ref());
    }

    fn rotate(&self, name: &str) {
        fs::rename(self.path(), self.other(name)).unwrap();
    }

    fn compress(&self, name: &str) {
        let file = fs::File::create(self.other(&format!("{name}.gz"))).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(&fs::read(self.other(name)).unwrap()).unwrap();
        encoder.finish().unwrap();
        fs::remove_file(self.other(name)).unwrap();
    }
}

fn append(path: &Path, text: &[u8]) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text).unwrap();
}

fn lines(from: usize, to: usize) -> String {
    (from..to).map(|n| format!("line number {n}\n")).collect()
}

fn expected(from: usize, to: usize) -> Vec<String> {
    lines(from, to).lines().map(str::to_owned).collect()
}

#[test]
fn a_file_that_grows_gives_each_line_once() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    assert_eq!(agent.read(), expected(0, 0));
    log.write(lines(0, 500));
    assert_eq!(agent.read(), expected(0, 500));
    log.write("line number 50");
    assert_eq!(agent.read(), expected(0, 0));
    log.write("0\n");
    assert_eq!(agent.read(), expected(500, 501));
}

#[test]
fn what_was_there_before_is_read_from_its_recent_part() {
    let log = Log::new();
    log.write(lines(0, 100_000));
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Recent);
    let got = agent.read();
    assert_eq!(got, expected(100_000 - got.len(), 100_000));
    assert!(got.iter().map(|line| line.len() + 1).sum::<usize>().abs_diff(1 << 20) < 100, "{}", got.len());
}

#[test]
fn rotation_by_rename_loses_and_repeats_nothing() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    log.write(lines(0, 10));
    assert_eq!(agent.read(), expected(0, 10));
    // Written, rotated and written again between two turns.
    log.write(lines(10, 20));
    log.rotate("app.log.1");
    log.write(lines(20, 30));
    assert_eq!(agent.read(), expected(10, 30));
    // A program that has not opened the new file yet.
    append(&log.other("app.log.1"), b"late\n");
    assert_eq!(agent.read(), ["late"]);
}

#[test]
fn files_that_came_and_went_between_two_turns_are_read_in_order() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    log.write(lines(0, 10));
    assert_eq!(agent.read(), expected(0, 10));
    for round in 1..5 {
        for older in (1..round).rev() {
            fs::rename(log.other(&format!("app.log.{older}")), log.other(&format!("app.log.{}", older + 1))).unwrap();
        }
        log.rotate("app.log.1");
        log.write(lines(round * 10, round * 10 + 10));
    }
    assert_eq!(agent.read(), expected(0, 50)[10..]);
    // Let go in the end, and not found again.
    for _ in 0..10 {
        agent.turn(Duration::from_secs(11));
    }
    log.write(lines(50, 60));
    assert_eq!(agent.read(), expected(50, 60));
}

#[test]
fn a_file_that_is_cut_is_read_from_its_start() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    log.write(lines(0, 10));
    assert_eq!(agent.read(), expected(0, 10));
    fs::write(log.path(), lines(10, 12)).unwrap();
    assert_eq!(agent.read(), expected(10, 12));
    // Cut and longer than before.
    fs::write(log.path(), lines(100, 120)).unwrap();
    assert_eq!(agent.read(), expected(100, 120));
    assert_eq!(agent.counters.loss(Loss::SourceGone), 0);
}

#[test]
fn what_copytruncate_took_away_is_read_from_the_copy() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    log.write(lines(0, 10));
    assert_eq!(agent.read(), expected(0, 10));
    log.write(lines(10, 20));
    fs::copy(log.path(), log.other("app.log.1")).unwrap();
    fs::write(log.path(), "").unwrap();
    log.write(lines(20, 22));
    assert_eq!(agent.read(), expected(10, 22));
    log.write(lines(22, 30));
    assert_eq!(agent.read(), expected(22, 30));
}

#[test]
fn a_file_that_is_removed_is_read_to_its_end() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    log.write(lines(0, 10));
    assert_eq!(agent.read(), expected(0, 10));
    log.write(format!("{}no end", lines(10, 20)));
    fs::remove_file(log.path()).unwrap();
    assert_eq!(agent.read(), expected(10, 20));
    agent.turn(Duration::from_secs(11));
    assert_eq!((std::mem::take(&mut agent.got), agent.followed.is_over()), (vec!["no end".to_owned()], true));
    log.write(lines(30, 31));
    assert_eq!(agent.read(), expected(30, 31));
}

#[test]
fn the_next_agent_goes_on_where_the_last_one_stopped() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    log.write(lines(0, 10));
    assert_eq!(agent.read(), expected(0, 10));
    let positions = agent.positions();
    log.write(lines(10, 20));
    let mut next = Agent::resume(&log.path(), Format::Plain, &positions, &positions);
    assert_eq!(next.read(), expected(10, 20));
    assert_eq!(next.counters.event(Event::RepeatedLines), 0);
}

#[test]
fn rotations_while_no_agent_runs_lose_nothing() {
    for compressed in [false, true] {
        let log = Log::new();
        let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
        log.write(lines(0, 10));
        log.rotate("app.log.1");
        log.write(lines(10, 20));
        assert_eq!(agent.read(), expected(0, 20));
        let positions = agent.positions();
        // One rotation with lines that were not read, and one of a file that was never seen.
        log.write(lines(20, 30));
        fs::rename(log.other("app.log.1"), log.other("app.log.3")).unwrap();
        log.rotate("app.log.2");
        log.write(lines(30, 40));
        log.rotate("app.log.1");
        log.write(lines(40, 50));
        if compressed {
            ["app.log.3", "app.log.2", "app.log.1"].iter().for_each(|name| log.compress(name));
        }
        let mut next = Agent::resume(&log.path(), Format::Plain, &positions, &positions);
        assert_eq!(next.read(), expected(20, 50), "compressed: {compressed}");
        assert_eq!(next.counters.loss(Loss::SourceGone), 0);
    }
}

#[test]
fn old_rotated_files_are_left_alone_even_when_they_are_compressed_later() {
    let log = Log::new();
    append(&log.other("app.log.1"), b"long ago\n");
    log.write(lines(0, 5));
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Recent);
    assert_eq!(agent.read(), expected(0, 5));
    fs::rename(log.other("app.log.1"), log.other("app.log.2")).unwrap();
    log.compress("app.log.2");
    log.rotate("app.log.1");
    log.write(lines(5, 8));
    assert_eq!(agent.read(), expected(5, 8));
}

#[test]
fn an_inode_that_was_given_away_again_is_another_file() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    log.write(lines(0, 10));
    assert_eq!(agent.read(), expected(0, 10));
    let positions = agent.positions();
    fs::write(log.path(), "another program wrote this\nand this, which is long enough to be longer than what was there before\n").unwrap();
    let mut next = Agent::resume(&log.path(), Format::Plain, &positions, &positions);
    assert_eq!(next.read().len(), 2);
    assert_eq!(next.counters.loss(Loss::SourceGone), 1);
}

#[test]
fn an_open_message_is_read_again_and_its_lines_are_counted_as_repeats() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    log.write("2026-11-25 15:04:05 INFO a\n2026-11-25 15:04:06 ERROR b failed\njava.lang.Error: x\n\tat a.B.c(B.java:1)\n");
    agent.turn(Duration::ZERO);
    assert_eq!(agent.got.len(), 1);
    let done = agent.positions();
    log.write("\tat d.E.f(E.java:2)\n");
    let sent = [FilePosition { done: [200; 2], ..done[0] }];
    let mut next = Agent::resume(&log.path(), Format::Plain, &done, &sent);
    let got = next.read();
    assert_eq!(got.len(), 1);
    assert!(got[0].starts_with("2026-11-25 15:04:06 ERROR b failed\n") && got[0].ends_with("E.java:2)"), "{got:?}");
    assert_eq!(next.counters.event(Event::RepeatedLines), 4);
}

#[test]
fn streams_are_done_apart() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::Cri, Begin::Whole);
    let head = "2026-11-25T15:04:05.000000001Z";
    log.write(format!("{head} stdout P first \n{head} stderr F from stderr\n{head} stderr F again\n"));
    agent.read();
    let done = agent.positions();
    log.write(format!("{head} stdout F half\n"));
    let mut next = Agent::resume(&log.path(), Format::Cri, &done, &done);
    assert_eq!(next.read(), ["first half"]);
}

#[test]
fn times_and_streams_come_from_the_envelope() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::DockerJson, Begin::Whole);
    log.write("{\"log\":\"half a \",\"stream\":\"stderr\",\"time\":\"2026-11-25T15:04:05Z\"}\n");
    log.write("{\"log\":\"line\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-25T15:04:06Z\"}\nno envelope\n");
    agent.turn(Duration::ZERO);
    agent.now += Duration::from_secs(2);
    let table = agent.intake.table(&"app".into(), agent.wall);
    let mut buffer = vec![0; 1000];
    let mut turn = Turn { intake: &mut agent.intake, buffer: &mut buffer, now: agent.now, wall: agent.wall, clock: || READ_BY };
    agent.followed.turn(&agent.origin, table, &mut turn);
    agent.take();
    assert_eq!(agent.got, ["no envelope", "half a line"]);
}

#[test]
fn a_line_of_any_length_delays_nothing() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    log.write(vec![b'x'; 8 << 20]);
    log.write("\nnext\n");
    let mut turns = 0;
    while agent.turn(Duration::ZERO) == Activity::More {
        turns += 1;
    }
    assert!(turns >= 8 << 20 >> 19, "{turns}");
    let got = agent.read();
    assert_eq!((got[0].len(), got[1].as_str()), (remora_logs::join::MAX_MESSAGE, "next"));
    assert!(agent.counters.loss(Loss::LineTooLong) >= 1);
}

#[test]
fn bytes_that_are_no_text_are_lines_too() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    log.write(b"\xff\xfe caf\xe9\na\x00b\n\n");
    assert_eq!(agent.read(), ["\u{fffd}\u{fffd} caf\u{fffd}", "a\0b"]);
}

#[test]
fn a_clock_that_steps_splits_no_message() {
    let log = Log::new();
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    log.write("java.lang.Error: x\n");
    agent.turn(Duration::ZERO);
    agent.wall += 3_600_000_000_000;
    log.write("\tat a.B.c(B.java:1)\n");
    agent.turn(Duration::ZERO);
    agent.wall -= 7_200_000_000_000;
    log.write("\tat d.E.f(E.java:2)\n");
    assert_eq!(agent.read().len(), 1);
}

#[test]
fn a_path_that_cannot_be_read_is_told_once() {
    let log = Log::new();
    fs::create_dir(log.path()).unwrap();
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    for _ in 0..5 {
        agent.turn(Duration::from_secs(1));
    }
    fs::remove_dir(log.path()).unwrap();
    log.write(lines(0, 2));
    assert_eq!(agent.read(), expected(0, 2));
}

#[test]
fn a_line_without_time_was_written_between_two_looks_at_its_file() {
    let log = Log::new();
    log.write("first\n");
    let mut agent = Agent::begin(&log.path(), Format::Plain, Begin::Whole);
    agent.read();
    log.write("second\n");
    let looked = agent.wall;
    agent.read();
    assert_eq!(agent.written, [Written::Between(0, READ_BY), Written::Between(looked, READ_BY)]);
    let stamped = Log::new();
    stamped.write("2026-11-25T15:04:05.5Z stdout F third\n");
    let mut agent = Agent::begin(&stamped.path(), Format::Cri, Begin::Whole);
    agent.read();
    assert_eq!(agent.written, [Written::Stamped(1_795_619_045_500_000_000)]);
}

#[test]
fn what_a_new_program_rotated_before_it_was_found_is_read_and_what_is_older_is_not() {
    let log = Log::new();
    log.write("long ago\n");
    log.rotate("app.log.2");
    std::thread::sleep(Duration::from_millis(20));
    let horizon = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap() - 10_000_000;
    log.write("one\n");
    log.rotate("app.log.1");
    log.write("two\n");
    // Written again after the horizon, and still not made after it.
    append(&log.other("app.log.2"), b"and again\n");
    let mut agent = Agent::with(|_| Followed::begin(log.path(), Format::Plain, Begin::Whole, horizon));
    assert_eq!(agent.read(), ["one", "two"]);
}
