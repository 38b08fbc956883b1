//! Commands as clients send them: arrays of bulk strings, or inline lines; and what is known of each.

use crate::proto::keys::{write_pattern, write_raw};

/// Arguments of a command that are looked at; the rest is only counted.
pub(super) const HEAD_ARGS: usize = 16;
/// A longer argument is not waited for: it is skipped.
const LARGE: i64 = 1024;
/// Most arguments a server takes (`proto-max-multibulk`).
const MAX_ARGS: i64 = 1024 * 1024;
/// Longest argument a server takes (`proto-max-bulk-len`).
const MAX_BULK: i64 = 512 * 1024 * 1024;
/// Longest inline command a server takes.
const MAX_INLINE: usize = 64 * 1024;
const CRLF: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed<T> {
    Is(T),
    More,
    Bad,
}

/// The first arguments of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command<'a> {
    args: [&'a [u8]; HEAD_ARGS],
    shown: usize,
    /// Arguments in all, the command's name included; 0 for an empty command, which servers ignore.
    pub(super) total: u64,
    /// Bytes of the arguments shown and of what precedes them.
    pub(super) len: usize,
    pub(super) is_inline: bool,
}

impl<'a> Command<'a> {
    /// Arguments that are shown: all, but for long ones and what follows them.
    pub(super) fn args(&self) -> &[&'a [u8]] {
        &self.args[..self.shown]
    }

    pub(super) fn arg(&self, index: usize) -> Option<&'a [u8]> {
        self.args().get(index).copied()
    }

    /// Arguments that follow those shown.
    pub(super) fn left(&self) -> u64 {
        self.total - self.shown as u64
    }

    fn empty(len: usize, is_inline: bool) -> Self {
        Self { args: [&[]; HEAD_ARGS], shown: 0, total: 0, len, is_inline }
    }
}

/// A line of a type byte, an integer and CRLF at `at`: the integer, and where the next line begins.
pub(super) fn integer_line(bytes: &[u8], at: usize) -> Parsed<(i64, usize)> {
    const MAX_DIGITS: usize = 20;
    let digits = bytes.get(at + 1..).unwrap_or_default();
    let (is_negative, digits, start) = match digits.first() {
        Some(b'-') => (true, &digits[1..], at + 2),
        _ => (false, digits, at + 1),
    };
    let mut value: i64 = 0;
    for (i, byte) in digits.iter().take(MAX_DIGITS).enumerate() {
        match byte {
            b'0'..=b'9' => {
                let Some(next) = value.checked_mul(10).and_then(|v| v.checked_add(i64::from(byte - b'0'))) else { return Parsed::Bad };
                value = next;
            }
            b'\r' if i > 0 => {
                return match digits.get(i + 1) {
                    Some(b'\n') => Parsed::Is((if is_negative { -value } else { value }, start + i + CRLF)),
                    Some(_) => Parsed::Bad,
                    None => Parsed::More,
                };
            }
            _ => return Parsed::Bad,
        }
    }
    if digits.len() < MAX_DIGITS { Parsed::More } else { Parsed::Bad }
}

/// A bulk string's header at `at`: the length of the string, and where it begins.
pub(super) fn bulk_header(bytes: &[u8], at: usize) -> Parsed<(u64, usize)> {
    match bytes.get(at) {
        None => Parsed::More,
        Some(b'$') => match integer_line(bytes, at) {
            Parsed::Is((len @ 0..=MAX_BULK, data)) => Parsed::Is((len.unsigned_abs(), data)),
            Parsed::Is(_) | Parsed::Bad => Parsed::Bad,
            Parsed::More => Parsed::More,
        },
        Some(_) => Parsed::Bad,
    }
}

/// The command at the start of `bytes`, as far as its head goes.
pub(super) fn command(bytes: &[u8]) -> Parsed<Command<'_>> {
    match bytes.first() {
        None => Parsed::More,
        Some(b'*') => array(bytes),
        Some(_) => inline(bytes),
    }
}

fn array(bytes: &[u8]) -> Parsed<Command<'_>> {
    let (total, mut at) = match integer_line(bytes, 0) {
        Parsed::Is((n, at)) if n <= 0 => return Parsed::Is(Command::empty(at, false)),
        Parsed::Is((n, at)) if n <= MAX_ARGS => (n.unsigned_abs(), at),
        Parsed::Is(_) | Parsed::Bad => return Parsed::Bad,
        Parsed::More => return Parsed::More,
    };
    let mut command = Command { total, ..Command::empty(at, false) };
    while command.shown < HEAD_ARGS && (command.shown as u64) < total {
        let (len, data) = match bulk_header(bytes, at) {
            Parsed::Is(header) => header,
            Parsed::More => return Parsed::More,
            Parsed::Bad => return Parsed::Bad,
        };
        if len > LARGE.unsigned_abs() {
            // No command has such a name.
            return if command.shown == 0 { Parsed::Bad } else { Parsed::Is(command) };
        }
        let end = data + usize::try_from(len).unwrap_or(usize::MAX);
        match bytes.get(end..end + CRLF) {
            Some(b"\r\n") => {}
            Some(_) => return Parsed::Bad,
            None => return Parsed::More,
        }
        command.args[command.shown] = &bytes[data..end];
        command.shown += 1;
        at = end + CRLF;
        command.len = at;
    }
    Parsed::Is(command)
}

