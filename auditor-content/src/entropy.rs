//! Shannon entropy of a byte string, in bits a byte.

/// Entropy of `text`, between 0 and 8 bits.
pub(crate) fn bits(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let length = text.len() as f64;
    let of = |count: u32| {
        let share = f64::from(count) / length;
        -share * share.log2()
    };
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| of(*count))
        .sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn entropy_of_known_texts() {
        assert_eq!(super::bits(b""), 0.0);
        assert_eq!(super::bits(b"aaaa"), 0.0);
        assert_eq!(super::bits(b"abcd"), 2.0);
    }
}
