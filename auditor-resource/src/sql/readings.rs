//! Remembers readings of SQL by the shape of a text: agents ask the same with other values.
//!
//! The shape leaves out values that no reading looks at: literals right behind a comparison in a query or a change of
//! rows. A text whose literals dialects could end differently has no shape and is remembered as it is. Bounds:
//! [`HELD`] readings twice, of shapes of [`SHAPE`] bytes with [`NAMES`] tables and columns each.

use std::{borrow::Cow, collections::HashMap};

use super::{Dialect, Sql, TEXT, dialect::is_ambiguous, read};

/// Readings of a generation.
const HELD: usize = 256;
/// Longest shape that is remembered, in bytes.
const SHAPE: usize = 2 << 10;
/// Tables and columns of a reading that is remembered.
const NAMES: usize = 32;

type Known = HashMap<Box<str>, Sql>;

/// What texts said that were read lately.
#[derive(Debug, Default)]
pub struct Readings {
    /// By dialect, lately and before that.
    young: HashMap<Option<Dialect>, Known>,
    old: HashMap<Option<Dialect>, Known>,
    held: usize,
}

impl Readings {
    /// Reads a text as [`read`] does.
    pub fn read(&mut self, text: &str, dialect: Option<Dialect>) -> Sql {
        if text.len() > TEXT {
            return read(text, dialect);
        }
        let shape = shape(text);
        let known = self
            .young
            .get(&dialect)
            .and_then(|known| known.get(&*shape));
        if let Some(sql) = known {
            return sql.clone();
        }
        let old = self.old.get_mut(&dialect);
        let sql = match old.and_then(|known| known.remove(&*shape)) {
            Some(sql) => sql,
            None => read(text, dialect),
        };
        // Names of files are values: another text of this shape may have others.
        let is_whole = sql.files.is_empty() && !sql.is_cut && !sql.runs_program;
        let is_small = shape.len() <= SHAPE && sql.tables.len() + sql.columns.len() <= NAMES;
        if is_whole && is_small {
            if self.held >= HELD {
                self.old = std::mem::take(&mut self.young);
                self.held = 0;
            }
            self.held += 1;
            let known = self.young.entry(dialect).or_default();
            known.insert(shape.into(), sql.clone());
        }
        sql
    }

    /// Readings remembered.
    pub fn remembered(&self) -> usize {
        let of = |known: &HashMap<_, Known>| known.values().map(HashMap::len).sum::<usize>();
        of(&self.young) + of(&self.old)
    }
}

/// The text without the values behind comparisons; the text itself where that is not safe.
fn shape(text: &str) -> Cow<'_, str> {
    let is_plain = !is_ambiguous(text) && !text.contains('[') && !text.contains("'''");
    let verb = text
        .trim_start()
        .split(|c: char| !c.is_ascii_alphabetic())
        .next();
    let is_query = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"]
        .iter()
        .any(|one| verb.is_some_and(|verb| verb.eq_ignore_ascii_case(one)));
    let ends_early = text.trim_end().trim_end_matches(';').contains(';');
    if !is_plain || !is_query || ends_early {
        return Cow::Borrowed(text);
    }
    let mut shape = String::with_capacity(text.len().min(SHAPE));
    let mut left = text;
    let mut is_compared = false;
    while let Some(first) = left.chars().next() {
        let (length, value) = match first {
            '\'' | '"' => {
                let Some(length) = quoted(left, first) else {
                    return Cow::Borrowed(text);
                };
                (length, (first == '\'').then_some("''"))
            }
            '0'..='9' => (number(left), Some("0")),
            _ if is_word(first) => (left.find(|c| !is_word(c)).unwrap_or(left.len()), None),
            _ => (first.len_utf8(), None),
        };
        let (token, rest) = left.split_at_checked(length).unwrap_or((left, ""));
        // A letter right behind a number makes it something else to some dialects.
        let is_alone = !rest.starts_with(|c| is_word(c) || c == '.');
        match value {
            Some(value) if is_compared && is_alone => shape.push_str(value),
            _ => shape.push_str(token),
        }
        if !first.is_whitespace() {
            is_compared = matches!(token, "=" | "<" | ">") || token.eq_ignore_ascii_case("like");
        }
        left = rest;
    }
    Cow::Owned(shape)
}

/// Bytes of what is quoted at the beginning; `None` where it does not end.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    while let Some(end) = text.get(at..).and_then(|rest| rest.find(quote)) {
        at += end + 1;
        if !text.get(at..).is_some_and(|rest| rest.starts_with(quote)) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Bytes of the number at the beginning.
