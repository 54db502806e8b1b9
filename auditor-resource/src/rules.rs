//! Rules that say what an argument of a tool names: those of published servers, and the user's.
//!
//! A rule adds to what is found; it never hides anything. Bound: `RULES` rules of `POINTERS` pointers.

use globset::{Glob, GlobSet};
use serde::Deserialize;

use crate::{
    Error, glob, glob_set,
    resource::{Basis, Kind, Operation},
    sql::Dialect,
};

/// Rules in all.
const RULES: usize = 2_000;
/// Pointers of one rule.
const POINTERS: usize = 8;
/// Of published servers.
const BUILT_IN: &str = include_str!("../rules/servers.toml");

/// What arguments of tools name.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    /// All patterns of servers and of tools; those of a rule stand together.
    servers: GlobSet,
    tools: GlobSet,
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    servers: Vec<Glob>,
    tools: Vec<Glob>,
    /// One value of each, joined, is the name.
    pub(crate) pointers: Vec<Vec<Step>>,
    pub(crate) join: String,
    pub(crate) what: What,
    pub(crate) operation: Operation,
    pub(crate) basis: Basis,
}

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Kind(Kind),
    Sql(Option<Dialect>),
}

/// A step of a pointer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Member(String),
    /// Every member or element.
    Any,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Entry>,
}

/// A rule as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    server: Vec<String>,
    tool: Vec<String>,
    pointer: Vec<String>,
    kind: String,
    dialect: Option<String>,
    operation: Option<String>,
    join: Option<String>,
}

impl Rules {
    /// Those that ship with the product.
    ///
    /// # Errors
    /// Never, as a test shows.
    pub fn built_in() -> Result<Self, Error> {
        let mut rules = Self::default();
        rules.add_built_in()?;
        Ok(rules)
    }

    /// Adds those that ship with the product.
    ///
    /// # Errors
    /// Where there are too many with those that are there.
    pub fn add_built_in(&mut self) -> Result<(), Error> {
        self.add_as(BUILT_IN, Basis::BuiltIn)
    }

    /// Adds the rules of a TOML file.
    ///
    /// # Errors
    /// Where it cannot be read; nothing was added then.
    pub fn add(&mut self, text: &str) -> Result<(), Error> {
        self.add_as(text, Basis::Rule)
    }

    fn add_as(&mut self, text: &str, basis: Basis) -> Result<(), Error> {
        let file: File = toml::from_str(text)?;
        let mut rules = Vec::new();
        for (at, entry) in file.rule.into_iter().enumerate() {
            rules.push(rule(at + 1, entry, basis)?);
        }
        if self.rules.len() + rules.len() > RULES {
            return Err(wrong(RULES + 1, format!("more than {RULES} rules")));
        }
        let mut all = self.rules.clone();
        all.extend(rules);
        let set = |of: fn(&Rule) -> &Vec<Glob>| glob_set(all.iter().flat_map(of));
        let (servers, tools) = (set(|rule| &rule.servers)?, set(|rule| &rule.tools)?);
        *self = Self {
            rules: all,
            servers,
            tools,
        };
        Ok(())
    }

    /// Those of a tool. `servers` are the names that its server goes by.
    pub(crate) fn of(&self, servers: &[&str], tool: &str) -> impl Iterator<Item = &Rule> {
        // Mostly few match, so that walking over them is the fastest way to look one up.
        let known: Vec<usize> = servers
            .iter()
            .flat_map(|server| self.servers.matches(server))
            .collect();
        let tools = self.tools.matches(tool);
        let (mut server_at, mut tool_at) = (0, 0);
        let rules = if tools.is_empty() {
            &[][..]
        } else {
            &self.rules[..]
        };
        rules.iter().filter(move |rule| {
            let servers = server_at..server_at + rule.servers.len();
            let of_tools = tool_at..tool_at + rule.tools.len();
            (server_at, tool_at) = (servers.end, of_tools.end);
            let is_server = servers.is_empty() || known.iter().any(|at| servers.contains(at));
            is_server && tools.iter().any(|at| of_tools.contains(at))
        })
    }
}

