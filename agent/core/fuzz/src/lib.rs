//! Conversations out of a fuzzer's bytes.

use remora_core::proto::End;
use remora_core::testkit::Talk;

/// Whether bytes may go missing: datagrams come whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Holes {
    /// They may.
    Some,
    /// Never.
    None,
}

/// Goes on behind `start` with pieces and holes of either end. The first byte tells whether the connection is joined
/// midway, the rest is as [`pieces`] takes it.
#[must_use]
pub fn conversation(start: Talk, data: &[u8]) -> Talk {
    let Some((midway, rest)) = data.split_first() else { return start };
    pieces(if midway & 1 == 1 { start.midway() } else { start }, rest, Holes::Some)
}

/// Each piece begins with a byte: bit 0 its end, bit 1 a hole, the rest its length.
#[must_use]
pub fn pieces(mut talk: Talk, mut rest: &[u8], holes: Holes) -> Talk {
    while let [head, tail @ ..] = rest {
        let end = if head & 1 == 0 { End::Client } else { End::Server };
        let len = usize::from(head >> 2) * 4;
        if holes == Holes::None || head & 2 == 0 {
            let (piece, after) = tail.split_at(len.min(tail.len()));
            talk = talk.piece(end, piece);
            rest = after;
        } else {
            talk = talk.hole(end, len as u64 + 1);
            rest = tail;
        }
    }
    talk
}
