//! Rows for people, as JSON lines or as CSV. Texts come from whoever is audited: nothing of them drives a terminal.

use std::io::{IsTerminal as _, Write, stdout};

use anyhow::Result;
use auditor_query_cli::Format;
use datafusion::arrow::{
    array::RecordBatch,
    csv::WriterBuilder as CsvBuilder,
    datatypes::{DataType, SchemaRef},
    json::{WriterBuilder as JsonBuilder, writer::LineDelimited},
    util::display::{ArrayFormatter, FormatOptions},
};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Columns of a line, where the terminal does not say.
const WIDTH: usize = 100;
/// Columns that no cell is made narrower than.
const NARROWEST: usize = 8;

/// Prints rows.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print(format: Format, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<()> {
    let mut out = Harmless::new();
    if format.csv {
        let mut writer = CsvBuilder::new().with_header(true).build(&mut out);
        // Without rows there are columns all the same.
        writer.write(&RecordBatch::new_empty(SchemaRef::clone(schema)))?;
        for batch in batches {
            writer.write(batch)?;
        }
    } else if format.json {
        let builder = JsonBuilder::new().with_explicit_nulls(true);
        let mut writer = builder.build::<_, LineDelimited>(&mut out);
        for batch in batches {
            writer.write(batch)?;
        }
        writer.finish()?;
    } else {
        let (names, rows) = texts(schema, batches)?;
        table(&mut out, &names, &rows, width())?;
    }
    Ok(out.flush()?)
}

/// What all cells say.
pub(crate) fn texts(
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<(Vec<String>, Vec<Vec<String>>)> {
    let options = FormatOptions::default().with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.3f"));
    let names = schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter();
        let columns: Vec<_> = columns
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let cells = columns.iter().zip(batch.columns()).map(|(column, array)| {
                // Texts are not to be escaped a second time.
                let text = column.value(row).try_to_string()?;
                Ok(if *array.data_type() == DataType::Null {
                    String::new()
                } else {
                    harmless(&text)
                })
            });
            rows.push(cells.collect::<Result<_>>()?);
        }
    }
    Ok((names, rows))
}

/// Columns of the terminal.
pub(crate) fn width() -> usize {
    let told = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.parse().ok());
    told.unwrap_or(WIDTH).max(60)
}

/// A table of texts, as wide as it may be: what is too long is cut.
pub(crate) fn table(
    out: &mut impl Write,
    names: &[String],
    rows: &[Vec<String>],
    width: usize,
) -> std::io::Result<()> {
    let mut widths: Vec<usize> = names.iter().map(|name| name.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let gaps = 2 * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width {
        // What identifies an event is of no use when it is cut.
        let is_whole = |name: &String| ["time", "uid"].contains(&name.as_str());
        let cut = widths
            .iter_mut()
            .zip(names)
            .filter(|(_, name)| !is_whole(name));
        let widest = cut.map(|(width, _)| width).max();
        let Some(widest) = widest.filter(|widest| **widest > NARROWEST) else {
            break;
        };
        *widest -= 1;
    }
    for row in std::iter::once(names).chain(rows.iter().map(Vec::as_slice)) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let cell = cut(cell, *width);
            line.push_str(&cell);
            line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A text in so many columns, the end of it left out where it is longer.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut taken = 1;
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        if taken > width {
            break;
        }
        kept.push(c);
    }
    kept + "…"
}

/// A text without what could drive a terminal, on one line.
pub(crate) fn harmless(text: &str) -> String {
    let is_bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| if is_bad(c) { '·' } else { c })
        .collect()
}

/// Standard output: where that is a terminal, without what could drive it.
pub(crate) struct Harmless {
    out: std::io::BufWriter<std::io::Stdout>,
    is_terminal: bool,
}

impl Harmless {
    pub(crate) fn new() -> Self {
        Self {
            out: std::io::BufWriter::new(stdout()),
            is_terminal: stdout().is_terminal(),
        }
    }
}

impl Write for Harmless {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.is_terminal {
            let safe: Vec<u8> = bytes
                .iter()
                .map(|byte| {
                    if byte.is_ascii_control() && *byte != b'\n' {
                        b'.'
                    } else {
                        *byte
                    }
                })
                .collect();
            self.out.write_all(&safe)?;
        } else {
            self.out.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_fit_and_drive_no_terminal() {
        let names = ["time", "name"].map(str::to_owned);
        let rows = vec![
            vec!["1".to_owned(), harmless("a\x1b[2Jb\u{202e}")],
            vec!["2".to_owned(), "漢字".repeat(40)],
        ];
        let mut out = Vec::new();
        table(&mut out, &names, &rows, 60).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["time  name", "1     a·[2Jb·"]);
        assert!(lines[2].width() <= 60 && lines[2].ends_with('…'));
    }
}