fn rule(number: usize, entry: Entry, basis: Basis) -> Result<Rule, Error> {
    let is_sql = entry.kind == "sql";
    let dialect = match &entry.dialect {
        None => None,
        Some(_) if !is_sql => return Err(wrong(number, "`dialect` is for kind = \"sql\" only".into())),
        Some(name) => Some(Dialect::named(name).ok_or_else(|| {
            wrong(number, format!("no dialect {name:?}: take postgres, mysql, sqlite, duckdb, mssql, snowflake, bigquery, clickhouse or generic"))
        })?),
    };
    let what = if is_sql {
        What::Sql(dialect)
    } else {
        let kind = toml::Value::String(entry.kind.clone()).try_into::<Kind>();
        What::Kind(kind.map_err(|_| wrong(number, format!("no kind {:?}: take sql, table, database, file, directory, url, bucket, object, queue, repository, mailbox, program or key", entry.kind)))?)
    };
    let operation = match &entry.operation {
        None => Operation::Unknown,
        Some(name) => Operation::named(name).ok_or_else(|| {
            wrong(
                number,
                format!("no operation {name:?}: take read, write, delete, send or execute"),
            )
        })?,
    };
    if entry.pointer.is_empty() || entry.pointer.len() > POINTERS || entry.tool.is_empty() {
        return Err(wrong(
            number,
            format!("`tool` and `pointer` are needed, the latter at most {POINTERS} times"),
        ));
    }
    let pointers = entry.pointer.iter().map(|text| {
        pointer(text).ok_or_else(|| {
            wrong(
                number,
                format!("{text:?} is no JSON Pointer (RFC 6901): it begins with `/`"),
            )
        })
    });
    Ok(Rule {
        servers: entry
            .server
            .iter()
            .map(|one| glob(one))
            .collect::<Result<_, _>>()?,
        tools: entry
            .tool
            .iter()
            .map(|one| glob(one))
            .collect::<Result<_, _>>()?,
        pointers: pointers.collect::<Result<_, _>>()?,
        join: entry.join.unwrap_or_else(|| "/".into()),
        what,
        operation,
        basis,
    })
}

/// RFC 6901, with `*` for any member or element.
fn pointer(text: &str) -> Option<Vec<Step>> {
    let steps = text.strip_prefix('/')?.split('/');
    Some(
        steps
            .map(|step| match step {
                "*" => Step::Any,
                step => Step::Member(step.replace("~1", "/").replace("~0", "~")),
            })
            .collect(),
    )
}

fn wrong(number: usize, what: String) -> Error {
    Error::Rule { number, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_are_usable() {
        let rules = Rules::built_in().unwrap();
        let count = |server: &[&str], tool: &str| rules.of(server, tool).count();
        assert_eq!(count(&["sqlite"], "read_query"), 2);
        assert_eq!(count(&["SQLite", "x"], "create_table"), 1);
        assert_eq!(count(&["other"], "read_query"), 0);
    }

    #[test]
    fn a_wrong_rule_is_refused_with_the_mend() {
        let mut rules = Rules::default();
        for (text, mend) in [
            (
                "[[rule]]\ntool=[\"a\"]\npointer=[\"/a\"]\nkind=\"sql\"\ndialect=\"x\"",
                "take postgres",
            ),
            (
                "[[rule]]\ntool=[\"a\"]\npointer=[\"a\"]\nkind=\"file\"",
                "begins with `/`",
            ),
            (
                "[[rule]]\ntool=[\"a\"]\npointer=[\"/a\"]\nkind=\"thing\"",
                "take sql",
            ),
            (
                "[[rule]]\ntool=[\"a\"]\npointer=[\"/a\"]\nkind=\"file\"\noperation=\"x\"",
                "take read",
            ),
            (
                "[[rule]]\ntool=[]\npointer=[\"/a\"]\nkind=\"file\"",
                "are needed",
            ),
            ("[[rule]]\nfoo=1", "unknown field"),
        ] {
            let error = rules.add(text).unwrap_err().to_string();
            assert!(error.contains(mend), "{error}");
        }
        assert!(rules.rules.is_empty());
    }
}
