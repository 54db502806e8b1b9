//! A thing that a call names. Types only.

use serde::Deserialize;

use crate::sql::QueryType;

/// A thing that a call names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Its name; at most 2 KiB. Of a URL without user, query and what looks like an id.
    pub name: String,
    /// What the name belongs to: a database, a host, a server.
    pub namespace: Option<String>,
    /// What is done to it, as declared.
    pub operation: Operation,
    /// Columns of a table, where the text names one table only; keys of a URL's query.
    pub parts: Vec<String>,
    /// Where it was found: a JSON Pointer (RFC 6901) into the arguments; empty for what the method itself names.
    pub place: String,
    /// What says so.
    pub basis: Basis,
    /// How sensitive it is, where the catalogue says.
    pub sensitivity: Option<Sensitivity>,
}

/// What the catalogue says of a resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sensitivity {
    /// How sensitive.
    pub level: Level,
    /// Words of the catalogue's author.
    pub tags: Vec<String>,
    /// The pattern that says so.
    pub by: String,
}

/// Kinds of things.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A tool of an MCP server.
    Tool,
    /// A resource of an MCP server, by its URI.
    Resource,
    /// A prompt of an MCP server.
    Prompt,
    /// A table or view of a database, a collection, an index.
    Table,
    /// A database.
    Database,
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A URL.
    Url,
    /// A bucket of an object store.
    Bucket,
    /// An object in a bucket.
    Object,
    /// A queue, topic or channel.
    Queue,
    /// A repository of source code.
    Repository,
    /// A mailbox.
    Mailbox,
    /// A program that is to be run.
    Program,
    /// A key or an entity of a store.
    Key,
}

impl Kind {
    /// Its name in events and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Resource => "resource",
            Self::Prompt => "prompt",
            Self::Table => "table",
            Self::Database => "database",
            Self::File => "file",
            Self::Directory => "directory",
            Self::Url => "url",
            Self::Bucket => "bucket",
            Self::Object => "object",
            Self::Queue => "queue",
            Self::Repository => "repository",
            Self::Mailbox => "mailbox",
            Self::Program => "program",
            Self::Key => "key",
        }
    }
}

/// What is done to a thing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Operation {
    /// By a statement of SQL.
    Query(QueryType),
    /// It is read.
    Read,
    /// It is written or made.
    Write,
    /// It is taken away.
    Delete,
    /// Something is sent to it.
    Send,
    /// It is called or run.
    Execute,
    /// Nothing says.
    Unknown,
}

impl Operation {
    /// Its name in events and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query(kind) => kind.name(),
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Send => "send",
            Self::Execute => "execute",
            Self::Unknown => "unknown",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "read" => Self::Read,
            "write" => Self::Write,
            "delete" => Self::Delete,
            "send" => Self::Send,
            "execute" => Self::Execute,
            "unknown" => Self::Unknown,
            _ => return None,
        })
    }
}

/// What says that a value names a thing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Basis {
    /// The method of MCP itself.
    Method,
    /// A rule of the configuration.
    Rule,
    /// A rule that ships with the product.
    BuiltIn,
    /// The format that the tool's schema gives the argument.
    Schema,
    /// The form of the value: a URL.
    Value,
    /// The name of the argument.
    Name,
}

impl Basis {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Rule => "rule",
            Self::BuiltIn => "builtin_rule",
            Self::Schema => "schema",
            Self::Value => "value",
            Self::Name => "argument_name",
        }
    }
}

/// How sensitive a thing is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For everybody.
    Public,
    /// For those within.
    Internal,
    /// For those who need it.
    Confidential,
    /// For few, with a record of it.
    Restricted,
}

impl Level {
    /// Its name in events and catalogues.
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Confidential => "confidential",
            Self::Restricted => "restricted",
        }
    }

    /// 0 for public to 3 for restricted.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// OCSF `confidentiality_id`.
    pub fn ocsf(self) -> u8 {
        match self {
            Self::Public => 1,
            Self::Internal => 5,
            Self::Confidential => 2,
            Self::Restricted => 6,
        }
    }
}
