//! The Huffman code of HPACK (RFC 7541, appendix B), decoding only.
//!
//! The code is canonical, so the number of codes of each length and the symbols in order tell all.
//! Output is at most 8/5 of the input.

/// Number of codes of each length in bits; the end-of-string symbol, of 30 bits, is left out.
const CODES: [u32; 31] = [
    0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19,
    29, 0, 3,
];

/// Symbols ordered by code.
#[rustfmt::skip]
const SYMBOLS: [u8; 256] = [
    48, 49, 50, 97, 99, 101, 105, 111, 115, 116, 32, 37, 45, 46, 47, 51, 52, 53, 54, 55, 56, 57,
    61, 65, 95, 98, 100, 102, 103, 104, 108, 109, 110, 112, 114, 117, 58, 66, 67, 68, 69, 70, 71,
    72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89, 106, 107, 113, 118, 119,
    120, 121, 122, 38, 42, 44, 59, 88, 90, 33, 34, 40, 41, 63, 39, 43, 124, 35, 62, 0, 36, 64,
    91, 93, 126, 94, 125, 60, 96, 123, 92, 195, 208, 128, 130, 131, 162, 184, 194, 224, 226, 153,
    161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230, 129, 132, 133, 134, 136, 146,
    154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196, 198, 228,
    232, 233, 1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165,
    166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239, 9, 142, 144, 145, 148, 159, 171,
    206, 215, 225, 236, 237, 199, 207, 234, 235, 192, 193, 200, 201, 202, 205, 210, 213, 218,
    219, 238, 240, 242, 243, 255, 203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246,
    247, 248, 250, 251, 252, 253, 254, 2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20,
    21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127, 220, 249, 10, 13, 22,
];

/// Decodes a string; `None` if it is malformed.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 8 / 5);
    let (mut code, mut length) = (0u32, 0usize);
    // The first code of the length at hand, and the index of its symbol.
    let (mut first, mut index) = (0u32, 0u32);
    for byte in text {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            let shorter = *CODES.get(length)?;
            first = (first + shorter) << 1;
            index += shorter;
            length += 1;
            let offset = code.checked_sub(first)?;
            if offset < *CODES.get(length)? {
                out.push(*SYMBOLS.get((index + offset) as usize)?);
                (code, length, first, index) = (0, 0, 0, 0);
            }
        }
    }
    // Padding: less than a byte, all ones (section 5.2).
    (length < 8 && code + 1 == 1 << length).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each symbol's code and its length.
    fn codes() -> Vec<(u8, u32, usize)> {
        let (mut code, mut all, mut symbols) = (0, Vec::new(), SYMBOLS.iter());
        for (length, count) in CODES.iter().enumerate() {
            code <<= 1;
            for symbol in symbols.by_ref().take(*count as usize) {
                all.push((*symbol, code, length));
                code += 1;
            }
        }
        all
    }

    #[test]
    fn every_symbol_decodes_from_its_code() {
        let codes = codes();
        assert_eq!(codes.len(), 256);
        for (symbol, code, length) in codes {
            let bits = u64::from(code) << (40 - length) | ((1 << (40 - length)) - 1);
            let bytes = &bits.to_be_bytes()[3..3 + length.div_ceil(8)];
            assert_eq!(decode(bytes).as_deref(), Some(&[symbol][..]));
        }
    }

    #[test]
    fn the_codes_are_those_of_the_standard() {
        for known in [
            (b'0', 0, 5),
            (b' ', 0x14, 6),
            (b':', 0x5c, 7),
            (b'z', 0x7b, 7),
            (b'&', 0xf8, 8),
            (0, 0x1ff8, 13),
            (b'\\', 0x7_fff0, 19),
            (249, 0xfff_fffe, 28),
            (22, 0x3fff_fffe, 30),
        ] {
            assert!(codes().contains(&known), "{known:?}");
        }
    }

    #[test]
    fn wrong_padding_and_the_end_symbol_are_malformed() {
        assert_eq!(decode(&[0xff]), None);
        assert_eq!(decode(&[0b0000_0000]), None);
        assert_eq!(decode(&[0xff; 5]), None);
        assert_eq!(decode(&[0b0000_0111]).as_deref(), Some(&b"0"[..]));
        assert_eq!(decode(&[]).as_deref(), Some(&b""[..]));
    }
}
