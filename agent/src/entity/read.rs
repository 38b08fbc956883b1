//! Bounded reads of the small files below `/proc`, `/sys` and `/etc`.
//!
//! Another process decides what stands in some of them, so no read is ever longer than it was told.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The first `limit` bytes of a file.
pub(super) fn bytes(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(limit as u64).read_to_end(&mut content)?;
    Ok(content)
}

/// The first line of a file without surrounding white space, if there is one.
pub(super) fn line(path: &Path) -> Option<String> {
    let content = bytes(path, 4096).ok()?;
    let first = content.split(|&byte| byte == b'\n').next()?.trim_ascii();
    (!first.is_empty()).then(|| String::from_utf8_lossy(first).into_owned())
}
