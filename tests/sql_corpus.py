"""Compares what the auditor reads in SQL with what sqlglot does, on statements that ship with sqlglot.

Usage: sql_corpus.py READER SQLGLOT_SOURCE. READER is the example `sql` of auditor-resource. Prints how many of the
benchmark suites' statements (TPC-H, TPC-DS) and of the dialects' tests are read alike, differently or not at all; fails
where fewer than 95 in 100 of the former are alike, or more than 1 in 100 of the latter differ.
"""

import ast
import collections
import json
import pathlib
import subprocess
import sys

import sqlglot
from sqlglot import exp

DIALECTS = ["postgres", "mysql", "sqlite", "duckdb", "tsql", "snowflake", "bigquery", "clickhouse"]
OURS = {"tsql": "mssql"}
KINDS = [
    ((exp.Insert,), "insert"),
    ((exp.Update, exp.Merge), "update"),
    ((exp.Delete, exp.TruncateTable), "delete"),
    ((exp.Create, exp.Drop, exp.Alter), "ddl"),
    ((exp.Query,), "select"),
]


def benchmark(folder):
    """The queries of TPC-H and TPC-DS; each is followed by what sqlglot makes of it, which is left out."""
    for suite in ["tpc-h", "tpc-ds"]:
        lines = (folder / f"tests/fixtures/optimizer/{suite}/{suite}.sql").read_text().splitlines()
        lines = [line for line in lines if not line.lstrip().startswith(("--", "#"))]
        for text in "\n".join(lines).split(";")[::2]:
            if text.strip():
                yield suite, "snowflake" if suite == "tpc-ds" else None, text.strip()


def dialects(folder):
    """The statements that the tests of dialects expect to be written as they were read."""
    for dialect in DIALECTS:
        tree = ast.parse((folder / f"tests/dialects/test_{dialect}.py").read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") != "validate_identity":
                continue
            if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
                yield "dialects", dialect, node.args[0].value


def names_given(table):
    """Whether a table is a name that a WITH around it gave, by the scopes of sqlglot."""
    if table.args.get("db"):
        return False
    node, wanted = table, table.name.lower()
    while node.parent:
        parent = node.parent
        with_ = parent.args.get("with_") or parent.args.get("with")
        if with_ is not None:
            given = [cte.alias.lower() for cte in with_.expressions]
            inside = node is with_
            if inside:
                child = table
                while not isinstance(child, exp.CTE) or child.parent is not with_:
                    child = child.parent
                at = list(with_.expressions).index(child)
                given = given[: at + (1 if with_.args.get("recursive") else 0)]
            if wanted in given:
                return True
        node = parent
    return False


def oracle(dialect, text):
    statement = sqlglot.parse_one(text, read=dialect)
    kind = None
    for node in statement.walk():
        for classes, name in KINDS:
            if isinstance(node, classes):
                order = ["select", "insert", "update", "delete", "ddl"]
                kind = name if kind is None or order.index(name) > order.index(kind) else kind
                break
    if not any(isinstance(statement, classes) for classes, _ in KINDS):
        return None
    tables = set()
    for table in statement.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and not names_given(table):
            tables.add(".".join(part.name for part in table.parts).lower())
    changes = [node for node in statement.find_all(exp.Insert) if node.args.get("conflict")]
    changes += [node for node in statement.find_all(exp.Insert) if node.args.get("overwrite")]
    if kind == "insert" and any(not node.args.get("conflict") or updates(node.args["conflict"]) for node in changes):
        kind = "update"
    if kind == "select" and statement.find(exp.Into):
        kind = "ddl"
    return kind, tables


def updates(conflict):
    return conflict.args.get("duplicate") or "UPDATE" in str(conflict.args.get("action"))


def is_alike(found, kind, tables):
    """What a schema's change names beside tables (functions, types, indexes, referenced tables) is not asked for."""
    if kind == "ddl":
        return found <= tables
    # Variables and stages are no tables to sqlglot; temporary tables lose their mark.
    return {name.strip("#") for name in found if not name.startswith("@")} == {name for name in tables if not name.startswith("@")}


def main():
    reader, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    cases = []
    for suite, dialect, text in [*benchmark(folder), *dialects(folder)]:
        try:
            expected = oracle(dialect, text)
        except sqlglot.errors.SqlglotError:
            continue
        if expected:
            cases.append((suite, dialect, text, expected))
    lines = "\n".join(json.dumps([OURS.get(case[1], case[1]), case[2]]) for case in cases)
    done = subprocess.run([reader], input=lines, capture_output=True, text=True, check=True)
    counts = collections.defaultdict(collections.Counter)
    for (suite, dialect, text, (kind, tables)), line in zip(cases, done.stdout.splitlines(), strict=True):
        read_kind, read_tables = json.loads(line)
        found = {name.lower() for name, _ in read_tables}
        if read_kind == "unknown":
            verdict = "unknown"
        elif read_kind == kind and is_alike(found, kind, tables):
            verdict = "alike"
        else:
            verdict = "different"
        counts[suite][verdict] += 1
        if verdict != "alike" and (suite != "dialects" or "-v" in sys.argv):
            print(f"{suite} {dialect} {verdict}: {text[:200]!r}\n  here {read_kind} {sorted(found)}\n  sqlglot {kind} {sorted(tables)}")
    failed = False
    for suite, count in counts.items():
        total = sum(count.values())
        print(f"{suite}: {total} statements, {count['alike']} alike, {count['unknown']} unknown, {count['different']} different")
        if suite == "dialects":
            failed |= count["different"] > total * 0.01
        else:
            failed |= count["alike"] < total * 0.95 or count["different"] > 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
