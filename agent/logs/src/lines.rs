//! Cuts a byte stream into lines of bounded length.
//! Must never buffer more than the bound, whatever the stream holds: what is beyond it is skipped and counted.

use std::io::{self, BufRead};

/// Longest line kept; the rest of a longer one is skipped.
pub const MAX_LINE: usize = 256 * 1024;

/// What a stream held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineStats {
    /// Lines read.
    pub lines: u64,
    /// Lines longer than [`MAX_LINE`].
    pub truncated: u64,
    /// Bytes of them that were skipped.
    pub skipped_bytes: u64,
}

/// Calls `each` with every line, without its end (`\n` or `\r\n`); the last line needs none.
pub fn for_each(mut reader: impl BufRead, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<LineStats> {
    let mut stats = LineStats::default();
    let mut partial: Vec<u8> = Vec::new();
    let mut skipped = 0u64;
    let mut open = false;
    loop {
        let chunk = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            break;
        }
        let length = chunk.len();
        let mut rest = chunk;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if open {
                skipped += append(&mut partial, line);
                finish(&partial, skipped, &mut stats, &mut each)?;
                partial.clear();
                (skipped, open) = (0, false);
            } else {
                let kept = &line[..line.len().min(MAX_LINE)];
                finish(kept, (line.len() - kept.len()) as u64, &mut stats, &mut each)?;
            }
        }
        if !rest.is_empty() {
            skipped += append(&mut partial, rest);
            open = true;
        }
        reader.consume(length);
    }
    if open {
        finish(&partial, skipped, &mut stats, &mut each)?;
    }
    Ok(stats)
}

fn append(partial: &mut Vec<u8>, bytes: &[u8]) -> u64 {
    let kept = bytes.len().min(MAX_LINE - partial.len());
    partial.extend_from_slice(&bytes[..kept]);
    (bytes.len() - kept) as u64
}

fn finish(line: &[u8], skipped: u64, stats: &mut LineStats, each: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    stats.lines += 1;
    stats.truncated += u64::from(skipped > 0);
    stats.skipped_bytes += skipped;
    each(line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    fn read(bytes: &[u8], buffer: usize) -> (Vec<Vec<u8>>, LineStats) {
        let mut lines = Vec::new();
        let stats = for_each(BufReader::with_capacity(buffer, bytes), |line| {
            lines.push(line.to_vec());
            Ok(())
        })
        .expect("memory does not fail");
        (lines, stats)
    }

    #[test]
    fn ends_of_lines_and_of_input() {
        let (lines, stats) = read(b"a\r\n\nb\0c\nlast", 4);
        assert_eq!(lines, [&b"a"[..], b"", b"b\0c", b"last"]);
        assert_eq!(stats.lines, 4);
    }

    #[test]
    fn huge_line_is_cut_and_counted() {
        let mut bytes = vec![b'x'; MAX_LINE + 10];
        bytes.extend_from_slice(b"\nnext\n");
        for buffer in [1000, MAX_LINE * 2] {
            let (lines, stats) = read(&bytes, buffer);
            assert_eq!((lines[0].len(), lines[1].as_slice()), (MAX_LINE, &b"next"[..]));
            assert_eq!((stats.truncated, stats.skipped_bytes), (1, 10));
        }
    }

    proptest! {
        #[test]
        fn buffer_size_changes_nothing(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200), buffer in 1usize..50) {
            prop_assert_eq!(read(&bytes, buffer), read(&bytes, 1000));
        }
    }
}
