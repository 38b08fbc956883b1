//! The first bytes of what is compressed, however much of it was captured: bounded in time and memory.

use flate2::{Decompress, FlushDecompress};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// Most bytes of window that a zstd frame may ask for, as a power of two.
const MAX_WINDOW_LOG: u32 = 22;

/// Fills `out` with at most `limit` bytes of what `data`, a zlib stream that may be cut, decompresses to. `None` if it
/// is broken; what came of it before is there.
pub(super) fn zlib(data: &[u8], limit: usize, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    out.resize(limit, 0);
    let mut stream = Decompress::new(true);
    let result = stream.decompress(data, out, FlushDecompress::None);
    out.truncate(usize::try_from(stream.total_out()).unwrap_or(0));
    result.ok().map(|_| ())
}

/// As [`zlib`], for a zstd frame.
pub(super) fn zstd(data: &[u8], limit: usize, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    out.resize(limit, 0);
    let mut decoder = Decoder::new().ok()?;
    decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).ok()?;
    let mut input = InBuffer::around(data);
    let mut output = OutBuffer::around(out.as_mut_slice());
    let mut result = Some(());
    while input.pos() < data.len() && output.pos() < limit {
        let before = (input.pos(), output.pos());
        let is_broken = decoder.run(&mut input, &mut output).is_err();
        if is_broken || before == (input.pos(), output.pos()) {
            result = (!is_broken).then_some(());
            break;
        }
    }
    let written = output.pos();
    out.truncate(written);
    result
}
