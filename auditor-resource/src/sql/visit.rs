//! Gathers tables, columns and query types from the syntax tree of a statement.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Cte, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Query, Select,
    SetExpr, Statement, TableFactor, Visit, Visitor,
};

use super::{COLUMNS, Dialect, Outside, QueryType, Sql, TABLES, Table};

/// Longest name of a table or column, in bytes.
const NAME: usize = 256;

/// What has been read of a text so far.
pub(super) struct Reading {
    dialect: Dialect,
    pub(super) sql: Sql,
    query_type: Option<QueryType>,
    scopes: Vec<Scope>,
    /// How many statements around are only explained, not analysed.
    explained: usize,
    /// Names in the place of tables that are functions.
    functions: Vec<*const ObjectName>,
}

/// The names that a `WITH` gives, and how many of them can be seen.
struct Scope {
    query: *const Query,
    names: Vec<(String, *const Query)>,
    seen: usize,
    is_recursive: bool,
}

impl Reading {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            sql: Sql::default(),
            query_type: None,
            scopes: Vec::new(),
            explained: 0,
            functions: Vec::new(),
        }
    }

    pub(super) fn finish(mut self, statements: usize) -> Sql {
        self.sql.query_type = self.query_type.unwrap_or_default();
        self.sql.statements = u32::try_from(statements).unwrap_or(u32::MAX);
        self.sql
    }

    /// Takes a statement. Never ends early.
    pub(super) fn statement(&mut self, statement: &Statement) {
        let _ = statement.visit(self);
    }

    /// What is really done by something of this kind: what an `EXPLAIN` explains does not happen.
    fn done(&self, kind: QueryType) -> QueryType {
        if self.explained > 0 {
            QueryType::Describe
        } else {
            kind
        }
    }

    pub(super) fn note_type(&mut self, kind: QueryType) {
        let kind = self.done(kind);
        self.query_type = Some(self.query_type.map_or(kind, |known| known.max(kind)));
    }

    pub(super) fn note_table(&mut self, name: &ObjectName, kind: QueryType) {
        let parts: Vec<&str> = name
            .0
            .iter()
            .filter_map(part)
            .map(|ident| ident.value.as_str())
            .collect();
        let name = parts.join(".");
        // A list of texts in brackets is a quoted name to some dialects: texts are content.
        if name.is_empty() || name.len() > NAME || name.contains('\'') {
            self.sql.is_cut |= !name.is_empty();
            return;
        }
        let query_type = self.done(kind);
        let tables = &mut self.sql.tables;
        if let Some(table) = tables
            .iter_mut()
            .find(|table| table.name.eq_ignore_ascii_case(&name))
        {
            table.query_type = table.query_type.max(query_type);
        } else if tables.len() < TABLES {
            tables.push(Table { name, query_type });
        } else {
            self.sql.is_cut = true;
        }
    }

    pub(super) fn note_column(&mut self, ident: &Ident) {
        let is_doubtful = ident.quote_style == Some('"') && !self.dialect.has_quoted_names();
        if is_doubtful || ident.value.len() > NAME {
            return;
        }
        if self
            .sql
            .columns
            .iter()
            .any(|known| known.eq_ignore_ascii_case(&ident.value))
        {
            return;
        }
        if self.sql.columns.len() < COLUMNS {
            self.sql.columns.push(ident.value.clone());
        } else {
            self.sql.is_cut = true;
        }
    }

    pub(super) fn note_file(&mut self, path: &str, is_written: bool) {
        if path.len() <= super::TEXT && self.sql.files.len() < TABLES {
            let path = path.to_owned();
            self.sql.files.push(Outside { path, is_written });
        } else {
            self.sql.is_cut = true;
        }
    }

    /// Whether a name is one that a `WITH` around it gave.
    fn is_given(&self, name: &ObjectName) -> bool {
        let [only] = name.0.as_slice() else {
            return false;
        };
        let Some(ident) = part(only) else {
            return false;
        };
        let is_seen = |scope: &Scope| {
            let mut names = scope.names.iter().take(scope.seen);
            names.any(|(given, _)| given.eq_ignore_ascii_case(&ident.value))
        };
        self.scopes.iter().any(is_seen)
    }
}