fn inline(bytes: &[u8]) -> Parsed<Command<'_>> {
    let Some(end) = memchr::memchr(b'\n', &bytes[..bytes.len().min(MAX_INLINE)]) else {
        let is_text = bytes.iter().take(64).all(|byte| matches!(byte, b'\t' | b'\r' | b' '..=b'~' | 0x80..));
        return if bytes.len() < MAX_INLINE && is_text { Parsed::More } else { Parsed::Bad };
    };
    let mut command = Command::empty(end + 1, true);
    let words = bytes[..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    for word in words {
        if command.shown < HEAD_ARGS {
            command.args[command.shown] = word;
            command.shown += 1;
        }
        command.total += 1;
    }
    match command.arg(0) {
        Some(name) if !is_command_name(name) => Parsed::Bad,
        _ => Parsed::Is(command),
    }
}

/// Whether `name` could be a command: letters first, as all commands of servers and modules are.
pub(super) fn is_command_name(name: &[u8]) -> bool {
    (2..=40).contains(&name.len())
        && name[0].is_ascii_alphabetic()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Which arguments are keys (or channels, which are treated alike).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    /// None that is known.
    None,
    /// The first argument.
    First,
    /// The first two.
    Two,
    /// All arguments.
    All,
    /// Every other one, from the first on.
    Pairs,
    /// The second: the first is a subcommand.
    Second,
}

/// What the parser has to know of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// One request, one answer.
    Plain,
    /// Its answer may wait for other clients.
    Blocking,
    /// Its answer is that of all queued commands.
    Exec,
    /// One confirmation for each channel.
    Subscribe,
    /// Confirmations for as many channels as there are, at least one.
    Unsubscribe,
    /// It sets the database.
    Select,
    /// The connection is no conversation of requests and answers behind it.
    Stream,
    /// Settings of the connection: `CLIENT REPLY` among them.
    Client,
    /// The connection is as it was at its start.
    Reset,
}

struct Known {
    name: &'static str,
    keys: Keys,
    nature: Nature,
    /// Whether its first argument is a subcommand and belongs to its name.
    has_subcommand: bool,
}

