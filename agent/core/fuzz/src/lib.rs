//! Conversations out of a fuzzer's bytes.

use remora_core::proto::End;
use remora_core::testkit::Talk;

/// Goes on behind `start` with pieces and holes of either end. The first byte tells whether the connection is joined
/// midway; each piece begins with a byte: bit 0 its end, bit 1 a hole, the rest its length.
#[must_use]
pub fn conversation(start: Talk, data: &[u8]) -> Talk {
    let Some((midway, mut rest)) = data.split_first() else { return start };
    let mut talk = if midway & 1 == 1 { start.midway() } else { start };
    while let [head, tail @ ..] = rest {
        let end = if head & 1 == 0 { End::Client } else { End::Server };
        let len = usize::from(head >> 2) * 4;
        if head & 2 == 0 {
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
