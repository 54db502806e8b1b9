//! Turns Go (RE2) regular expression syntax into that of the `regex` crates.
//!
//! Two things differ in the rules used here: Go reads a `{` that begins no repetition as itself,
//! and knows no nested classes nor set operations, so `[`, `&&`, `--` and `~~` inside a class are
//! plain letters. Nothing else is changed; what the crates still refuse is the caller's error.

/// `pattern`, to be read by the `regex` crates with the meaning that it has in Go.
pub(crate) fn adapt(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut class = Class::Outside;
    while let Some(letter) = rest.chars().next() {
        let mut taken = letter.len_utf8();
        match (letter, class) {
            ('\\', _) => {
                taken += rest[taken..].chars().next().map_or(0, char::len_utf8);
                // `\x{..}` and `\p{..}` own their braces.
                if matches!(&rest[..taken], "\\x" | "\\p" | "\\P") && rest[taken..].starts_with('{')
                {
                    taken += rest[taken..].find('}').map_or(0, |end| end + 1);
                }
                out.push_str(&rest[..taken]);
                class = class.entered();
            }
            ('[', Class::Outside) => {
                if rest[taken..].starts_with('^') {
                    taken += 1;
                }
                out.push_str(&rest[..taken]);
                class = Class::First;
            }
            (']', Class::Inside) => {
                out.push(letter);
                class = Class::Outside;
            }
            ('[', _) if rest.starts_with("[:") && rest.contains(":]") => {
                taken = rest.find(":]").map_or(taken, |end| end + 2);
                out.push_str(&rest[..taken]);
                class = Class::Inside;
            }
            ('[' | '&' | '~' | ']', Class::First | Class::Inside) => {
                out.push('\\');
                out.push(letter);
                class = Class::Inside;
            }
            ('{', Class::Outside) if !is_repetition(rest) => out.push_str("\\{"),
            _ => {
                out.push(letter);
                class = class.entered();
            }
        }
        rest = &rest[taken..];
    }
    out
}

#[derive(Clone, Copy)]
enum Class {
    Outside,
    /// Right after the opening bracket, where `]` is a letter.
    First,
    Inside,
}

impl Class {
    fn entered(self) -> Self {
        match self {
            Self::Outside => Self::Outside,
            Self::First | Self::Inside => Self::Inside,
        }
    }
}

/// Whether `rest` begins with `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(rest: &str) -> bool {
    let Some((inner, _)) = rest[1..].split_once('}') else {
        return false;
    };
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && is_number(least) && is_number(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_and_brackets_keep_their_meaning_in_go() {
        assert_eq!(
            adapt(r"^\${(?:\d{2,3}|{\d+})$"),
            r"^\$\{(?:\d{2,3}|\{\d+})$"
        );
        assert_eq!(
            adapt(r"[^[]x[]a][a&&b[:alpha:]]"),
            r"[^\[]x[\]a][a\&\&b[:alpha:]]"
        );
        assert_eq!(adapt(r"\x{41}{{x}}"), r"\x{41}\{\{x}}");
    }
}
