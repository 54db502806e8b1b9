//! Recognises request and status lines, also where nothing says that one comes.
//!
//! Parses no fields. Keeps nothing.

use memchr::memmem;

/// The first line of the HTTP/2 connection preface (RFC 9113, section 3.4).
pub(super) const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";

const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"DELETE ",
    b"PUT ",
    b"HEAD ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI ",
];
const STATUS: &[u8] = b"HTTP/1.";

/// Whether bytes that begin so may begin a request or status line.
pub(in crate::wire) fn begins(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"\r").unwrap_or(line);
    // Nearly every other line is told by its first byte.
    if !line.first().is_none_or(u8::is_ascii_uppercase) {
        return false;
    }
    METHODS.iter().chain([&STATUS]).any(|known| {
        let length = known.len().min(line.len());
        line.get(..length) == known.get(..length)
    })
}

/// Whether a whole line is a request or status line of HTTP/1.
pub(super) fn is_start_line(line: &[u8]) -> bool {
    line == PREFACE_LINE || start_line_in(line) == Some(0)
}

/// Where in a whole line a request or status line begins that reaches to its end: a body without
/// a newline may stand before it.
pub(in crate::wire) fn start_line_in(line: &[u8]) -> Option<usize> {
    let text = line.strip_suffix(b"\n")?;
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let version = memmem::rfind(text, STATUS)?;
    let (before, rest) = text.split_at_checked(version)?;
    match rest.get(STATUS.len()..)? {
        // A status line: the version, a space, three digits and a reason.
        [b'0' | b'1', b' ', a, b, c, reason @ ..]
            if [a, b, c].iter().all(|digit| digit.is_ascii_digit())
                && (b'1'..=b'9').contains(a)
                && matches!(reason.first(), None | Some(b' ')) =>
        {
            Some(version)
        }
        // A request line: a method, a target without spaces, the version.
        [b'0' | b'1'] => {
            let before = before.strip_suffix(b" ")?;
            let space = before.iter().rposition(|byte| *byte == b' ')?;
            let (methods, target) = before.split_at_checked(space + 1)?;
            if target.is_empty() || target.iter().any(|byte| byte.is_ascii_control()) {
                return None;
            }
            METHODS
                .iter()
                .filter(|method| methods.ends_with(method))
                .map(|method| methods.len() - method.len())
                .min()
        }
        _ => None,
    }
}

/// Whether a whole line is empty.
pub(super) fn is_blank(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

/// Whether a whole line may be a field: a name and a colon, or the continuation of one.
pub(super) fn is_field(line: &[u8]) -> bool {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return true;
    }
    match line.iter().position(|byte| *byte == b':') {
        None | Some(0) => false,
        Some(colon) => line
            .iter()
            .take(colon)
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_lines_are_found_at_the_end_of_a_line() {
        for (line, start) in [
            ("GET / HTTP/1.1\r\n", Some(0)),
            ("POST /mcp?x HTTP/1.0\n", Some(0)),
            ("HTTP/1.1 200 OK\r\n", Some(0)),
            ("HTTP/1.1 202 \r\n", Some(0)),
            ("HTTP/1.1 204\r\n", Some(0)),
            ("{\"a\":\"b\"}}HTTP/1.1 404 Not Found\r\n", Some(10)),
            ("\"}}POST /mcp HTTP/1.1\r\n", Some(3)),
            ("POST /mcp 200 3 ms\n", None),
            ("INFO \"POST /mcp HTTP/1.1\" 200 OK\n", None),
            ("HTTP/1.1 20 OK\r\n", None),
            ("HTTP/1.1 2000\r\n", None),
            ("HTTP/2 200\r\n", None),
            ("FETCH / HTTP/1.1\r\n", None),
            ("GET / HTTP/1.1", None),
        ] {
            assert_eq!(start_line_in(line.as_bytes()), start, "{line:?}");
        }
    }

    #[test]
    fn any_beginning_of_a_start_line_is_recognised() {
        for line in [
            "DELETE /x HTTP/1.1\r\n",
            "HTTP/1.1 200 OK\r\n",
            "PRI * HTTP/2.0\r\n",
        ] {
            for end in 1..line.len() {
                assert!(begins(&line.as_bytes()[..end]), "{}", &line[..end]);
            }
        }
        assert!(!begins(b"Got"));
        assert!(!begins(b"{"));
    }
}
