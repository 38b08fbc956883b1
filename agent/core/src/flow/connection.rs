//! One connection: two streams, a classification, a parser, and the few bytes that a parser has not taken yet.

use super::classify::{Opening, Verdict, classify};
use super::stream::{Piece, Stream};
use super::{Amount, Capture, Direction, Loss, Pool, Probation, Segment, Sink};
use crate::model::{Close, ConnInfo, Exchange, Mono, Role, Transport};
use crate::proto::{Cx, Descriptor, End, Input, Mark, Options, Pairing, Parser, Shared, Step, Stop};

/// Bytes of one direction that may wait for a parser: a message head of 64 KiB and the segment that completes it.
pub(super) const BUFFER_LIMIT: usize = 80 * 1024;
/// Segments after which an unclassified connection is left alone, if they carried [`SAMPLE_BYTES`] too.
const SAMPLE_SEGMENTS: u32 = 8;
/// Bytes of both directions together that are enough to classify, however many segments they came in.
const SAMPLE_BYTES: usize = 2 * 1024;
/// Turns (an end says something after the other did) from which on a connection that was joined midway and fits nothing
/// is left alone. What one end says without a word of the other is one message for most protocols, however long it is:
/// it is no reason to give up.
const SAMPLE_TURNS: u32 = 64;
/// Segments after which it is left alone in any case.
const SAMPLE_MOST: u32 = 4096;

/// What the connection's parser works with for one call.
pub(super) struct Tools<'a> {
    pub(super) table: &'static [&'static Descriptor],
    pub(super) options: &'a Options,
    pub(super) pool: &'a mut Pool,
    pub(super) shared: &'a mut Shared,
    pub(super) sink: &'a mut dyn Sink,
}

enum State {
    /// Bytes wait in both buffers.
    Unclassified(Sampling),
    Parsing {
        descriptor: &'static Descriptor,
        parser: Box<dyn Parser>,
    },
    Opaque,
}

/// What is known of a connection whose protocol is not.
#[derive(Clone, Copy)]
struct Sampling {
    /// Segments in the buffers.
    segments: u32,
    egress_first: bool,
    /// Segments seen, those included that are in the buffers no more.
    seen: u32,
    turns: u32,
    latest: Option<Direction>,
    /// Holes in each direction.
    holes: [u64; 2],
}

impl Sampling {
    fn new(first: Direction) -> Self {
        Self { segments: 0, egress_first: first == Direction::Egress, seen: 0, turns: 0, latest: None, holes: [0; 2] }
    }

    fn count(&mut self, direction: Direction) {
        self.segments += 1;
        self.seen += 1;
        self.turns += u32::from(self.latest.replace(direction) != Some(direction));
    }

    /// Whether what fits nothing here may fit where another message begins.
    fn may_go_on(&self) -> bool {
        self.turns < SAMPLE_TURNS && self.seen < SAMPLE_MOST
    }
}

/// Bytes that were lost or fitted nothing.
#[derive(Clone, Copy)]
struct Passed {
    /// Stream offset of the first of them.
    at: u64,
    bytes: u64,
    /// The segment that held the last of them, or that showed that they are missing.
    mark: Mark,
}

/// Bytes of one direction in front of the parser.
#[derive(Default)]
struct Lane {
    /// Bytes that the parser has not taken.
    bytes: Vec<u8>,
    /// Stream offset of the first of them, or of the next that will come.
    offset: u64,
    marks: Vec<Mark>,
    /// Bytes from `offset` on that the parser does not want.
    skip: u64,
    /// What passed in front of the bytes by which the connection is judged.
    passed: Option<Passed>,
    fin: bool,
}

pub(super) struct Connection {
    pub(super) info: ConnInfo,
    pub(super) last_seen: Mono,
    streams: [Stream; 2],
    lanes: [Lane; 2],
    state: State,
    refused: u64,
    amounts: Option<(Amount, Amount)>,
    /// What a parser left for the one after it.
    handed_over: Option<Box<Exchange>>,
    probation: Probation,
}

fn index(direction: Direction) -> usize {
    match direction {
        Direction::Egress => 0,
        Direction::Ingress => 1,
    }
}

