//! Rows in what Python prints of a list, which servers in Python give back as text (`[{'id': 1}, {'id': 2}]`).
//!
//! Counts only, in one pass and without memory; what is not closed, or goes on afterwards, has no count.

/// The number of dictionaries or tuples of a list, as `repr` prints it.
pub(crate) fn rows(text: &str) -> Option<u64> {
    let mut bytes = text.trim_ascii().bytes();
    if bytes.next()? != b'[' {
        return None;
    }
    let (mut depth, mut rows) = (1u32, 0u64);
    // Whether a row may begin here.
    let mut is_at_row = true;
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'(' if depth == 1 && is_at_row => {
                rows += 1;
                depth += 1;
                is_at_row = false;
            }
            b'{' | b'(' | b'[' if depth > 1 => depth = depth.checked_add(1)?,
            b'}' | b')' if depth > 1 => depth -= 1,
            b']' => {
                depth -= 1;
                if depth == 0 {
                    return (bytes.next().is_none() && rows > 0).then_some(rows);
                }
            }
            b'\'' | b'"' if depth > 1 => loop {
                match bytes.next()? {
                    b'\\' => drop(bytes.next()?),
                    end if end == byte => break,
                    _ => {}
                }
            },
            b',' if depth == 1 => is_at_row = true,
            b' ' | b'\n' if depth == 1 => {}
            _ if depth == 1 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_python_are_counted() {
        let all = [
            ("[{'a': 1}, {'a': '}'}]", Some(2)),
            (
                "[{'name': \"O'Hara\", 'at': datetime.datetime(2026, 1, 1)}]",
                Some(1),
            ),
            ("[(1, 'a'), (2, 'it\\'s ]')]\n", Some(2)),
            ("[{'a': [1, {'b': 2}]}, {}]", Some(2)),
            ("[]", None),
            ("[1, 2]", None),
            ("[{'a': 1}] and more", None),
            ("[{'a': 1}", None),
            ("[{'a': '1}]", None),
            ("[{'a': 1} {'a': 2}]", None),
            ("]", None),
            ("", None),
        ];
        for (text, expected) in all {
            assert_eq!(rows(text), expected, "{text}");
        }
    }
}
