//! Reads statements of SQL from standard input, one JSON array `[dialect or null, text]` a line, and writes what each
//! does: `[query type, [[table, query type], ...]]`. For comparing with another parser: see `tests/sql_corpus.py`.

use std::io::{BufRead, Write};

use auditor_resource::sql::{self, Dialect};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let (dialect, text): (Option<String>, String) = serde_json::from_str(&line?)?;
        let read = sql::read(&text, dialect.as_deref().and_then(Dialect::named));
        let tables = read
            .tables
            .iter()
            .map(|table| (&table.name, table.query_type.name()));
        let tables: Vec<_> = tables.collect();
        writeln!(
            out,
            "{}",
            serde_json::to_string(&(read.query_type.name(), tables))?
        )?;
    }
    Ok(())
}
