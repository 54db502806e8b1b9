use super::*;

fn tables(sql: &Sql) -> Vec<(&str, &str)> {
    sql.tables
        .iter()
        .map(|table| (table.name.as_str(), table.query_type.name()))
        .collect()
}

fn check(text: &str, kind: QueryType, expected: &[(&str, &str)]) {
    let sql = read(text, None);
    assert_eq!(sql.query_type, kind, "{text}");
    assert_eq!(tables(&sql), expected, "{text}");
}

#[test]
fn statements_are_told_by_kind_and_table() {
    use QueryType::*;
    check(
        "SELECT a, b FROM users u JOIN crm.orders o ON u.id = o.user",
        Select,
        &[("users", "select"), ("crm.orders", "select")],
    );
    check(
        "INSERT INTO log (a) SELECT a FROM src",
        Insert,
        &[("log", "insert"), ("src", "select")],
    );
    check(
        "UPDATE users SET name = 'x' WHERE id IN (SELECT id FROM banned)",
        Update,
        &[("users", "update"), ("banned", "select")],
    );
    check(
        "DELETE FROM users WHERE id = 1",
        Delete,
        &[("users", "delete")],
    );
    check("DROP TABLE users", Ddl, &[("users", "ddl")]);
    check(
        "TRUNCATE TABLE a, b",
        Delete,
        &[("a", "delete"), ("b", "delete")],
    );
    check(
        "CREATE TABLE t AS SELECT * FROM s",
        Ddl,
        &[("t", "ddl"), ("s", "select")],
    );
    check("ALTER TABLE t ADD COLUMN x INT", Ddl, &[("t", "ddl")]);
    check("GRANT ALL ON t TO bob", Dcl, &[]);
    check("SELECT 1; DROP TABLE x", Ddl, &[("x", "ddl")]);
    check("BEGIN; SELECT * FROM a; COMMIT", Select, &[("a", "select")]);
    check("SELECT * FROM generate_series(1, 3)", Select, &[]);
    check(
        "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET x = 1",
        Update,
        &[("t", "update"), ("s", "select")],
    );
}

#[test]
fn names_of_common_table_expressions_are_no_tables() {
    use QueryType::*;
    check(
        "WITH x AS (SELECT * FROM a) SELECT * FROM x",
        Select,
        &[("a", "select")],
    );
    // Not recursive: the inner name is the table.
    check(
        "WITH a AS (SELECT * FROM a) SELECT * FROM a",
        Select,
        &[("a", "select")],
    );
    check(
        "WITH RECURSIVE r AS (SELECT id FROM n UNION SELECT id FROM r) SELECT * FROM r",
        Select,
        &[("n", "select")],
    );
    check(
        "WITH x AS (SELECT 1), y AS (SELECT * FROM x) SELECT * FROM y, public.x",
        Select,
        &[("public.x", "select")],
    );
    check(
        "SELECT * FROM (WITH x AS (SELECT 1) SELECT * FROM x) q, x",
        Select,
        &[("x", "select")],
    );
    check(
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
        Delete,
        &[("t", "delete")],
    );
    check(
        "WITH x AS (SELECT 1 AS id) INSERT INTO t SELECT id FROM x",
        Insert,
        &[("t", "insert")],
    );
}

#[test]
fn what_cannot_be_read_is_unknown() {
    for text in [
        "",
        "hello world",
        "SELECT FROM WHERE",
        "DROP DROP",
        "sélection de tout",
    ] {
        assert_eq!(read(text, None).query_type, QueryType::Unknown, "{text}");
    }
    assert_eq!(
        read(&"SELECT 1;".repeat(20_000), None).query_type,
        QueryType::Unknown
    );
    let chained = format!("SELECT 1{}", " + 1".repeat(12_000));
    assert_eq!(read(&chained, None).query_type, QueryType::Unknown);
    let chained = format!("SELECT 1{}", " + 1".repeat(1_900));
    assert_eq!(read(&chained, None).query_type, QueryType::Select);
    let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(read(&deep, None).query_type, QueryType::Unknown);
}

#[test]
fn what_databases_read_differently_is_unknown_unless_the_database_is_known() {
    // MySQL runs what stands in such a comment.
    let hidden = "SELECT 1 /*! FROM secret */";
    assert_eq!(read(hidden, None).query_type, QueryType::Unknown);
    assert_eq!(
        tables(&read(hidden, Some(Dialect::Mysql))),
        [("secret", "select")]
    );
    assert_eq!(tables(&read(hidden, Some(Dialect::Postgres))), []);
    // A backslash ends the text in PostgreSQL, and not in MySQL.
    let torn = r"SELECT 'a\'; DROP TABLE t; --'";
    assert_eq!(read(torn, None).query_type, QueryType::Unknown);
    assert_eq!(
        read(torn, Some(Dialect::Postgres)).query_type,
        QueryType::Ddl
    );
    assert_eq!(
        read(torn, Some(Dialect::Mysql)).query_type,
        QueryType::Select
    );
}

#[test]
fn several_tables_of_one_statement_are_told_apart() {
    let sql = read(
        "DELETE u FROM users u JOIN orders o ON u.id = o.uid",
        Some(Dialect::Mysql),
    );
    assert_eq!(tables(&sql), [("users", "delete"), ("orders", "select")]);
    let sql = read(
        "UPDATE a JOIN b ON a.id = b.id SET b.x = 1",
        Some(Dialect::Mysql),
    );
    assert_eq!(tables(&sql), [("b", "update"), ("a", "select")]);
}

#[test]
fn columns_are_named_and_texts_in_double_quotes_are_not() {
    let sql = read(
        "SELECT u.name, email FROM users u WHERE \"secret text\" = city",
        Some(Dialect::Sqlite),
    );
    assert_eq!(sql.columns, ["name", "email", "city"]);
    let sql = read("SELECT \"name\" FROM users", Some(Dialect::Postgres));
    assert_eq!(sql.columns, ["name"]);
}

#[test]
fn files_and_programs_of_the_host_are_named() {
    let sql = read("COPY users TO '/tmp/out.csv'", Some(Dialect::Postgres));
    assert_eq!(
        (sql.query_type, tables(&sql)),
        (QueryType::Select, vec![("users", "select")])
    );
    assert_eq!(
        sql.files,
        [Outside {
            path: "/tmp/out.csv".into(),
            is_written: true
        }]
    );
    assert!(read("COPY t FROM PROGRAM 'id'", Some(Dialect::Postgres)).runs_program);
    let sql = read("ATTACH DATABASE '/data/x.db' AS x", Some(Dialect::Sqlite));
    assert_eq!(sql.files[0].path, "/data/x.db");
}

#[test]
fn what_is_only_explained_is_not_done() {
    let sql = read("EXPLAIN SELECT * FROM a", None);
    assert_eq!(
        (sql.query_type.name(), tables(&sql)),
        ("describe", vec![("a", "describe")])
    );
}
