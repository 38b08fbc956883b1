//! The Huffman code of HPACK (RFC 7541 §5.2 and Appendix B).
//!
//! The code is canonical: the lengths below give all of it. Nothing is decoded that the code does not say.

/// Code length of each byte, and of EOS (256), in bits.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const LONGEST: usize = 30;

struct Code {
    /// First code of each length.
    first: [u32; LONGEST + 1],
    /// Number of codes of each length.
    count: [u32; LONGEST + 1],
    /// Place of each length's first symbol in `symbols`.
    place: [usize; LONGEST + 1],
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    /// Symbol and length by the next eight bits; length 0 where the code is longer.
    short: [(u8, u8); 256],
}

static CODE: Code = build();

#[expect(clippy::cast_possible_truncation, reason = "symbols are below 257 and short ones are bytes; checked at compile time")]
const fn build() -> Code {
    let mut code =
        Code { first: [0; LONGEST + 1], count: [0; LONGEST + 1], place: [0; LONGEST + 1], symbols: [0; 257], short: [(0, 0); 256] };
    let mut next = 0u32;
    let mut placed = 0;
    let mut length = 1;
    while length <= LONGEST {
        next <<= 1;
        code.first[length] = next;
        code.place[length] = placed;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                code.symbols[placed] = symbol as u16;
                placed += 1;
                code.count[length] += 1;
                if length <= 8 {
                    let mut low = 0;
                    while low < 1 << (8 - length) {
                        code.short[((next << (8 - length)) + low) as usize] = (symbol as u8, length as u8);
                        low += 1;
                    }
                }
                next += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    code
}

/// Appends the text of `input` to `out`. `None` if it is no Huffman text: EOS in it, or padding that is none.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut bytes = input.iter();
    let mut bits = 0u64;
    let mut held = 0u32;
    loop {
        while held <= 56
            && let Some(byte) = bytes.next()
        {
            bits |= u64::from(*byte) << (56 - held);
            held += 8;
        }
        let (symbol, length) = next(bits)?;
        if length > held {
            // What is left is padding: less than a byte, the first bits of EOS.
            let padding = if held == 0 { 0 } else { !bits >> (64 - held) };
            return (held < 8 && padding == 0).then_some(());
        }
        out.push(u8::try_from(symbol).ok()?);
        bits <<= length;
        held -= length;
    }
}

/// Symbol of the code at the top of `bits`, and its length.
fn next(bits: u64) -> Option<(u16, u32)> {
    let (symbol, length) = CODE.short[(bits >> 56) as usize & 0xff];
    if length > 0 {
        return Some((u16::from(symbol), u32::from(length)));
    }
    (9..=LONGEST).find_map(|length| {
        let ahead = ((bits >> (64 - length)) as u32).wrapping_sub(CODE.first[length]);
        (ahead < CODE.count[length]).then(|| (CODE.symbols[CODE.place[length] + ahead as usize], length as u32))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        decode(bytes, &mut out)?;
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn examples_of_the_rfc_are_read() {
        // RFC 7541 Appendix C.4 and C.6.
        assert_eq!(text(&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]).as_deref(), Some("www.example.com"));
        assert_eq!(text(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).as_deref(), Some("no-cache"));
        assert_eq!(text(&[0x64, 0x02]).as_deref(), Some("302"));
        assert_eq!(text(&[]).as_deref(), Some(""));
    }

    #[test]
    fn every_symbol_is_found_by_its_code() {
        for (symbol, length) in LENGTHS.iter().enumerate() {
            let length = *length as usize;
            let place = CODE.symbols.iter().position(|other| usize::from(*other) == symbol).unwrap();
            let code = CODE.first[length] as usize + place - CODE.place[length];
            assert_eq!(next((code as u64) << (64 - length)), Some((symbol as u16, length as u32)));
        }
        assert_eq!(CODE.symbols[256], 256);
    }

    #[test]
    fn eos_and_wrong_padding_are_no_text() {
        assert_eq!(text(&[0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(text(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbe]), None);
        assert_eq!(text(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf, 0xff]), None);
    }
}