/// End that sends in `direction`, given the observed end's role.
fn sender(role: Role, direction: Direction) -> End {
    match (role, direction) {
        (Role::Client, Direction::Egress) | (Role::Server, Direction::Ingress) => End::Client,
        _ => End::Server,
    }
}

impl Connection {
    pub(super) fn new(info: ConnInfo) -> Self {
        Self {
            last_seen: info.opened,
            info,
            streams: Default::default(),
            lanes: Default::default(),
            state: State::Unclassified(Sampling::new(Direction::Egress)),
            refused: 0,
            amounts: None,
            handed_over: None,
            probation: Probation::default(),
        }
    }

    /// Name of the protocol, once classified.
    pub(super) fn protocol(&self) -> Option<&'static str> {
        match &self.state {
            State::Parsing { descriptor, .. } => Some(descriptor.name),
            _ => None,
        }
    }

    /// Bytes held for this connection.
    pub(super) fn held(&self) -> usize {
        self.lanes.iter().map(|lane| lane.bytes.capacity()).sum()
    }

    pub(super) fn segment(&mut self, segment: &Segment<'_>, tools: &mut Tools<'_>) {
        self.last_seen = segment.time;
        if matches!(self.state, State::Opaque) {
            return;
        }
        let own = index(segment.direction);
        if !self.streams[1 - own].is_waiting()
            && let Some(mark) = self.streams[own].pass(segment)
        {
            return self.bytes(segment.direction, mark.offset, segment.data, &mark, tools);
        }
        let mut streams = std::mem::take(&mut self.streams);
        let [egress, ingress] = &mut streams;
        let (own, other, other_direction) = match segment.direction {
            Direction::Egress => (egress, ingress, Direction::Ingress),
            Direction::Ingress => (ingress, egress, Direction::Egress),
        };
        other.acknowledged(segment.ack, &mut |piece| self.piece(other_direction, piece, tools));
        let lost = own.push(segment, &mut |piece| self.piece(segment.direction, piece, tools));
        self.streams = streams;
        if lost > 0 {
            tools.sink.loss(self.protocol(), Loss::Reorder, lost);
        }
    }

    pub(super) fn datagram(&mut self, segment: &Segment<'_>, tools: &mut Tools<'_>) {
        self.last_seen = segment.time;
        let lane = &mut self.lanes[index(segment.direction)];
        lane.bytes.clear();
        lane.marks.clear();
        let end = lane.offset + segment.data.len() as u64;
        let mark = Mark { offset: lane.offset, end, seq: segment.seq, ack: segment.ack, time: segment.time, task: segment.task };
        self.bytes(segment.direction, mark.offset, segment.data, &mark, tools);
        let lane = &mut self.lanes[index(segment.direction)];
        lane.offset += lane.bytes.len() as u64;
        lane.bytes.clear();
        lane.marks.clear();
    }

    pub(super) fn fin(&mut self, direction: Direction, at: Mono, tools: &mut Tools<'_>) {
        let mut streams = std::mem::take(&mut self.streams);
        let lost = streams[index(direction)].give_up(&mut |piece| self.piece(direction, piece, tools));
        self.streams = streams;
        if lost > 0 {
            tools.sink.loss(self.protocol(), Loss::Reorder, lost);
        }
        let lane = &mut self.lanes[index(direction)];
        if std::mem::replace(&mut lane.fin, true) {
            return;
        }
        let role = self.info.role;
        self.with_parser(tools, |parser, _, cx| {
            if let Some(role) = role {
                parser.fin(sender(role, direction), at, cx);
            }
        });
    }

    pub(super) fn closed(&mut self, how: Close, at: Mono, tools: &mut Tools<'_>) {
        if matches!(self.state, State::Unclassified(_)) {
            self.decide(true, tools);
        }
        self.with_parser(tools, |parser, _, cx| parser.closed(how, at, cx));
        self.release(tools);
        self.finish_handed_over(tools);
        self.state = State::Opaque;
    }

    /// Finishes what waits for an answer since `before`. A connection on which nothing was said since `quiet` has no
    /// answers on their way.
    pub(super) fn expire(&mut self, before: Mono, quiet: Mono, tools: &mut Tools<'_>) {
        self.with_parser(tools, |parser, _, cx| parser.expire(before, cx));
        if self.last_seen < quiet {
            self.release(tools);
        }
    }

    /// Tells what was held back until it was certain.
    fn release(&mut self, tools: &mut Tools<'_>) {
        for exchange in self.probation.end() {
            if let Some(exchange) = tools.sink.exchange(&self.info, exchange) {
                tools.pool.put(exchange);
            }
        }
    }

    fn piece(&mut self, direction: Direction, piece: Piece<'_>, tools: &mut Tools<'_>) {
        match (&mut self.state, piece) {
            (_, Piece::Bytes(at, bytes, mark)) => self.bytes(direction, at, bytes, mark, tools),
            (State::Opaque, _) => {}
            (State::Unclassified(sampling), Piece::Hole(at, bytes, mark)) => {
                sampling.holes[index(direction)] += 1;
                // What was in the hole is unknown: a sample must not span it.
                let lane = &mut self.lanes[index(direction)];
                lane.clear_to(at + bytes);
                lane.passed = Some(Passed { at, bytes, mark: *mark });
            }
            (State::Parsing { .. }, Piece::Hole(_, bytes, mark)) => self.hole(direction, bytes, mark, tools),
        }
    }

    /// The next bytes of `direction`, at stream offset `at`.
    fn bytes(&mut self, direction: Direction, at: u64, bytes: &[u8], mark: &Mark, tools: &mut Tools<'_>) {
        match self.state {
            State::Opaque => {}
            State::Unclassified(_) => self.sampled(direction, at, bytes, mark, tools),
            State::Parsing { .. } => self.parse(direction, at, bytes, mark, tools),
        }
    }

    fn sampled(&mut self, direction: Direction, at: u64, bytes: &[u8], mark: &Mark, tools: &mut Tools<'_>) {
        let position = self.lanes[index(direction)].bytes.len() as u64;
        let none = self.lanes.iter().all(|lane| lane.bytes.is_empty());
        let lane = &mut self.lanes[index(direction)];
        if position == 0 {
            lane.offset = at;
        }
        lane.append(bytes, mark);
        if let State::Unclassified(sampling) = &mut self.state {
            sampling.count(direction);
            if none {
                sampling.egress_first = direction == Direction::Egress;
            }
        }
        self.decide(false, tools);
    }

    fn decide(&mut self, over: bool, tools: &mut Tools<'_>) {
        let State::Unclassified(sampling) = self.state else { return };
        let Sampling { segments, egress_first, .. } = sampling;
        let [egress, ingress] = &self.lanes;
        let is_full = egress.bytes.len() >= BUFFER_LIMIT || ingress.bytes.len() >= BUFFER_LIMIT;
        let is_enough = segments >= SAMPLE_SEGMENTS && egress.bytes.len() + ingress.bytes.len() >= SAMPLE_BYTES;
        let last = over || is_full || is_enough;
        let opening = Opening {
            transport: self.info.transport,
            egress: &egress.bytes,
            ingress: &ingress.bytes,
            role: self.info.role,
            local_port: self.info.local.port(),
            remote_port: self.info.remote.port(),
            midway: self.info.midway || egress.passed.is_some() || ingress.passed.is_some(),
            egress_first,
            refused: self.refused,
            last,
        };
        match classify(tools.table, &opening) {
            Verdict::Is(at, role) => {
                let descriptor = tools.table[at];
                self.info.role = Some(role);
                let midway = opening.midway;
                self.start(descriptor, midway, &sampling, tools);
            }
            // In the middle of a message nothing fits; the start of another one may.
            Verdict::Nothing if opening.midway && !over && sampling.may_go_on() => self.elsewhere(sampling),
            Verdict::Nothing => self.opaque(tools),
            Verdict::Wait => {}
        }
    }

    /// Judges by what comes from here on.
    fn elsewhere(&mut self, sampling: Sampling) {
        for lane in &mut self.lanes {
            let bytes = lane.bytes.len() as u64;
            if let Some(mark) = lane.marks.last() {
                lane.passed = Some(Passed { at: lane.offset, bytes, mark: *mark });
            }
            lane.clear_to(lane.offset + bytes);
        }
        self.state = State::Unclassified(Sampling { segments: 0, egress_first: true, ..sampling });
    }

    fn start(&mut self, descriptor: &'static Descriptor, midway: bool, sampling: &Sampling, tools: &mut Tools<'_>) {
        self.state = State::Parsing { descriptor, parser: (descriptor.parser)(midway) };
        self.probation = Probation::new(midway && descriptor.pairing == Pairing::Order);
        tools.sink.classified(&self.info, Some(descriptor.name));
        self.want(descriptor.capture, tools);
        self.count_holes(sampling.holes, tools);
        if descriptor.pairing == Pairing::Order {
            // Requests of the same burst may be among what passed.
            self.tell_passed(tools);
        }
        // Which end was first is unknown behind a hole; an answer that is paired by number follows its request.
        let egress_first = match (descriptor.pairing, self.info.role) {
            (Pairing::Number, Some(role)) => role == Role::Client,
            _ => sampling.egress_first,
        };
        let order = if egress_first { [Direction::Egress, Direction::Ingress] } else { [Direction::Ingress, Direction::Egress] };
        for direction in order {
            self.run(direction, tools);
        }
    }

    /// Counts what was missed before there was a protocol to say whether that is a loss.
    fn count_holes(&self, holes: [u64; 2], tools: &mut Tools<'_>) {
        for (direction, n) in [Direction::Egress, Direction::Ingress].into_iter().zip(holes) {
            if n > 0 && !self.has_holes_by_design(direction) {
                tools.sink.loss(self.protocol(), Loss::Hole, n);
            }
        }
    }

    /// Tells the parser what passed before it was there.
    fn tell_passed(&mut self, tools: &mut Tools<'_>) {
        for direction in [Direction::Egress, Direction::Ingress] {
            let Some(role) = self.info.role else { return };
            if let Some(Passed { at, bytes, mark }) = self.lanes[index(direction)].passed.take() {
                let before = Input::new(&[], at, &[]);
                self.with_parser(tools, |parser, _, cx| parser.lost(sender(role, direction), &before, bytes, &mark, cx));
            }
        }
    }

    /// An exchange that no parser took over is finished as it is.
    fn finish_handed_over(&mut self, tools: &mut Tools<'_>) {
        if let Some(exchange) = self.handed_over.take()
            && let Some(exchange) = tools.sink.exchange(&self.info, exchange)
        {
            tools.pool.put(exchange);
        }
    }

    fn opaque(&mut self, tools: &mut Tools<'_>) {
        self.release(tools);
        self.finish_handed_over(tools);
        self.state = State::Opaque;
        self.lanes = Default::default();
        tools.sink.classified(&self.info, None);
        self.want(Capture::NOTHING, tools);
    }

    fn want(&mut self, capture: Capture, tools: &mut Tools<'_>) {
        let amounts = match self.info.role {
            Some(Role::Server) => (capture.server, capture.client),
            _ => (capture.client, capture.server),
        };
        if self.amounts.replace(amounts) != Some(amounts) {
            tools.sink.capture(self.info.id, amounts.0, amounts.1);
        }
    }

    /// Hands bytes to the parser, without copying them where it takes them at once.
    fn parse(&mut self, direction: Direction, at: u64, mut bytes: &[u8], mark: &Mark, tools: &mut Tools<'_>) {
        let lane = &mut self.lanes[index(direction)];
        if lane.bytes.is_empty() && lane.skip == 0 {
            lane.offset = at;
        }
        if lane.skip > 0 {
            let skipped = lane.skip.min(bytes.len() as u64);
            lane.skip -= skipped;
            lane.offset += skipped;
            bytes = &bytes[usize::try_from(skipped).unwrap_or(bytes.len())..];
            if lane.skip == 0 {
                self.skipped(direction, mark, tools);
            }
        }
        if bytes.is_empty() {
            return;
        }
        let lane = &mut self.lanes[index(direction)];
        if !lane.bytes.is_empty() {
            lane.append(bytes, mark);
            return self.run(direction, tools);
        }
        let taken = self.steps(direction, bytes, std::slice::from_ref(mark), tools);
        if let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            self.lanes[index(direction)].append(rest, mark);
            self.check_limit(direction, tools);
        }
    }

    /// Hands the waiting bytes of `direction` to the parser.
    fn run(&mut self, direction: Direction, tools: &mut Tools<'_>) {
        let lane = &mut self.lanes[index(direction)];
        if lane.bytes.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut lane.bytes);
        let marks = std::mem::take(&mut lane.marks);
        let taken = self.steps(direction, &bytes, &marks, tools);
        let lane = &mut self.lanes[index(direction)];
        lane.restore(bytes, marks, taken);
        self.check_limit(direction, tools);
    }

    /// Lets the parser go over `bytes`; the first of them is at the lane's offset. Returns how many are done with.
    fn steps(&mut self, direction: Direction, bytes: &[u8], marks: &[Mark], tools: &mut Tools<'_>) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let Some(role) = self.info.role else { return bytes.len() };
            let offset = self.lanes[index(direction)].offset;
            let input = Input::new(&bytes[done..], offset, marks);
            let Some(step) = self.with_parser(tools, |parser, _, cx| parser.parse(sender(role, direction), &input, cx)) else {
                return bytes.len();
            };
            let left = bytes.len() - done;
            match step {
                Step::Take(n) => {
                    let n = n.clamp(1, left);
                    done += n;
                    self.lanes[index(direction)].offset += n as u64;
                }
                Step::Skip(n) => {
                    let n = n.max(1);
                    let now = usize::try_from(n).unwrap_or(usize::MAX).min(left);
                    done += now;
                    let lane = &mut self.lanes[index(direction)];
                    lane.offset += now as u64;
                    lane.skip = n - now as u64;
                    if lane.skip == 0 {
                        let mark = input.mark(now.saturating_sub(1));
                        self.skipped(direction, &mark, tools);
                    }
                }
                Step::More => return done,
                Step::Stop(stop) => return self.stop(direction, stop, &bytes[done..], marks, tools).map_or(bytes.len(), |()| done),
            }
        }
        done
    }

    /// Ends the parser's work. `Some` if the rest of the bytes is to be kept for another parser.
    fn stop(&mut self, direction: Direction, stop: Stop, rest: &[u8], marks: &[Mark], tools: &mut Tools<'_>) -> Option<()> {
        let State::Parsing { descriptor, .. } = self.state else { return None };
        match stop {
            Stop::Opaque => {
                self.opaque(tools);
                None
            }
            Stop::NotMine => {
                tools.sink.loss(Some(descriptor.name), Loss::Misclassified, 1);
                if let Some(at) = tools.table.iter().position(|d| std::ptr::eq(*d, descriptor)) {
                    self.refused |= 1 << at;
                }
                self.with_parser(tools, |parser, _, cx| parser.closed(Close::Unobserved, cx.conn.opened, cx));
                self.release(tools);
                self.state = State::Unclassified(Sampling::new(direction));
                // Another protocol is judged by the bytes that come from here on.
                let lane = &mut self.lanes[index(direction)];
                let offset = lane.offset;
                lane.clear_to(offset + rest.len() as u64);
                self.info.midway = true;
                None
            }
            Stop::Switch(name) => {
                let Some(next) = tools.table.iter().find(|d| d.name == name) else {
                    self.opaque(tools);
                    return None;
                };
                self.release(tools);
                self.state = State::Parsing { descriptor: next, parser: (next.parser)(false) };
                tools.sink.classified(&self.info, Some(next.name));
                self.want(next.capture, tools);
                let lane = &mut self.lanes[index(direction)];
                lane.bytes.extend_from_slice(rest);
                lane.marks.extend_from_slice(marks);
                let other = match direction {
                    Direction::Egress => Direction::Ingress,
                    Direction::Ingress => Direction::Egress,
                };
                self.lanes[index(other)].skip = 0;
                self.run(direction, tools);
                self.run(other, tools);
                None
            }
        }
    }

    fn skipped(&mut self, direction: Direction, mark: &Mark, tools: &mut Tools<'_>) {
        let Some(role) = self.info.role else { return };
        self.with_parser(tools, |parser, _, cx| parser.skipped(sender(role, direction), mark, cx));
    }

    fn hole(&mut self, direction: Direction, bytes: u64, mark: &Mark, tools: &mut Tools<'_>) {
        let lane = &mut self.lanes[index(direction)];
        let within = lane.skip.min(bytes);
        lane.skip -= within;
        if within > 0 {
            lane.offset += within;
            if lane.skip == 0 {
                self.skipped(direction, mark, tools);
            }
        }
        let lost = bytes - within;
        if lost > 0 {
            self.lost(direction, lost, mark, tools);
        }
    }

    fn lost(&mut self, direction: Direction, bytes: u64, mark: &Mark, tools: &mut Tools<'_>) {
        let Some(role) = self.info.role else { return };
        let lane = &mut self.lanes[index(direction)];
        let held = std::mem::take(&mut lane.bytes);
        let marks = std::mem::take(&mut lane.marks);
        let offset = lane.offset;
        lane.offset += held.len() as u64 + bytes;
        if !held.is_empty() || !self.has_holes_by_design(direction) {
            tools.sink.loss(self.protocol(), Loss::Hole, 1);
        }
        let before = Input::new(&held, offset, &marks);
        self.with_parser(tools, |parser, _, cx| parser.lost(sender(role, direction), &before, bytes, mark, cx));
    }

    /// Whether capture was asked to leave out bytes of `direction`: then only a message that was being read is a loss.
    fn has_holes_by_design(&self, direction: Direction) -> bool {
        let (State::Parsing { .. }, Some((egress, ingress))) = (&self.state, self.amounts) else { return false };
        let amount = match direction {
            Direction::Egress => egress,
            Direction::Ingress => ingress,
        };
        !matches!(amount, Amount::Segment(_))
    }

    /// A parser that wants more than the buffer holds does not get it: the bytes become a hole.
    fn check_limit(&mut self, direction: Direction, tools: &mut Tools<'_>) {
        let lane = &self.lanes[index(direction)];
        if lane.bytes.len() > BUFFER_LIMIT {
            let mark = lane.marks.last().copied().unwrap_or_default();
            tools.sink.loss(self.protocol(), Loss::Oversized, 1);
            self.lost(direction, 0, &mark, tools);
        }
    }

    /// Runs `work` with the parser, if there is one, and applies what it asked of capture.
    fn with_parser<R>(
        &mut self,
        tools: &mut Tools<'_>,
        work: impl FnOnce(&mut dyn Parser, &'static Descriptor, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let State::Parsing { descriptor, parser } = &mut self.state else { return None };
        let mut cx = Cx {
            conn: &self.info,
            options: tools.options,
            descriptor,
            pool: tools.pool,
            shared: tools.shared,
            sink: tools.sink,
            capture: None,
            probation: &mut self.probation,
            handed_over: &mut self.handed_over,
        };
        let result = work(parser.as_mut(), descriptor, &mut cx);
        if let Some(capture) = cx.capture {
            self.want(capture, tools);
        }
        Some(result)
    }

    /// Whether this connection's datagrams or bytes are of no interest any more.
    pub(super) fn is_opaque(&self) -> bool {
        matches!(self.state, State::Opaque)
    }

    /// Whether both directions have sent their FIN.
    pub(super) fn both_finished(&self) -> bool {
        self.lanes.iter().all(|lane| lane.fin)
    }

    pub(super) fn is_tcp(&self) -> bool {
        self.info.transport == Transport::Tcp
    }
}

