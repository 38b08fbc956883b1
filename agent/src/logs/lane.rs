//! The two streams of a source: parts put together to lines, lines to messages, and where the oldest open one began.

use super::frames::Frame;
use super::intake::{Intake, Line, Origin, TableId};
use super::position::{LANES, Resume};
use remora_logs::envelope::{Entry, Part, PartJoiner, Stream, cri, docker_json, docker_local};
use remora_logs::timestamp::UnixNanos;
use remora_logs::{Severity, Source};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A message that nothing followed for so long is complete.
const IDLE: Duration = Duration::from_nanos(remora_logs::join::IDLE);

/// How a file wraps its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Docker's `json-file`.
    DockerJson,
    /// Docker's `local`.
    DockerLocal,
    /// CRI: containerd, CRI-O, Podman's `k8s-file`.
    Cri,
    /// Not at all.
    Plain,
}

/// Place of a line: number of the file, and offset in it.
pub(super) type Mark = (u64, u64);

/// Where what a lane completes belongs.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) origin: &'a Arc<Origin>,
    pub(super) table: TableId,
    /// Now, in nanoseconds since the Unix epoch.
    pub(super) wall: UnixNanos,
    /// Now.
    pub(super) now: Instant,
    /// When the source was last seen to hold nothing of this, in nanoseconds since the Unix epoch; 0 if it never was.
    pub(super) since: UnixNanos,
    /// When this had been read, likewise.
    pub(super) by: UnixNanos,
}

/// One stream.
#[derive(Debug, Default)]
pub(super) struct Lane {
    parts: PartJoiner,
    joiner: Source,
    /// First part of the line that is not whole yet.
    part: Option<Mark>,
    /// First line of the message that is not complete yet, and the time that was given with it.
    open: Option<(Mark, UnixNanos, Timed)>,
    /// When the last line came.
    last: Option<Instant>,
}

/// Whether the time given with a line is when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timed {
    /// The runtime, the journal or the kernel says so.
    Written,
    /// It is only when it was read.
    Read {
        /// When its source was last seen without it.
        since: UnixNanos,
        /// When it had been read.
        by: UnixNanos,
    },
}

impl Lane {
    /// The oldest place that is not done; `None` if everything is.
    pub(super) fn oldest(&self) -> Option<Mark> {
        self.open.map(|(mark, ..)| mark).or(self.part)
    }

    /// Takes a line, or a part of one, that a runtime wrapped.
    pub(super) fn entry(&mut self, entry: &Entry<'_>, stream: Option<Stream>, mark: Mark, target: Target<'_>, intake: &mut Intake) {
        let first = *self.part.get_or_insert(mark);
        let mut parts = std::mem::take(&mut self.parts);
        let before = parts.dropped_bytes;
        parts.push(entry, |text, time| {
            self.part = None;
            self.line(text, time, Severity::UNSPECIFIED, stream, first, target, intake);
        });
        intake.cut(parts.dropped_bytes - before);
        self.parts = parts;
    }

    /// Takes a line.
    #[expect(clippy::too_many_arguments, reason = "a line and all that is known of it")]
    pub(super) fn line(
        &mut self,
        text: &[u8],
        time: Option<UnixNanos>,
        fallback: Severity,
        stream: Option<Stream>,
        mark: Mark,
        target: Target<'_>,
        intake: &mut Intake,
    ) {
        // Without a time of its own a line goes to the message that is open, however long it took to be read.
        let time_of_open = self.open.map(|(_, time, _)| time);
        let (now, timed) = match time {
            Some(time) => (time, Timed::Written),
            None => (time_of_open.unwrap_or(target.wall), Timed::Read { since: target.since, by: target.by }),
        };
        let line = Line { text, now, timed, open_timed: self.open.map(|(.., timed)| timed), fallback, stream };
        let completed = intake.line(&mut self.joiner, &line, target);
        self.last = Some(target.now);
        if !self.joiner.is_open() {
            self.open = None;
        } else if completed > 0 || self.open.is_none() {
            self.open = Some((mark, now, timed));
        }
    }

