//! Server-sent events (HTML Standard §9.2.6) in the body of a response: where each event ends, and how much it carries.
//!
//! Nothing of the text is kept. What is no text, because it is compressed, gives no event; neither does the event that a
//! loss has torn.

/// One body, read as it comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventStream {
    line: Line,
    /// Whether the last byte was a CR, of which a LF would be a part.
    after_cr: bool,
    /// Bytes of the event's `data` lines, each with one line end; `None` before the first of them.
    data: Option<u64>,
    event: Event,
}

/// What is read of the line that is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many bytes of the field name `data`, and nothing else.
    Name(u8),
    /// The colon behind `data` was the last byte.
    Colon,
    /// The value of a `data` line.
    Data,
    /// A comment or another field.
    Other,
}

impl Default for Line {
    fn default() -> Self {
        Line::Name(0)
    }
}

/// What is known of the event that is not complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Event {
    #[default]
    Whole,
    /// Bytes of it were lost.
    Torn,
    /// The body is no text.
    Never,
}

const NAME: &[u8] = b"data";

impl EventStream {
    /// Reads the body's next bytes, and gives the bytes of data of each event that ends in them.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], ended: &mut dyn FnMut(u64)) {
        while self.event != Event::Never && !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr)
                && let [b'\n', rest @ ..] = bytes
            {
                bytes = rest;
                continue;
            }
            let end = memchr::memchr2(b'\n', b'\r', bytes);
            self.part(&bytes[..end.unwrap_or(bytes.len())]);
            let Some(end) = end.filter(|_| self.event != Event::Never) else { return };
            self.after_cr = bytes[end] == b'\r';
            self.line_ends(ended);
            bytes = &bytes[end + 1..];
        }
    }

    /// Bytes were lost: events count again from the next empty line on.
    pub(crate) fn lost(&mut self) {
        if self.event != Event::Never {
            *self = Self { line: Line::Other, event: Event::Torn, ..Self::default() };
        }
    }

    /// A part of a line.
    fn part(&mut self, part: &[u8]) {
        if part.iter().any(|&byte| is_no_text(byte)) {
            self.event = Event::Never;
        }
        for (at, &byte) in part.iter().enumerate() {
            self.line = match self.line {
                Line::Name(n) if NAME.get(usize::from(n)) == Some(&byte) => Line::Name(n + 1),
                Line::Name(n) if usize::from(n) == NAME.len() && byte == b':' => Line::Colon,
                Line::Name(_) => Line::Other,
                Line::Colon if byte == b' ' => Line::Data,
                Line::Colon | Line::Data => {
                    *self.data.get_or_insert(0) += (part.len() - at) as u64;
                    self.line = Line::Data;
                    return;
                }
                Line::Other => return,
            };
        }
    }

    fn line_ends(&mut self, ended: &mut dyn FnMut(u64)) {
        match std::mem::take(&mut self.line) {
            Line::Name(0) => {
                if let (Event::Whole, Some(data)) = (std::mem::take(&mut self.event), self.data.take()) {
                    ended(data - 1);
                }
            }
            Line::Name(n) if usize::from(n) < NAME.len() => {}
            Line::Name(_) | Line::Colon | Line::Data => *self.data.get_or_insert(0) += 1,
            Line::Other => {}
        }
    }
}

/// Whether a byte is none of UTF-8 text.
fn is_no_text(byte: u8) -> bool {
    matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 0xc0 | 0xc1 | 0xf5..=0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes of each event of a body that comes in pieces.
    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u64> {
        let (mut stream, mut events) = (EventStream::default(), Vec::new());
        for piece in pieces {
            stream.feed(piece, &mut |bytes| events.push(bytes));
        }
        events
    }

    #[test]
    fn an_event_is_what_an_empty_line_ends_if_it_has_data() {
        for (body, expected) in [
            ("data: hello\n\n", vec![5]),
            ("data:hello\r\n\r\ndata: x\r\rdata\n\n", vec![5, 1, 0]),
            ("data: two\ndata: lines\n\n", vec![9]),
            ("event: order\nid: 7\ndata:  a: b\nretry: 10\n\n", vec![5]),
            // Comments keep a connection open; an event without data is none, nor one without its end.
            (": ping\n\n\n\nevent: x\n\ndatabase: 1\n\nData: 1\n\ndata: open\n", vec![]),
            ("data:\ndata:\n\n", vec![1]),
        ] {
            assert_eq!(events([body.as_bytes()]), expected, "{body:?}");
        }
    }

    #[test]
    fn a_compressed_body_gives_no_event() {
        assert_eq!(events([&b"\x1f\x8b\x08\0\0\ndata: x\n\n"[..], b"data: y\n\n"]), []);
    }

    #[test]
    fn the_event_that_a_loss_has_torn_is_not_counted() {
        let (mut stream, mut events) = (EventStream::default(), Vec::new());
        let mut feed = |stream: &mut EventStream, bytes: &[u8]| stream.feed(bytes, &mut |n| events.push(n));
        feed(&mut stream, b"data: one\n\ndata: tw");
        stream.lost();
        feed(&mut stream, b"\ndata: rest\n\ndata: four\n\n");
        assert_eq!(events, [3, 4]);
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(body in "(data|data: ?|[a-d: \r\n]{1,4}|\r\n|\n\n){0,40}", cut in 1usize..9) {
            prop_assert_eq!(events(body.as_bytes().chunks(cut)), events([body.as_bytes()]));
        }
    }
}
