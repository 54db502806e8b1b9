//! What each kind of statement does, and to which table. What it reads beside that is [`super::visit`]'s.

use sqlparser::ast::{
    AssignmentTarget, CopySource, CopyTarget, CreateTableLikeKind, Delete, Expr, FromTable, Insert,
    Merge, ObjectName, ObjectType, OnConflictAction, OnInsert, Statement, TableFactor, TableObject,
    TableWithJoins, Update, Value,
};

use super::{
    QueryType,
    visit::{Reading, part},
};

impl Reading {
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
    pub(super) fn note_statement(&mut self, statement: &Statement) {
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