    /// Completes a message that nothing followed for a while.
    pub(super) fn finish_idle(&mut self, fallback: Severity, stream: Option<Stream>, target: Target<'_>, intake: &mut Intake) {
        let idle = self.last.is_some_and(|last| target.now.saturating_duration_since(last) >= IDLE);
        if idle && self.open.is_some() && self.part.is_none() {
            self.complete(fallback, stream, target, intake);
        }
    }

    /// Completes what is open: the source ends, or the agent stops.
    pub(super) fn finish(&mut self, fallback: Severity, stream: Option<Stream>, target: Target<'_>, intake: &mut Intake) {
        if let Some(mark) = self.part {
            let end = Entry { time: None, stream: Stream::Stdout, part: Part::Full, text: Cow::Borrowed(&[]) };
            self.entry(&end, stream, mark, target, intake);
        }
        self.complete(fallback, stream, target, intake);
    }

    fn complete(&mut self, fallback: Severity, stream: Option<Stream>, target: Target<'_>, intake: &mut Intake) {
        if let Some((_, time, timed)) = self.open.take() {
            let line = Line { text: &[], now: time, timed, open_timed: Some(timed), fallback, stream };
            intake.finish(&mut self.joiner, &line, target);
        }
    }
}

/// Both streams of a file.
#[derive(Debug)]
pub(super) struct Lanes {
    format: Format,
    lanes: [Lane; LANES],
}

impl Lanes {
    pub(super) fn new(format: Format) -> Self {
        Self { format, lanes: Default::default() }
    }

    /// Takes a frame of file `number`, unless `resume` says that it was done before.
    pub(super) fn frame(&mut self, frame: &Frame<'_>, number: u64, resume: &Resume, target: Target<'_>, intake: &mut Intake) {
        intake.cut(frame.skipped);
        let (entry, stream) = self.decode(frame.bytes);
        let lane = usize::from(stream == Some(Stream::Stderr));
        if frame.offset >= resume.done[lane] {
            intake.repeated(u64::from(frame.offset < resume.sent[lane]));
            self.lanes[lane].entry(&entry, stream, (number, frame.offset), target, intake);
        }
    }

    /// What is no envelope is a line by itself.
    fn decode<'a>(&self, bytes: &'a [u8]) -> (Entry<'a>, Option<Stream>) {
        let entry = match self.format {
            Format::DockerJson => docker_json::decode(bytes),
            Format::DockerLocal => docker_local::decode(bytes).ok().map(|(entry, _)| entry),
            Format::Cri => cri::decode(bytes),
            Format::Plain => None,
        };
        match entry {
            Some(entry) => {
                let stream = entry.stream;
                (entry, Some(stream))
            }
            None => (Entry { time: None, stream: Stream::Stdout, part: Part::Full, text: Cow::Borrowed(bytes) }, None),
        }
    }

    /// The oldest place of each stream that is not done.
    pub(super) fn oldest(&self) -> [Option<Mark>; LANES] {
        [self.lanes[0].oldest(), self.lanes[1].oldest()]
    }

    /// As [`Lane::finish_idle`], for both.
    pub(super) fn finish_idle(&mut self, target: Target<'_>, intake: &mut Intake) {
        let streams = self.streams();
        self.lanes.iter_mut().zip(streams).for_each(|(lane, stream)| lane.finish_idle(Severity::UNSPECIFIED, stream, target, intake));
    }

    /// As [`Lane::finish`], for both.
    pub(super) fn finish(&mut self, target: Target<'_>, intake: &mut Intake) {
        let streams = self.streams();
        self.lanes.iter_mut().zip(streams).for_each(|(lane, stream)| lane.finish(Severity::UNSPECIFIED, stream, target, intake));
    }

    fn streams(&self) -> [Option<Stream>; LANES] {
        match self.format {
            Format::Plain => [None, None],
            _ => [Some(Stream::Stdout), Some(Stream::Stderr)],
        }
    }
}
