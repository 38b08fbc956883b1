//! The one fact that the programs need of the kernel's types: where `task_struct` keeps `pid`.
//!
//! A walker over `/sys/kernel/btf/vmlinux` (Documentation/bpf/btf.rst), pure over its bytes. The crates that read BTF
//! build a table of all 150,000 types; this looks for one struct by name.

/// Byte offset of member `member` of struct `name`, members of anonymous structs included. `None` if the bytes are no
/// BTF, or it has no such member, or that is a bit field.
pub(crate) fn member_offset(btf: &[u8], name: &str, member: &str) -> Option<u32> {
    let btf = Btf::new(btf)?;
    let (at, info) = btf.types().find(|&(at, info)| kind(info) == STRUCT && btf.name(at) == Some(name.as_bytes()))?;
    btf.member(at, info, member.as_bytes(), 0)
}

const STRUCT: u32 = 4;
const UNION: u32 = 5;
/// Deepest nesting of anonymous structs that is followed.
const DEPTH: u32 = 4;

fn kind(info: u32) -> u32 {
    info >> 24 & 0x1f
}

fn vlen(info: u32) -> usize {
    (info & 0xffff) as usize
}

/// Bytes after a type's head, by kind; `None` for a kind that this does not know.
fn extra(info: u32) -> Option<usize> {
    Some(match kind(info) {
        1 | 14 | 17 => 4,
        3 => 12,
        STRUCT | UNION | 15 | 19 => vlen(info) * 12,
        6 | 13 => vlen(info) * 8,
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Btf<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        if word(bytes, 0)? & 0xffff != 0xeb9f {
            return None;
        }
        let head = word(bytes, 4)? as usize;
        let part = |offset: usize, len: usize| {
            let from = head.checked_add(word(bytes, offset)? as usize)?;
            bytes.get(from..from.checked_add(word(bytes, len)? as usize)?)
        };
        Some(Self { types: part(8, 12)?, strings: part(16, 20)? })
    }

    /// Offset and `info` of each type, in the order of their ids from 1 on.
    fn types(&self) -> impl Iterator<Item = (usize, u32)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let here = at;
            let info = word(self.types, here + 4)?;
            at += 12 + extra(info)?;
            Some((here, info))
        })
    }

    fn name(&self, at: usize) -> Option<&'a [u8]> {
        let rest = self.strings.get(word(self.types, at)? as usize..)?;
        rest.split(|byte| *byte == 0).next()
    }

    fn member(&self, at: usize, info: u32, wanted: &[u8], depth: u32) -> Option<u32> {
        for index in 0..vlen(info) {
            let member = at + 12 + index * 12;
            let name = self.name(member)?;
            let bits = word(self.types, member + 8)?;
            // With `kind_flag`, the upper byte is a bit field's size.
            let (size, bits) = if info >> 31 == 1 { (bits >> 24, bits & 0x00ff_ffff) } else { (0, bits) };
            if name == wanted {
                return (size == 0 && bits % 8 == 0).then_some(bits / 8);
            }
            if name.is_empty() && depth < DEPTH {
                let id = word(self.types, member + 4)? as usize;
                let inner = self.types().nth(id.checked_sub(1)?)?;
                if matches!(kind(inner.1), STRUCT | UNION)
                    && let Some(offset) = self.member(inner.0, inner.1, wanted, depth + 1)
                {
                    return Some(bits / 8 + offset);
                }
            }
        }
        None
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `struct task { int state; struct { int pid; int tgid; }; }` behind an `int`.
    fn sample() -> Vec<u8> {
        let strings = b"\0int\0task\0state\0pid\0tgid\0";
        let name = |text: &str| strings.windows(text.len() + 1).position(|w| w == [text.as_bytes(), b"\0"].concat()).unwrap_or(0) as u32;
        let types: Vec<u32> = [
            vec![name("int"), 1 << 24, 4, 32],
            vec![0, 4 << 24 | 2, 8, name("pid"), 1, 0, name("tgid"), 1, 32],
            vec![name("task"), 4 << 24 | 2, 12, name("state"), 1, 0, 0, 2, 32],
        ]
        .concat();
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let head = [0xeb9f | 1 << 16, 24, 0, types.len() as u32, types.len() as u32, strings.len() as u32];
        head.iter().flat_map(|word: &u32| word.to_ne_bytes()).chain(types).chain(strings.iter().copied()).collect()
    }

    #[test]
    fn members_are_found_in_the_struct_and_in_its_anonymous_parts() {
        let btf = sample();
        assert_eq!(member_offset(&btf, "task", "state"), Some(0));
        assert_eq!(member_offset(&btf, "task", "tgid"), Some(8));
        assert_eq!(member_offset(&btf, "task", "comm"), None);
        assert_eq!(member_offset(&btf, "other", "state"), None);
    }

    proptest! {
        #[test]
        fn broken_btf_has_no_members(cut in 0usize..200, at in 0usize..200, byte in any::<u8>()) {
            let mut btf = sample();
            let n = btf.len();
            btf[at % n] = byte;
            btf.truncate(cut.min(n));
            let _ = member_offset(&btf, "task", "tgid");
        }
    }
}
