//! What a text of SQL does, and to which tables: read by `sqlparser`, never guessed.
//!
//! A text that no dialect reads is [`QueryType::Unknown`], and so is one that two dialects read differently where the
//! database is not known. Bound: texts of [`TEXT`] bytes, [`TABLES`] tables, [`COLUMNS`] columns, [`STATEMENTS`] statements.

mod dialect;
mod readings;
mod statement;
mod visit;

#[cfg(test)]
mod tests;

pub use dialect::Dialect;
pub use readings::Readings;
use visit::Reading;

/// Bytes of a text that is read; a longer one is unknown.
pub const TEXT: usize = 64 << 10;
/// Tables that are named of one text.
pub const TABLES: usize = 64;
/// Columns that are named of one text.
pub const COLUMNS: usize = 64;
/// Statements in one text; with more it is unknown.
pub const STATEMENTS: usize = 256;

/// What a text of SQL does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sql {
    /// The most far-reaching thing that its statements do.
    pub query_type: QueryType,
    /// How many statements it has; 0 where that is not known.
    pub statements: u32,
    /// Tables and views by name, those of common table expressions left out.
    pub tables: Vec<Table>,
    /// Columns that are named plainly, in order of their first occurrence. A name in double quotes is left out where the
    /// database may read it as a text.
    pub columns: Vec<String>,
    /// Files of the database's host that it names.
    pub files: Vec<Outside>,
    /// Whether it has the database run a program (`COPY ... PROGRAM`, `xp_cmdshell`).
    pub runs_program: bool,
    /// Whether something was left out for a bound.
    pub is_cut: bool,
}

/// What a statement does, in order of reach.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum QueryType {
    /// Transactions, settings, locks, `USE`.
    Session,
    /// `EXPLAIN`, `SHOW`, `DESCRIBE`, `PRAGMA name`.
    Describe,
    /// Reads rows.
    Select,
    /// Adds rows.
    Insert,
    /// Changes rows; `MERGE` too.
    Update,
    /// Takes rows away; `TRUNCATE` too.
    Delete,
    /// Calls a procedure, of which nobody knows what it does.
    Call,
    /// Changes the schema.
    Ddl,
    /// Changes who may do what.
    Dcl,
    /// Could not be read.
    #[default]
    Unknown,
}

impl QueryType {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Describe => "describe",
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Call => "call",
            Self::Ddl => "ddl",
            Self::Dcl => "dcl",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it may change anything.
    pub fn may_write(self) -> bool {
        self > Self::Select
    }
}

/// A table that a text names.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Table {
    /// Its name as written, without quotes, parts joined by dots.
    pub name: String,
    /// What is done to it; the most far-reaching where it is named several times.
    pub query_type: QueryType,
}

/// A file that a text names.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Outside {
    /// Its path as written.
    pub path: String,
    /// Whether it is written.
    pub is_written: bool,
}

/// Reads a text; `dialect` is that of the database, where it is known.
pub fn read(text: &str, dialect: Option<Dialect>) -> Sql {
    if text.len() > TEXT {
        return Sql {
            is_cut: true,
            ..Sql::default()
        };
    }
    let reading = match dialect {
        Some(dialect) => parse(text, dialect),
        None => agreed(text),
    };
    reading.unwrap_or_default()
}

/// What the first dialect reads, unless another one reads it differently.
fn agreed(text: &str) -> Option<Sql> {
    let mut readings = Dialect::ALL
        .iter()
        .filter_map(|dialect| parse(text, *dialect));
    let first = readings.next()?;
    // Only where dialects end texts and comments differently can another one see other statements.
    if dialect::is_ambiguous(text) && readings.any(|other| !first.does_the_same(&other)) {
        return None;
    }
    Some(first)
}

fn parse(text: &str, dialect: Dialect) -> Option<Sql> {
    let statements = dialect.parse(text)?;
    if statements.is_empty() || statements.len() > STATEMENTS {
        return None;
    }
    let mut reading = Reading::new(dialect);
    for statement in &statements {
        reading.statement(statement);
    }
    Some(reading.finish(statements.len()))
}

impl Sql {
    fn does_the_same(&self, other: &Self) -> bool {
        self.query_type == other.query_type
            && self.tables == other.tables
            && self.files == other.files
            && self.runs_program == other.runs_program
    }
}