const fn known(name: &'static str, keys: Keys, nature: Nature) -> Known {
    let (mut has_subcommand, mut at) = (false, 0);
    while at < CONTAINERS.len() {
        has_subcommand |= is_same(name.as_bytes(), CONTAINERS[at].as_bytes());
        at += 1;
    }
    Known { name, keys, nature, has_subcommand }
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

macro_rules! table {
    ($($keys:ident $nature:ident: $($name:literal)*;)*) => { &[$($(known($name, Keys::$keys, Nature::$nature)),*),*] };
}

/// Commands of Redis 8, Valkey 9 and KeyDB 6 (their `COMMAND` tables), by where their keys stand.
const COMMANDS: &[Known] = table! {
    First Plain: "GET" "SET" "SETEX" "PSETEX" "SETNX" "GETSET" "GETDEL" "GETEX" "INCR" "DECR" "INCRBY" "DECRBY" "INCRBYFLOAT"
        "APPEND" "STRLEN" "GETRANGE" "SETRANGE" "SUBSTR" "GETBIT" "SETBIT" "BITCOUNT" "BITPOS" "BITFIELD" "BITFIELD_RO"
        "EXPIRE" "PEXPIRE" "EXPIREAT" "PEXPIREAT" "EXPIRETIME" "PEXPIRETIME" "TTL" "PTTL" "PERSIST" "TYPE" "DUMP" "RESTORE"
        "MOVE" "SORT" "SORT_RO" "HGET" "HSET" "HSETNX" "HMGET" "HMSET" "HDEL" "HLEN" "HSTRLEN" "HKEYS" "HVALS" "HGETALL"
        "HEXISTS" "HINCRBY" "HINCRBYFLOAT" "HSCAN" "HRANDFIELD" "HEXPIRE" "HPEXPIRE" "HEXPIREAT" "HPEXPIREAT" "HTTL" "HPTTL"
        "HPERSIST" "HEXPIRETIME" "HPEXPIRETIME" "HGETDEL" "HGETEX" "HSETEX" "LPUSH" "RPUSH" "LPUSHX" "RPUSHX" "LPOP" "RPOP"
        "LLEN" "LINDEX" "LSET" "LRANGE" "LTRIM" "LREM" "LINSERT" "LPOS" "SADD" "SREM" "SCARD" "SISMEMBER" "SMISMEMBER"
        "SMEMBERS" "SPOP" "SRANDMEMBER" "SSCAN" "ZADD" "ZREM" "ZCARD" "ZCOUNT" "ZSCORE" "ZMSCORE" "ZINCRBY" "ZRANGE"
        "ZRANGEBYSCORE" "ZRANGEBYLEX" "ZREVRANGE" "ZREVRANGEBYSCORE" "ZREVRANGEBYLEX" "ZRANK" "ZREVRANK" "ZLEXCOUNT"
        "ZREMRANGEBYRANK" "ZREMRANGEBYSCORE" "ZREMRANGEBYLEX" "ZPOPMIN" "ZPOPMAX" "ZSCAN" "ZRANDMEMBER" "GEOADD" "GEOHASH"
        "GEOPOS" "GEODIST" "GEORADIUS" "GEORADIUS_RO" "GEORADIUSBYMEMBER" "GEORADIUSBYMEMBER_RO" "GEOSEARCH" "PFADD" "XADD"
        "XLEN" "XRANGE" "XREVRANGE" "XDEL" "XTRIM" "XACK" "XACKDEL" "XDELEX" "XCLAIM" "XAUTOCLAIM" "XPENDING" "XSETID"
        "PUBLISH" "SPUBLISH" "CAS" "CAD" "DIGEST" "DELEX" "DELIFEQ" "EXPIREMEMBER" "EXPIREMEMBERAT" "PEXPIREMEMBERAT";
    Two Plain: "RENAME" "RENAMENX" "COPY" "LMOVE" "RPOPLPUSH" "SMOVE" "GEOSEARCHSTORE" "ZRANGESTORE" "LCS";
    All Plain: "DEL" "UNLINK" "EXISTS" "TOUCH" "MGET" "WATCH" "SINTER" "SUNION" "SDIFF" "SINTERSTORE" "SUNIONSTORE" "SDIFFSTORE"
        "PFCOUNT" "PFMERGE";
    Pairs Plain: "MSET" "MSETNX";
    Second Plain: "OBJECT" "XGROUP" "XINFO";
    None Plain: "PING" "ECHO" "AUTH" "HELLO" "QUIT" "INFO" "DBSIZE" "FLUSHDB" "FLUSHALL" "SWAPDB" "KEYS" "SCAN" "RANDOMKEY" "TIME"
        "MULTI" "DISCARD" "UNWATCH" "EVAL" "EVALSHA" "EVAL_RO" "EVALSHA_RO" "FCALL" "FCALL_RO" "SCRIPT" "FUNCTION" "CONFIG"
        "COMMAND" "CLUSTER" "ACL" "MEMORY" "LATENCY" "SLOWLOG" "MODULE" "DEBUG" "LOLWUT" "PUBSUB" "ROLE" "LASTSAVE" "SAVE"
        "BGSAVE" "BGREWRITEAOF" "SHUTDOWN" "REPLICAOF" "SLAVEOF" "FAILOVER" "READONLY" "READWRITE" "ASKING" "BITOP" "ZUNION"
        "ZINTER" "ZDIFF" "ZINTERCARD" "SINTERCARD" "ZUNIONSTORE" "ZINTERSTORE" "ZDIFFSTORE" "LMPOP" "ZMPOP" "MIGRATE" "REPLCONF"
        "RESTORE-ASKING" "PFDEBUG" "PFSELFTEST" "SENTINEL" "MSETEX" "COMMANDLOG" "HOTKEYS";
    First Blocking: "BLPOP" "BRPOP" "BZPOPMIN" "BZPOPMAX";
    Two Blocking: "BLMOVE" "BRPOPLPUSH";
    None Blocking: "XREAD" "XREADGROUP" "BLMPOP" "BZMPOP" "WAIT" "WAITAOF";
    None Exec: "EXEC";
    All Subscribe: "SUBSCRIBE" "PSUBSCRIBE" "SSUBSCRIBE";
    All Unsubscribe: "UNSUBSCRIBE" "PUNSUBSCRIBE" "SUNSUBSCRIBE";
    None Select: "SELECT";
    None Stream: "MONITOR" "SYNC" "PSYNC";
    None Client: "CLIENT";
    None Reset: "RESET";
};

/// Commands whose first argument is a subcommand and belongs to their name.
const CONTAINERS: [&str; 19] = [
    "ACL",
    "CLIENT",
    "CLUSTER",
    "COMMAND",
    "CONFIG",
    "DEBUG",
    "FUNCTION",
    "LATENCY",
    "MEMORY",
    "MODULE",
    "OBJECT",
    "PUBSUB",
    "SCRIPT",
    "SENTINEL",
    "SLOWLOG",
    "XGROUP",
    "XINFO",
    "COMMANDLOG",
    "HOTKEYS",
];

/// Slots of [`INDEX`], several times the number of commands.
const SLOTS: usize = 1024;
/// Places in [`COMMANDS`] by hash of the name, or in the next free slot; one more than the place, 0 is free.
static INDEX: [u16; SLOTS] = {
    let mut index = [0; SLOTS];
    let mut place = 0;
    while place < COMMANDS.len() {
        let mut slot = slot(COMMANDS[place].name.as_bytes());
        while index[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        place += 1;
        index[slot] = place as u16;
    }
    index
};

/// Hash of a name, the same in upper and lower case.
const fn slot(name: &[u8]) -> usize {
    let (mut hash, mut at) = (name.len(), 0);
    while at < name.len() {
        hash = hash.wrapping_mul(31).wrapping_add((name[at] & 0xdf) as usize);
        at += 1;
    }
    (hash ^ hash >> 10) % SLOTS
}

fn lookup(name: &[u8]) -> Option<&'static Known> {
    let mut slot = slot(name);
    while let Some(place) = usize::from(INDEX[slot]).checked_sub(1) {
        if COMMANDS[place].name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(&COMMANDS[place]);
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}

/// Whether `name` is a command of a server itself, not of a module.
pub(super) fn is_known(name: &[u8]) -> bool {
    lookup(name).is_some()
}

/// A command with what is known of it.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    known: Option<&'static Known>,
}

impl Facts {
    pub(super) fn of(command: &Command<'_>) -> Self {
        Self { known: command.arg(0).and_then(lookup) }
    }

    pub(super) fn nature(self) -> Nature {
        self.known.map_or(Nature::Plain, |known| known.nature)
    }

    /// Name of a known command without a subcommand.
    pub(super) fn simple_name(self) -> Option<&'static str> {
        self.known.filter(|known| !known.has_subcommand).map(|known| known.name)
    }

    /// Appends the operation's name: upper case, with the subcommand where there is one.
    pub(super) fn write_name(self, command: &Command<'_>, out: &mut String) {
        let upper = |out: &mut String, word: &[u8]| out.extend(word.iter().map(|byte| char::from(byte.to_ascii_uppercase())));
        match self.known {
            Some(known) => out.push_str(known.name),
            None => upper(out, command.arg(0).unwrap_or_default()),
        }
        if let Some(subcommand) = self.subcommand(command) {
            out.push(' ');
            upper(out, subcommand);
        }
    }

    fn subcommand<'a>(self, command: &Command<'a>) -> Option<&'a [u8]> {
        self.known.filter(|known| known.has_subcommand)?;
        command.arg(1).filter(|word| word.len() <= 20 && word.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_')))
    }

    /// Appends the command as text: keys by pattern and `?` for all else, or everything as it is if `raw`.
    pub(super) fn write_text(self, command: &Command<'_>, raw: bool, out: &mut String) {
        self.write_name(command, out);
        let names = 1 + usize::from(self.subcommand(command).is_some());
        for (i, arg) in command.args().iter().enumerate().skip(names) {
            out.push(' ');
            match (raw && !self.is_secret(), self.is_key(i)) {
                (true, _) => write_raw(out, arg),
                (false, true) => write_pattern(out, arg),
                (false, false) => out.push('?'),
            }
        }
        if command.left() > 0 {
            out.push_str(" ...");
        }
    }

    fn is_key(self, index: usize) -> bool {
        match self.known.map_or(Keys::None, |known| known.keys) {
            Keys::None => false,
            Keys::First => index == 1,
            Keys::Two => index == 1 || index == 2,
            Keys::All => true,
            Keys::Pairs => index % 2 == 1,
            Keys::Second => index == 2,
        }
    }

    /// Whether its arguments hold passwords: they are never shown.
    fn is_secret(self) -> bool {
        self.known.is_some_and(|known| matches!(known.name, "AUTH" | "HELLO" | "ACL" | "CONFIG" | "MIGRATE" | "SENTINEL"))
    }
}

/// Name or digest of the script that a command calls.
pub(super) fn procedure<'a>(command: &Command<'a>) -> Option<&'a [u8]> {
    let calls = ["EVALSHA", "EVALSHA_RO", "FCALL", "FCALL_RO"];
    let name = command.arg(0)?;
    calls.iter().any(|call| call.as_bytes().eq_ignore_ascii_case(name)).then(|| command.arg(1))?
}