fn number(text: &str) -> usize {
    let digits = |text: &str| {
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len())
    };
    let whole = digits(text);
    match text.get(whole..).and_then(|rest| rest.strip_prefix('.')) {
        Some(fraction) => whole + 1 + digits(fraction),
        None => whole,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '@' | ':')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_behind_comparisons_are_left_out() {
        assert_eq!(
            shape("SELECT a1 FROM t WHERE x = 'it''s' AND y>=12.5 AND z LIKE '%a' LIMIT 3"),
            "SELECT a1 FROM t WHERE x = '' AND y>=0 AND z LIKE '' LIMIT 3"
        );
        for text in [
            "SELECT 'a' FROM \"o'x\" WHERE b IN ('c')",
            "SELECT a FROM t WHERE x = 'y' -- z",
            "SELECT a FROM t WHERE x = '\\'y'",
            "SELECT a FROM t WHERE x = '''y'''",
            "SELECT a FROM [it's] WHERE x = 'y'",
            "SELECT a FROM t WHERE x = 'y'; DROP TABLE t",
            "ATTACH DATABASE 'x' AS y",
            "SET x = 'y'",
            "SELECT a FROM t WHERE x = 0x12 AND y = 1e5",
        ] {
            assert_eq!(shape(text), text);
        }
    }

    #[test]
    fn a_text_of_the_same_shape_is_read_once() {
        let mut readings = Readings::default();
        for number in 0..10 {
            let text = format!("DELETE FROM users WHERE id = {number} AND name = 'n{number}'");
            assert_eq!(readings.read(&text, None), read(&text, None));
        }
        assert_eq!(readings.remembered(), 1);
        readings.read("DELETE FROM users WHERE id = 1", Some(Dialect::Sqlite));
        assert_eq!(readings.remembered(), 2);
    }

    #[test]
    fn files_are_read_each_time() {
        let mut readings = Readings::default();
        for path in ["/a", "/b"] {
            let text = format!("ATTACH DATABASE '{path}' AS x");
            let sql = readings.read(&text, None);
            assert_eq!(sql.files[0].path, path);
        }
        assert_eq!(readings.remembered(), 0);
    }

    #[test]
    fn no_more_is_remembered_than_said() {
        let mut readings = Readings::default();
        for number in 0..2_000 {
            readings.read(&format!("SELECT a FROM t{number}"), Some(Dialect::Sqlite));
        }
        assert!(readings.remembered() <= 2 * HELD);
    }

    const PIECES: [&str; 40] = [
        "SELECT ",
        "a",
        " FROM ",
        "t",
        " WHERE ",
        "=",
        "'",
        "''",
        "\"",
        "x",
        " ",
        "<",
        ">",
        "12",
        ".5",
        ",",
        "(",
        ")",
        " LIKE ",
        " IN ",
        "INSERT INTO ",
        " VALUES ",
        "UPDATE ",
        " SET ",
        "DELETE FROM ",
        " AND ",
        ";",
        "-",
        "E",
        "N",
        "WITH ",
        " AS ",
        "'users'",
        " JOIN ",
        " ON ",
        "ESCAPE",
        "BETWEEN",
        "||",
        "/*",
        "`",
    ];

    proptest! {
        /// Whatever was read before, a text is read as it is alone.
        #[test]
        fn a_remembered_reading_is_the_text_s_own(
            texts in prop::collection::vec(prop::collection::vec(prop::sample::select(&PIECES[..]), 1..12), 1..40),
        ) {
            let mut readings = Readings::default();
            for text in texts {
                let text = format!("SELECT a FROM t WHERE x = {}", text.concat());
                for dialect in [None, Some(Dialect::Sqlite), Some(Dialect::Mysql)] {
                    prop_assert_eq!(readings.read(&text, dialect), read(&text, dialect), "{}", text);
                }
            }
        }

        /// Texts that differ in values alone are read alike, in every dialect.
        #[test]
        fn values_behind_comparisons_change_nothing(value in "[ -~]{0,12}", other in "[ -~]{0,12}", number in 0..1_000_000u32) {
            let escape = |value: &str| value.replace('\'', "''");
            let text = |value: &str, number: u32| format!(
                "SELECT a, \"b\" FROM t JOIN s ON t.id=s.id WHERE t.x = '{}' AND s.y < {number} AND z LIKE '{}' ORDER BY 1",
                escape(value), escape(value)
            );
            let (one, two) = (text(&value, number), text(&other, 7));
            if shape(&one) == shape(&two) {
                for dialect in Dialect::ALL {
                    prop_assert_eq!(read(&one, Some(dialect)), read(&two, Some(dialect)), "{} {}", one, two);
                }
            }
        }
    }
}