impl Visitor for Reading {
    type Break = ();

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        self.note_statement(statement);
        self.explained += usize::from(is_only_explained(statement));
        ControlFlow::Continue(())
    }

    fn post_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        self.explained -= usize::from(is_only_explained(statement));
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        // Inside the query of a name, that name is seen only if the `WITH` is recursive; later ones never are.
        if let Some(scope) = self.scopes.last_mut()
            && let Some(at) = scope
                .names
                .iter()
                .position(|(_, given)| std::ptr::eq(*given, query))
        {
            scope.seen = at + usize::from(scope.is_recursive);
        }
        if let SetExpr::Table(table) = &*query.body {
            let parts = [&table.schema_name, &table.table_name];
            let parts: Vec<Ident> = parts.into_iter().flatten().cloned().collect();
            let name = ObjectName::from(parts);
            if !self.is_given(&name) {
                self.note_table(&name, QueryType::Select);
            }
        }
        let given = |cte: &Cte| (cte.alias.name.value.clone(), &*cte.query as *const Query);
        let with = query.with.as_ref();
        let names: Vec<_> = with
            .into_iter()
            .flat_map(|with| with.cte_tables.iter().map(given))
            .collect();
        self.scopes.push(Scope {
            query,
            seen: names.len(),
            names,
            is_recursive: with.is_some_and(|with| with.recursive),
        });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.scopes.pop_if(|scope| std::ptr::eq(scope.query, query));
        if let Some(scope) = self.scopes.last_mut()
            && scope
                .names
                .iter()
                .any(|(_, given)| std::ptr::eq(*given, query))
        {
            scope.seen = scope.names.len();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for target in select.into.iter().flat_map(|into| &into.targets) {
            let parts = match target {
                Expr::Identifier(ident) => vec![ident.clone()],
                Expr::CompoundIdentifier(parts) => parts.clone(),
                _ => continue,
            };
            // What begins with `@` is a variable.
            if parts
                .first()
                .is_some_and(|ident| !ident.value.starts_with('@'))
            {
                self.note_type(QueryType::Ddl);
                self.note_table(&ObjectName::from(parts), QueryType::Ddl);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            name,
            args: Some(args),
            ..
        } = factor
            && !(self.dialect == Dialect::Mssql && are_hints(&args.args))
        {
            self.functions.push(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let is_function = self
            .functions
            .pop_if(|one| std::ptr::eq(*one, name))
            .is_some();
        if !is_function && !self.is_given(name) {
            self.note_table(name, QueryType::Select);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.note_column(ident),
            Expr::CompoundIdentifier(parts) => {
                parts
                    .last()
                    .into_iter()
                    .for_each(|ident| self.note_column(ident));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Whether these are hints to SQL Server (`FROM table (NOLOCK)`), which look like arguments.
fn are_hints(args: &[FunctionArg]) -> bool {
    let is_hint = |arg: &FunctionArg| {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(ident))) = arg else {
            return false;
        };
        let name = ident.value.to_ascii_uppercase();
        name.ends_with("LOCK")
            || matches!(name.as_str(), "READUNCOMMITTED" | "READPAST" | "SNAPSHOT")
    };
    !args.is_empty() && args.iter().all(is_hint)
}

fn is_only_explained(statement: &Statement) -> bool {
    let Statement::Explain {
        analyze, options, ..
    } = statement
    else {
        return false;
    };
    let mut options = options.iter().flatten();
    !analyze && !options.any(|option| option.name.value.eq_ignore_ascii_case("analyze"))
}

pub(super) fn part(part: &ObjectNamePart) -> Option<&Ident> {
    match part {
        ObjectNamePart::Identifier(ident) => Some(ident),
        ObjectNamePart::Function(_) => None,
    }
}