impl Lane {
    fn append(&mut self, bytes: &[u8], mark: &Mark) {
        let mut mark = *mark;
        if self.bytes.is_empty() {
            self.marks.clear();
        } else if let Some(last) = self.marks.last() {
            // A segment that repeats earlier bytes begins, for its new ones, where those end.
            mark.offset = mark.offset.max(last.offset);
        }
        self.bytes.extend_from_slice(bytes);
        self.marks.push(mark);
    }

    fn restore(&mut self, mut bytes: Vec<u8>, mut marks: Vec<Mark>, taken: usize) {
        if !self.bytes.is_empty() || taken >= bytes.len() {
            // Switched parsers have filled the lane anew, or nothing is left: keep the larger memory for reuse.
            if self.bytes.is_empty() {
                bytes.clear();
                marks.clear();
                (self.bytes, self.marks) = (bytes, marks);
            }
            return;
        }
        bytes.drain(..taken);
        let keep = marks.partition_point(|mark| mark.offset <= self.offset).saturating_sub(1);
        marks.drain(..keep);
        (self.bytes, self.marks) = (bytes, marks);
    }

    fn clear_to(&mut self, offset: u64) {
        self.bytes.clear();
        self.marks.clear();
        self.offset = offset;
        self.skip = 0;
    }
}
