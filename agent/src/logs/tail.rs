//! One open file, plain or compressed, read from a position on.
//!
//! The file stays open while it is renamed or removed, so that what a program wrote last is read. Must notice when other
//! bytes took the place of those that were read, and never read more than it is asked to.

use super::frames::{Frame, Framer, Framing};
use super::position::{self, FileKey, FilePosition, Fingerprint, HEAD, LANES, Resume};
use flate2::read::MultiGzDecoder;
use remora_logs::timestamp::UnixNanos;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

/// Bytes of a compressed file.
type Decoder = MultiGzDecoder<File>;

enum Content {
    Plain(File),
    Gzip(Box<Decoder>),
}

/// What a look at a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It is as it was, or has grown.
    Same,
    /// It was cut, or holds other bytes now.
    Replaced,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes.
    Bytes(usize),
    /// The end, for now.
    End,
}

/// See the module.
pub(super) struct Tail {
    /// Number within the followed path: later files have larger ones.
    pub(super) number: u64,
    /// The file.
    pub(super) key: FileKey,
    /// Where lines are new.
    pub(super) resume: Resume,
    /// Since when there was nothing to read.
    pub(super) quiet_since: Option<Instant>,
    /// When everything was last read, in nanoseconds since the Unix epoch; 0 if it never was.
    pub(super) empty_at: UnixNanos,
    fingerprint: Fingerprint,
    modified: i64,
    content: Content,
    framer: Framer,
    /// Where reading begins.
    start: u64,
    /// Offset of the next byte to read.
    offset: u64,
    /// Size at the last look.
    size: u64,
}

impl Tail {
    /// Opens a file to be read from the first line that is not done.
    ///
    /// # Errors
    /// It cannot be opened or is no regular file.
    pub(super) fn open(path: &Path, framing: Framing, number: u64, resume: Resume) -> io::Result<Self> {
        let (file, metadata) = open_regular(path)?;
        let start = resume.done.into_iter().min().unwrap_or(0);
        let compressed = is_gzip(path);
        let content = if compressed { Content::Gzip(Box::new(MultiGzDecoder::new(file))) } else { Content::Plain(file) };
        let mut tail = Self {
            number,
            key: FileKey::of(&metadata),
            resume,
            quiet_since: None,
            empty_at: 0,
            fingerprint: Fingerprint::default(),
            modified: position::modified(&metadata),
            content,
            framer: Framer::new(framing, start),
            start,
            offset: if compressed { 0 } else { start },
            size: metadata.len(),
        };
        tail.fingerprint = match &tail.content {
            Content::Plain(file) => Fingerprint::of(&head_of(file)?),
            Content::Gzip(_) => Fingerprint::of(&head(path)?),
        };
        Ok(tail)
    }

    /// Lets lines begin at the next line's start: the file is entered somewhere in the middle.
    pub(super) fn skip_to_line(&mut self) -> io::Result<()> {
        let Content::Plain(file) = &self.content else { return Ok(()) };
        let mut bytes = vec![0; remora_logs::lines::MAX_LINE];
        let got = file.read_at(&mut bytes, self.offset)?;
        let skipped = memchr::memchr(b'\n', &bytes[..got]).map_or(got, |end| end + 1) as u64;
        self.offset += skipped;
        self.resume = Resume::at(self.offset);
        self.framer = Framer::new(Framing::Lines, self.offset);
        Ok(())
    }

    /// Looks whether the file is still the one that was read.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn look(&mut self) -> io::Result<Look> {
        let Content::Plain(file) = &self.content else { return Ok(Look::Same) };
        let metadata = file.metadata()?;
        let (size, modified) = (metadata.len(), position::modified(&metadata));
        if size < self.offset {
            return Ok(Look::Replaced);
        }
        if size != self.size || modified != self.modified {
            let head = head_of(file)?;
            if !self.fingerprint.fits(&head) {
                return Ok(Look::Replaced);
            }
            if self.fingerprint.can_grow() {
                self.fingerprint = Fingerprint::of(&head);
            }
        }
        (self.size, self.modified) = (size, modified);
        Ok(Look::Same)
    }

    /// Reads once into `buffer` and calls `frame` for each frame that is complete.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn read(&mut self, buffer: &mut [u8], frame: impl FnMut(Frame<'_>)) -> io::Result<Step> {
        let got = match &mut self.content {
            Content::Plain(file) => file.read_at(buffer, self.offset)?,
            Content::Gzip(decoder) => decoder.read(buffer)?,
        };
        if got == 0 {
            return Ok(Step::End);
        }
        self.offset += got as u64;
        // What a compressed file holds in front of the position was read when it was not compressed.
        let wanted = usize::try_from(self.offset.saturating_sub(self.start)).unwrap_or(usize::MAX).min(got);
        self.framer.push(&buffer[got - wanted..got], frame);
        Ok(Step::Bytes(got))
    }

    /// Ends the file; a last line without end is a line.
    pub(super) fn finish(&mut self, frame: impl FnMut(Frame<'_>)) {
        self.framer.finish(frame);
    }

    /// Bytes that were there at the last look and were not read.
    pub(super) fn unread(&self) -> u64 {
        match self.content {
            Content::Plain(_) => self.size.saturating_sub(self.offset),
            Content::Gzip(_) => 0,
        }
    }

    /// Offset of the first byte that no line has taken.
    pub(super) fn taken(&self) -> u64 {
        self.framer.start()
    }

    /// Its size at the last look.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// `st_mtime` at the last look.
    pub(super) fn modified(&self) -> i64 {
        self.modified
    }

    /// What the file starts with.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Its position, with lines done up to `done`.
    pub(super) fn position(&self, done: [u64; LANES], ended: bool) -> FilePosition {
        FilePosition { key: self.key, fingerprint: self.fingerprint, done, modified: self.modified, ended }
    }
}

/// Whether a name is that of a gzip file.
pub(super) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// The first bytes of a file, decompressed.
///
/// # Errors
/// It cannot be read.
pub(super) fn head(path: &Path) -> io::Result<Vec<u8>> {
    let (file, _) = open_regular(path)?;
    if !is_gzip(path) {
        return head_of(&file);
    }
    let mut head = vec![0; HEAD];
    let mut decoder = MultiGzDecoder::new(file);
    let length = fill(&mut head, |rest, _| decoder.read(rest))?;
    head.truncate(length);
    Ok(head)
}

fn head_of(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let length = fill(&mut head, |rest, at| file.read_at(rest, at as u64))?;
    head.truncate(length);
    Ok(head)
}

fn fill(buffer: &mut [u8], mut read: impl FnMut(&mut [u8], usize) -> io::Result<usize>) -> io::Result<usize> {
    let mut at = 0;
    while at < buffer.len() {
        match read(&mut buffer[at..], at) {
            Ok(0) => break,
            Ok(got) => at += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(at)
}

/// Opens without waiting (a FIFO would), and only what can be read again.
fn open_regular(path: &Path) -> io::Result<(File, std::fs::Metadata)> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")) }
}
