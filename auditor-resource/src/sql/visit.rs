//! Gathers tables, columns and query types from the syntax tree of a statement.

use std::ops::ControlFlow;

use sqlparser::ast::{
    AssignmentTarget, CopySource, CopyTarget, CreateTableLikeKind, Cte, Delete, Expr, FromTable,
    FunctionArg, FunctionArgExpr, Ident, Insert, Merge, ObjectName, ObjectNamePart, ObjectType,
    OnConflictAction, OnInsert, Query, Select, SetExpr, Statement, TableFactor, TableObject,
    TableWithJoins, Update, Value, Visit, Visitor,
};

use super::{COLUMNS, Dialect, Outside, QueryType, Sql, TABLES, Table};

/// Longest name of a table or column, in bytes.
const NAME: usize = 256;

/// What has been read of a text so far.
pub(super) struct Reading {
    dialect: Dialect,
    sql: Sql,
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

    fn note_type(&mut self, kind: QueryType) {
        let kind = self.done(kind);
        self.query_type = Some(self.query_type.map_or(kind, |known| known.max(kind)));
    }

    fn note_table(&mut self, name: &ObjectName, kind: QueryType) {
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

    fn note_column(&mut self, ident: &Ident) {
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

    fn note_file(&mut self, path: &str, is_written: bool) {
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

    fn insert(&mut self, insert: &Insert) {
        if let TableObject::TableName(name) = &insert.table {
            let kind = if insert.replace_into || insert.overwrite {
                QueryType::Update
            } else {
                QueryType::Insert
            };
            self.note_type(kind);
            self.note_table(name, kind);
        }
        let is_upsert = match &insert.on {
            Some(OnInsert::OnConflict(conflict)) => {
                matches!(conflict.action, OnConflictAction::DoUpdate(_))
            }
            other => other.is_some(),
        };
        if is_upsert {
            self.note_type(QueryType::Update);
        }
        for column in &insert.columns {
            column
                .0
                .last()
                .and_then(part)
                .into_iter()
                .for_each(|ident| self.note_column(ident));
        }
    }

    fn update(&mut self, update: &Update) {
        self.note_type(QueryType::Update);
        let mut is_found = false;
        for assignment in &update.assignments {
            let targets = match &assignment.target {
                AssignmentTarget::ColumnName(name) => std::slice::from_ref(name),
                AssignmentTarget::Tuple(names) => names,
            };
            for name in targets {
                name.0
                    .last()
                    .and_then(part)
                    .into_iter()
                    .for_each(|ident| self.note_column(ident));
                // `UPDATE a JOIN b SET b.x = 1` changes what the column belongs to.
                if let [qualifier, _] = name.0.as_slice()
                    && let Some(table) =
                        part(qualifier).and_then(|ident| named(&update.table, &ident.value))
                {
                    is_found = true;
                    self.note_table(table, QueryType::Update);
                }
            }
        }
        if !is_found && let TableFactor::Table { name, .. } = &update.table.relation {
            self.note_table(name, QueryType::Update);
        }
    }

    fn delete(&mut self, delete: &Delete) {
        self.note_type(QueryType::Delete);
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        for target in &delete.tables {
            // `DELETE a FROM table AS a`: the alias is meant.
            let alias = target
                .0
                .last()
                .and_then(part)
                .map(|ident| ident.value.as_str());
            let meant = alias.and_then(|alias| from.iter().find_map(|table| named(table, alias)));
            self.note_table(meant.unwrap_or(target), QueryType::Delete);
        }
        if delete.tables.is_empty()
            && let Some(TableFactor::Table { name, .. }) = from.first().map(|table| &table.relation)
        {
            self.note_table(name, QueryType::Delete);
        }
    }

    fn merge(&mut self, merge: &Merge) {
        self.note_type(QueryType::Update);
        if let TableFactor::Table { name, .. } = &merge.table {
            self.note_table(name, QueryType::Update);
        }
    }

    fn copy(&mut self, source: &CopySource, target: &CopyTarget, is_out: bool) {
        let kind = if is_out {
            QueryType::Select
        } else {
            QueryType::Insert
        };
        self.note_type(kind);
        if let CopySource::Table {
            table_name,
            columns,
        } = source
        {
            self.note_table(table_name, kind);
            columns.iter().for_each(|column| self.note_column(column));
        }
        match target {
            CopyTarget::File { filename } => self.note_file(filename, is_out),
            CopyTarget::Program { .. } => self.sql.runs_program = true,
            CopyTarget::Stdin | CopyTarget::Stdout => {}
        }
    }

    /// Notes what a statement does and to what; what it reads is visited afterwards.
    fn note_statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Query(_) => self.note_type(QueryType::Select),
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Merge(merge) => self.merge(merge),
            Statement::Copy {
                source, to, target, ..
            } => self.copy(source, target, *to),
            Statement::Truncate(truncate) => {
                self.note_type(QueryType::Delete);
                for target in &truncate.table_names {
                    self.note_table(&target.name, QueryType::Delete);
                }
            }
            Statement::Drop {
                object_type,
                names,
                table,
                ..
            } => {
                self.note_type(QueryType::Ddl);
                if matches!(
                    object_type,
                    ObjectType::Table | ObjectType::View | ObjectType::MaterializedView
                ) {
                    names
                        .iter()
                        .for_each(|name| self.note_table(name, QueryType::Ddl));
                }
                if let Some(table) = table {
                    self.note_table(table, QueryType::Ddl);
                }
            }
            Statement::CreateTrigger(create) => {
                self.note_type(QueryType::Ddl);
                self.note_table(&create.table_name, QueryType::Ddl);
            }
            Statement::AlterTable(alter) => {
                self.note_type(QueryType::Ddl);
                self.note_table(&alter.name, QueryType::Ddl);
            }
            Statement::CreateTable(create) => {
                self.note_type(QueryType::Ddl);
                self.note_table(&create.name, QueryType::Ddl);
                let like = create.like.as_ref().map(|like| match like {
                    CreateTableLikeKind::Parenthesized(like) | CreateTableLikeKind::Plain(like) => {
                        &like.name
                    }
                });
                for source in like.into_iter().chain(&create.clone) {
                    self.note_table(source, QueryType::Select);
                }
            }
            Statement::CreateView(create) => {
                self.note_type(QueryType::Ddl);
                self.note_table(&create.name, QueryType::Ddl);
            }
            Statement::CreateVirtualTable { name, .. } => {
                self.note_type(QueryType::Ddl);
                self.note_table(name, QueryType::Ddl);
            }
            Statement::CreateIndex(create) => {
                self.note_type(QueryType::Ddl);
                self.note_table(&create.table_name, QueryType::Ddl);
            }
            Statement::AttachDatabase {
                database_file_name, ..
            } => {
                self.note_type(QueryType::Ddl);
                self.note_attached(database_file_name);
            }
            Statement::AttachDuckDBDatabase { database_path, .. } => {
                self.note_type(QueryType::Ddl);
                self.note_file(&database_path.value, true);
            }
            Statement::Grant(_)
            | Statement::Revoke(_)
            | Statement::Deny(_)
            | Statement::GrantRole(_)
            | Statement::RevokeRole(_)
            | Statement::AlterDefaultPrivileges(_)
            | Statement::CreateRole(_)
            | Statement::AlterRole { .. }
            | Statement::CreateUser(_)
            | Statement::AlterUser(_) => {
                self.note_type(QueryType::Dcl);
            }
            Statement::ExplainTable { table_name, .. } => {
                self.note_type(QueryType::Describe);
                self.note_table(table_name, QueryType::Describe);
            }
            Statement::Explain { .. }
            | Statement::ShowTables { .. }
            | Statement::ShowColumns { .. }
            | Statement::ShowCreate { .. }
            | Statement::ShowDatabases { .. }
            | Statement::ShowSchemas { .. }
            | Statement::ShowViews { .. }
            | Statement::ShowVariable { .. }
            | Statement::ShowVariables { .. }
            | Statement::ShowStatus { .. }
            | Statement::ShowFunctions { .. }
            | Statement::ShowCatalogs { .. }
            | Statement::ShowProcessList { .. }
            | Statement::ShowCharset(_)
            | Statement::ShowObjects(_)
            | Statement::ShowCollation { .. } => self.note_type(QueryType::Describe),
            Statement::Pragma { value, .. } => self.note_type(if value.is_some() {
                QueryType::Session
            } else {
                QueryType::Describe
            }),
            Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. }
            | Statement::Savepoint { .. }
            | Statement::ReleaseSavepoint { .. }
            | Statement::Set(_)
            | Statement::Use(_)
            | Statement::Reset(_)
            | Statement::Discard { .. }
            | Statement::Lock(_)
            | Statement::LockTables { .. }
            | Statement::UnlockTables
            | Statement::Analyze(_)
            | Statement::Vacuum(_)
            | Statement::LISTEN { .. }
            | Statement::UNLISTEN { .. }
            | Statement::Fetch { .. }
            | Statement::Close { .. }
            | Statement::Deallocate { .. } => {
                self.note_type(QueryType::Session);
            }
            Statement::Call(_) | Statement::Execute { .. } => {
                self.note_type(QueryType::Call);
                self.sql.runs_program |= statement
                    .to_string()
                    .to_ascii_lowercase()
                    .contains("xp_cmdshell");
            }
            other => {
                let text = other.to_string();
                let verb = text.split_ascii_whitespace().next().unwrap_or_default();
                self.note_type(match verb.to_ascii_uppercase().as_str() {
                    "CREATE" | "ALTER" | "DROP" | "RENAME" | "COMMENT" | "REFRESH" => {
                        QueryType::Ddl
                    }
                    _ => QueryType::Unknown,
                });
            }
        }
    }

