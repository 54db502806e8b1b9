//! The dialects of SQL, and where they differ in what is a statement.

use sqlparser::{
    ast::Statement,
    dialect::{self, Dialect as Grammar},
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};

/// Levels of nesting that are read.
const DEPTH: usize = 64;
/// Operators in a text that is read: each may add a level to the syntax tree.
const OPERATORS: usize = 2_000;

/// A database's way of writing SQL.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Dialect {
    /// What most databases share.
    Generic,
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// SQLite.
    Sqlite,
    /// DuckDB.
    Duckdb,
    /// Microsoft SQL Server.
    Mssql,
    /// Snowflake.
    Snowflake,
    /// BigQuery.
    Bigquery,
    /// ClickHouse.
    Clickhouse,
}

impl Dialect {
    /// All, those that are tried first where the database is not known in front.
    pub const ALL: [Self; 9] = [
        Self::Generic,
        Self::Postgres,
        Self::Mysql,
        Self::Sqlite,
        Self::Mssql,
        Self::Duckdb,
        Self::Snowflake,
        Self::Bigquery,
        Self::Clickhouse,
    ];

    /// By its name in a configuration.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "generic" => Self::Generic,
            "postgres" | "postgresql" => Self::Postgres,
            "mysql" | "mariadb" => Self::Mysql,
            "sqlite" => Self::Sqlite,
            "duckdb" => Self::Duckdb,
            "mssql" => Self::Mssql,
            "snowflake" => Self::Snowflake,
            "bigquery" => Self::Bigquery,
            "clickhouse" => Self::Clickhouse,
            _ => return None,
        })
    }

    /// Whether a name in double quotes is surely a name, not a text.
    pub(super) fn has_quoted_names(self) -> bool {
        matches!(self, Self::Postgres | Self::Duckdb | Self::Snowflake)
    }

    /// The statements of a text; `None` where it is not of this dialect.
    pub(super) fn parse(self, text: &str) -> Option<Vec<Statement>> {
        let tokens = Tokenizer::new(self.grammar(), text)
            .tokenize_with_location()
            .ok()?;
        if tokens
            .iter()
            .filter(|token| is_operator(&token.token))
            .count()
            > OPERATORS
        {
            return None;
        }
        let parser = Parser::new(self.grammar()).with_recursion_limit(DEPTH);
        parser
            .with_tokens_with_locations(tokens)
            .parse_statements()
            .ok()
    }

    fn grammar(self) -> &'static dyn Grammar {
        match self {
            Self::Generic => &dialect::GenericDialect {},
            Self::Postgres => &dialect::PostgreSqlDialect {},
            Self::Mysql => &dialect::MySqlDialect {},
            Self::Sqlite => &dialect::SQLiteDialect {},
            Self::Duckdb => &dialect::DuckDbDialect {},
            Self::Mssql => &dialect::MsSqlDialect {},
            Self::Snowflake => &dialect::SnowflakeDialect,
            Self::Bigquery => &dialect::BigQueryDialect {},
            Self::Clickhouse => &dialect::ClickHouseDialect {},
        }
    }
}

/// Whether a token may join what is before it to what is behind.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::JOIN
                | Keyword::LIKE
                | Keyword::IS
                | Keyword::COLLATE
        ),
        Token::Comma
        | Token::Whitespace(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::LParen
        | Token::RParen
        | Token::SemiColon
        | Token::EOF
        | Token::Period
        | Token::Placeholder(_) => false,
        _ => true,
    }
}

/// Whether dialects may see other statements in a text: they end texts at backslashes, dollars and quotes, and begin
/// comments at `#`, `--` and `/*!`, differently.
pub(super) fn is_ambiguous(text: &str) -> bool {
    let marks = ["\\", "$", "#", "/*", "--", "`", "q'", "Q'"];
    marks.iter().any(|mark| text.contains(mark))
}
