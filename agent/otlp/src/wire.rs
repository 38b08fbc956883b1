//! Protobuf wire format: appends tagged fields to a byte buffer that its owner reuses.
//!
//! Output is canonical (shortest varints, defaults left out by the `nonzero_*` and `nonempty_*`
//! forms), so it equals what a generated encoder writes. It must never allocate except when the
//! buffer itself has to grow. Source: protobuf.dev/programming-guides/encoding.

/// A protobuf field number.
pub(crate) type Field = u32;

/// Wire types of the encoding guide that OTLP uses.
#[derive(Clone, Copy)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

/// Bytes that `value` takes as a varint (1 to 10).
#[inline]
pub(crate) const fn varint_len(value: u64) -> usize {
    // 7 payload bits a byte; `| 1` makes zero take one byte.
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Bytes of a length-delimited field with a body of `len` bytes and a field number below 16.
#[inline]
pub(crate) const fn delimited_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Appends `value` as a varint.
#[inline]
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn tag(out: &mut Vec<u8>, field: Field, wire_type: WireType) {
    varint(out, u64::from(key(field, wire_type)));
}

const fn key(field: Field, wire_type: WireType) -> u32 {
    field << 3 | wire_type as u32
}

/// Appends the tag of `field` and one more number: in one piece where each takes one byte, as nearly always.
#[inline]
fn tag_and_varint(out: &mut Vec<u8>, field: Field, wire_type: WireType, value: u64) {
    let key = key(field, wire_type);
    if key < 0x80 && value < 0x80 {
        return out.extend_from_slice(&[key as u8, value as u8]);
    }
    varint(out, u64::from(key));
    varint(out, value);
}

/// Appends a varint field, also when it is zero.
#[inline]
pub(crate) fn varint_field(out: &mut Vec<u8>, field: Field, value: u64) {
    tag_and_varint(out, field, WireType::Varint, value);
}

/// Appends a varint field unless it has the default value.
#[inline]
pub(crate) fn nonzero_varint(out: &mut Vec<u8>, field: Field, value: u64) {
    if value != 0 {
        varint_field(out, field, value);
    }
}

/// Appends a `sint32` field (zigzag) unless it is zero.
#[inline]
pub(crate) fn nonzero_sint32(out: &mut Vec<u8>, field: Field, value: i32) {
    let zigzag = (value << 1) ^ (value >> 31);
    nonzero_varint(out, field, u64::from(zigzag as u32));
}

/// Appends a `fixed64`, `sfixed64` or (as bits) `double` field, also when it is zero.
#[inline]
pub(crate) fn fixed64_field(out: &mut Vec<u8>, field: Field, bits: u64) {
    tag(out, field, WireType::Fixed64);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends a `fixed64` field unless it is zero.
#[inline]
pub(crate) fn nonzero_fixed64(out: &mut Vec<u8>, field: Field, bits: u64) {
    if bits != 0 {
        fixed64_field(out, field, bits);
    }
}

/// Appends an `optional double` field when it is present.
#[inline]
pub(crate) fn optional_double(out: &mut Vec<u8>, field: Field, value: Option<f64>) {
    if let Some(value) = value {
        fixed64_field(out, field, value.to_bits());
    }
}

/// Appends a `fixed32` field unless it is zero.
#[inline]
pub(crate) fn nonzero_fixed32(out: &mut Vec<u8>, field: Field, value: u32) {
    if value != 0 {
        tag(out, field, WireType::Fixed32);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends the tag and the length of a length-delimited field; the body must follow.
#[inline]
pub(crate) fn delimited_head(out: &mut Vec<u8>, field: Field, len: usize) {
    tag_and_varint(out, field, WireType::Length, len as u64);
}

/// Appends a `string`, `bytes` or already encoded message field, also when it is empty.
#[inline]
pub(crate) fn bytes_field(out: &mut Vec<u8>, field: Field, body: &[u8]) {
    delimited_head(out, field, body.len());
    out.extend_from_slice(body);
}

/// Appends a `string` or `bytes` field unless it is empty.
#[inline]
pub(crate) fn nonempty_bytes(out: &mut Vec<u8>, field: Field, body: &[u8]) {
    if !body.is_empty() {
        bytes_field(out, field, body);
    }
}

/// Appends a packed `repeated fixed64` or `double` field (as bits) unless it has no element.
pub(crate) fn packed_fixed64(out: &mut Vec<u8>, field: Field, bits: impl ExactSizeIterator<Item = u64>) {
    if bits.len() == 0 {
        return;
    }
    delimited_head(out, field, bits.len() * 8);
    for value in bits {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends a packed `repeated uint64` field unless it has no element.
pub(crate) fn packed_varint(out: &mut Vec<u8>, field: Field, values: &[u64]) {
    if values.is_empty() {
        return;
    }
    delimited_head(out, field, values.iter().map(|&v| varint_len(v)).sum());
    for &value in values {
        varint(out, value);
    }
}

/// A message whose length is not known yet: where its length stands and how many bytes wait there.
#[derive(Clone, Copy)]
#[must_use = "an opened message has to be closed"]
pub(crate) struct Opened {
    length_at: usize,
    reserved: usize,
}

/// Opens an embedded message, leaving room for the length of a body of about `typical` bytes.
#[inline]
pub(crate) fn open(out: &mut Vec<u8>, field: Field, typical: usize) -> Opened {
    tag(out, field, WireType::Length);
    let opened = Opened { length_at: out.len(), reserved: varint_len(typical as u64) };
    out.resize(out.len() + opened.reserved, 0);
    opened
}

/// Closes the innermost open message: writes its length, moving the body when the guess was wrong.
#[inline]
pub(crate) fn close(out: &mut Vec<u8>, opened: Opened) {
    let body_at = opened.length_at + opened.reserved;
    let len = out.len() - body_at;
    let needed = varint_len(len as u64);
    if needed != opened.reserved {
        move_body(out, body_at, opened.length_at + needed);
    }
    write_length(&mut out[opened.length_at..], len as u64);
}

/// Moves everything from `from` on to `to`.
#[cold]
fn move_body(out: &mut Vec<u8>, from: usize, to: usize) {
    let end = out.len();
    if to > from {
        out.resize(end + (to - from), 0);
        out.copy_within(from..end, to);
    } else {
        out.copy_within(from..end, to);
        out.truncate(end - (from - to));
    }
}

fn write_length(at: &mut [u8], mut len: u64) {
    let mut index = 0;
    while len >= 0x80 {
        at[index] = len as u8 | 0x80;
        len >>= 7;
        index += 1;
    }
    at[index] = len as u8;
}

/// Appends an embedded message whose body `body` writes; `typical` as in [`open`].
#[inline]
pub(crate) fn message(out: &mut Vec<u8>, field: Field, typical: usize, body: impl FnOnce(&mut Vec<u8>)) {
    let opened = open(out, field, typical);
    body(out);
    close(out, opened);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn varints_of_the_encoding_guide() {
        for (value, bytes) in [
            (0u64, &[0x00][..]),
            (1, &[0x01]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (150, &[0x96, 0x01]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(varint_len(value), bytes.len(), "{value}");
        }
    }

    #[test]
    fn the_embedded_message_of_the_encoding_guide() {
        // Test3 { c: Test1 { a: 150 } }
        let mut out = Vec::new();
        message(&mut out, 3, 1, |out| varint_field(out, 1, 150));
        assert_eq!(out, [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }

    proptest! {
        #[test]
        fn a_wrong_guess_of_a_length_changes_nothing(body in prop::collection::vec(any::<u8>(), 0..20_000), typical in 0usize..3_000_000) {
            let mut guessed = vec![0xee];
            message(&mut guessed, 7, typical, |out| out.extend_from_slice(&body));
            let mut exact = vec![0xee];
            bytes_field(&mut exact, 7, &body);
            prop_assert_eq!(guessed, exact);
        }

        #[test]
        fn varint_lengths_match(value in any::<u64>()) {
            let mut out = Vec::new();
            varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
        }
    }
}