    fn note_attached(&mut self, file: &Expr) {
        match file {
            Expr::Value(value) => {
                if let Value::SingleQuotedString(path) | Value::DoubleQuotedString(path) =
                    &value.value
                {
                    self.note_file(path, true);
                }
            }
            Expr::Identifier(ident) => self.note_file(&ident.value, true),
            _ => self.sql.is_cut = true,
        }
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

fn part(part: &ObjectNamePart) -> Option<&Ident> {
    match part {
        ObjectNamePart::Identifier(ident) => Some(ident),
        ObjectNamePart::Function(_) => None,
    }
}

/// The table that a name or an alias means in a `FROM`.
fn named<'a>(tables: &'a TableWithJoins, wanted: &str) -> Option<&'a ObjectName> {
    let joined = tables.joins.iter().map(|join| &join.relation);
    std::iter::once(&tables.relation)
        .chain(joined)
        .find_map(|factor| {
            let TableFactor::Table { name, alias, .. } = factor else {
                return None;
            };
            let own = name
                .0
                .last()
                .and_then(part)
                .map(|ident| ident.value.as_str());
            let called = alias
                .as_ref()
                .map(|alias| alias.name.value.as_str())
                .or(own);
            called
                .is_some_and(|called| called.eq_ignore_ascii_case(wanted))
                .then_some(name)
        })
}
