//! Packets of the binary protocol (memcached `doc/protocol-binary.txt`).

/// Bytes of a packet's header.
pub(super) const HEADER: usize = 24;
/// Largest body: a value of 1 GiB with key and extras.
const MAX_BODY: u32 = (1 << 30) + 1024;
const MAX_KEY: u16 = 250;

/// `magic` of a request and of a response.
pub(super) const REQUEST: u8 = 0x80;
const RESPONSE: u8 = 0x81;

pub(super) const STAT: u8 = 0x10;

/// When a command is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quiet {
    /// It always is.
    Never,
    /// A miss is not.
    Miss,
    /// Success is not.
    Success,
}

/// What is known of a command.
#[derive(Debug)]
pub(super) struct Opcode {
    pub(super) code: u8,
    /// Name in the text protocol, where there is one.
    pub(super) name: &'static str,
    pub(super) quiet: Quiet,
    /// Lengths of the extras a request may have.
    extras: &'static [u8],
}

const fn op(code: u8, name: &'static str, quiet: Quiet, extras: &'static [u8]) -> Opcode {
    Opcode { code, name, quiet, extras }
}

static OPCODES: &[Opcode] = &[
    op(0x00, "get", Quiet::Never, &[0]),
    op(0x01, "set", Quiet::Never, &[8]),
    op(0x02, "add", Quiet::Never, &[8]),
    op(0x03, "replace", Quiet::Never, &[8]),
    op(0x04, "delete", Quiet::Never, &[0, 4]),
    op(0x05, "incr", Quiet::Never, &[20]),
    op(0x06, "decr", Quiet::Never, &[20]),
    op(0x07, "quit", Quiet::Never, &[0]),
    op(0x08, "flush_all", Quiet::Never, &[0, 4]),
    op(0x09, "get", Quiet::Miss, &[0]),
    op(0x0a, "noop", Quiet::Never, &[0]),
    op(0x0b, "version", Quiet::Never, &[0]),
    op(0x0c, "get", Quiet::Never, &[0]),
    op(0x0d, "get", Quiet::Miss, &[0]),
    op(0x0e, "append", Quiet::Never, &[0]),
    op(0x0f, "prepend", Quiet::Never, &[0]),
    op(STAT, "stats", Quiet::Never, &[0]),
    op(0x11, "set", Quiet::Success, &[8]),
    op(0x12, "add", Quiet::Success, &[8]),
    op(0x13, "replace", Quiet::Success, &[8]),
    op(0x14, "delete", Quiet::Success, &[0, 4]),
    op(0x15, "incr", Quiet::Success, &[20]),
    op(0x16, "decr", Quiet::Success, &[20]),
    op(0x17, "quit", Quiet::Success, &[0]),
    op(0x18, "flush_all", Quiet::Success, &[0, 4]),
    op(0x19, "append", Quiet::Success, &[0]),
    op(0x1a, "prepend", Quiet::Success, &[0]),
    op(0x1b, "verbosity", Quiet::Never, &[4]),
    op(0x1c, "touch", Quiet::Never, &[4]),
    op(0x1d, "gat", Quiet::Never, &[4]),
    op(0x1e, "gat", Quiet::Miss, &[4]),
    op(0x20, "sasl_list_mechs", Quiet::Never, &[0]),
    op(0x21, "sasl_auth", Quiet::Never, &[0]),
    op(0x22, "sasl_step", Quiet::Never, &[0]),
    op(0x23, "gat", Quiet::Never, &[4]),
    op(0x24, "gat", Quiet::Miss, &[4]),
];

/// A packet's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) op: &'static Opcode,
    pub(super) key_len: usize,
    pub(super) extras_len: usize,
    /// Bytes of extras, key and value.
    pub(super) body: u64,
    /// Status of a response.
    pub(super) status: u16,
    pub(super) opaque: u32,
}

fn header(bytes: &[u8], magic: u8) -> Option<Header> {
    let head: &[u8; HEADER] = bytes.first_chunk()?;
    let op = OPCODES.iter().find(|op| op.code == head[1])?;
    let key_len = u16::from_be_bytes([head[2], head[3]]);
    let extras_len = head[4];
    let body = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    let is_whole = body <= MAX_BODY && u64::from(body) >= u64::from(key_len) + u64::from(extras_len) && key_len <= MAX_KEY;
    (head[0] == magic && head[5] == 0 && is_whole).then_some(Header {
        op,
        key_len: usize::from(key_len),
        extras_len: usize::from(extras_len),
        body: u64::from(body),
        status: u16::from_be_bytes([head[6], head[7]]),
        opaque: u32::from_be_bytes([head[12], head[13], head[14], head[15]]),
    })
}

/// The request header at the start of `bytes`, which must hold [`HEADER`] bytes.
pub(super) fn request(bytes: &[u8]) -> Option<Header> {
    header(bytes, REQUEST).filter(|header| header.op.extras.contains(&u8::try_from(header.extras_len).unwrap_or(u8::MAX)))
}

/// The response header at the start of `bytes`.
pub(super) fn response(bytes: &[u8]) -> Option<Header> {
    header(bytes, RESPONSE).filter(|header| header.extras_len <= 8)
}

/// What a status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Success.
    Ok,
    /// An outcome that is no failure, as the text protocol spells it.
    Outcome(&'static str),
    /// A failure.
    Failure(&'static str),
}

pub(super) fn status(code: u16) -> Status {
    match code {
        0x00 => Status::Ok,
        0x01 => Status::Outcome("NOT_FOUND"),
        0x02 => Status::Outcome("EXISTS"),
        0x05 => Status::Outcome("NOT_STORED"),
        0x21 => Status::Outcome("AUTH_CONTINUE"),
        0x03 => Status::Failure("TOO_LARGE"),
        0x04 => Status::Failure("INVALID_ARGUMENTS"),
        0x06 => Status::Failure("NON_NUMERIC"),
        0x07 => Status::Failure("WRONG_VBUCKET"),
        0x08 | 0x20 => Status::Failure("AUTH_ERROR"),
        0x81 => Status::Failure("UNKNOWN_COMMAND"),
        0x82 => Status::Failure("OUT_OF_MEMORY"),
        0x83 => Status::Failure("NOT_SUPPORTED"),
        0x84 => Status::Failure("INTERNAL_ERROR"),
        0x85 => Status::Failure("BUSY"),
        0x86 => Status::Failure("TEMPORARY_FAILURE"),
        _ => Status::Failure("_OTHER"),
    }
}
