"""Asks DuckDB the questions that `mcp-auditor search` is asked, over the entries of the log as JSON lines.

    second_opinion.py ENTRIES QUERY-PROGRAM LOG-ARGUMENT...

Both must answer alike: filters, aggregates, joins.
"""

import csv
import io
import json
import subprocess
import sys
import tempfile

import duckdb

entries, program, *log = sys.argv[1:]


def search(*words):
    output = subprocess.run([program, "search", *words, *log], capture_output=True, text=True)
    assert output.returncode == 0, output.stderr
    return output.stdout


def rows(text):
    return sorted(tuple(row) for row in csv.reader(io.StringIO(text)))


def at(value, *path):
    """What is there, or None."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


# What the columns are, out of the entries, by another reader of JSON.
with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as lines:
    for index, line in enumerate(open(entries)):
        event = json.loads(line)
        mcp = event["unmapped"]["mcp"]
        method, who = at(mcp, "method"), mcp.get("client") or mcp.get("second")
        json.dump({
            "log_index": index, "uid": event["metadata"]["uid"], "class": {6003: "interaction", 6002: "lifecycle"}.get(
                event["class_uid"], "finding"), "stage": at(mcp, "stage"), "method": method,
            "tool": at(mcp, "target") if method == "tools/call" else None, "outcome": at(mcp, "outcome"),
            "identity": at(mcp, "identity", "client", "subject") or at(who, "identity", "subject"),
            "client_pid": at(who, "pid"), "server_pid": at(mcp, "server", "pid"), "rows": at(mcp, "result", "rows"),
            "token_hash": at(mcp, "credential", "hash") or at(mcp, "secret_hash"), "chain": at(mcp, "chain", "id"),
            "chain_parent": at(mcp, "chain", "parent"), "observed_decision": at(mcp, "decision", "observed", "decision"),
            "resources": [[one["kind"], one["name"], one["operation"]] for one in at(mcp, "resources") or []
                          if one["kind"] != "tool"],
            "classes": [[one["class"], one["part"]] for one in at(mcp, "classifications") or []],
            "request_bytes": at(mcp, "request", "bytes"), "time": event["time"],
        }, lines)
        lines.write("\n")
    lines.flush()
    duckdb.sql(f"CREATE TABLE told AS SELECT * FROM read_json('{lines.name}', format = 'newline_delimited', columns = {{"
               "log_index: 'BIGINT', uid: 'VARCHAR', class: 'VARCHAR', stage: 'VARCHAR', method: 'VARCHAR', tool: 'VARCHAR',"
               "outcome: 'VARCHAR', identity: 'VARCHAR', client_pid: 'BIGINT', server_pid: 'BIGINT', rows: 'BIGINT',"
               "token_hash: 'VARCHAR', chain: 'VARCHAR', chain_parent: 'VARCHAR', observed_decision: 'VARCHAR',"
               "resources: 'VARCHAR[][]', classes: 'VARCHAR[][]', request_bytes: 'BIGINT', time: 'BIGINT'})")


def by_duckdb(query):
    found = duckdb.sql(query)
    told = io.StringIO()
    writer = csv.writer(told, lineterminator="\n")
    writer.writerow(found.columns)
    writer.writerows(found.fetchall())
    return told.getvalue()


count = 0


def same(question, ours, theirs):
    global count
    count += 1
    assert rows(ours) == rows(theirs), f"{question}\nsearch:\n{ours}\nDuckDB:\n{theirs}"


# The same SQL.
for query in [
    "SELECT class, count(*) AS n FROM {} GROUP BY 1",
    "SELECT method, outcome, count(*) AS n, sum(request_bytes) AS bytes FROM {} GROUP BY 1, 2",
    "SELECT tool, identity, max(rows) AS most, count(DISTINCT client_pid) AS clients FROM {} WHERE tool IS NOT NULL GROUP BY 1, 2",
    "SELECT a.uid, b.uid AS parent FROM {} a JOIN {} b ON a.chain_parent = b.uid WHERE a.stage = 'final'",
    "SELECT uid, token_hash FROM {} WHERE token_hash IS NOT NULL AND method LIKE 'tools/%'",
    "SELECT count(*) AS n FROM {} WHERE observed_decision = 'denied' OR rows > 5",
    "SELECT method, rank() OVER (ORDER BY count(*) DESC, method) AS place FROM {} WHERE method IS NOT NULL GROUP BY 1",
]:
    ours = search("--limit", "1000000", "--csv", "--sql", query.replace("{}", "events"))
    same(query, ours, by_duckdb(query.replace("{}", "told")))

# Filters, against the conditions that they stand for.
final = "stage IS DISTINCT FROM 'open'"
some = dict(zip(["token", "pid", "chain"], duckdb.sql(
    "SELECT max(token_hash), max(client_pid), max(chain_parent) FROM told").fetchall()[0]))
touches = "len(list_filter(resources, lambda r: {})) > 0"
for words, condition in [
    (["--tool", "read_query"], "tool = 'read_query'"),
    (["--tool", "read_*", "--outcome", "success"], "tool LIKE 'read\\_%' ESCAPE '\\' AND outcome = 'success'"),
    (["--table", "customers"], touches.format("r[1] = 'table' AND r[2] = 'customers'")),
    (["--resource", "*t*", "--resource", "nothing"], touches.format("r[2] LIKE '%t%'")),
    (["--class", "secret*"], "len(list_filter(classes, lambda c: c[1] LIKE 'secret%')) > 0"),
    (["--decision", "denied"], "observed_decision = 'denied'"),
    (["--token", some["token"]], f"token_hash = '{some['token']}'"),
    (["--pid", str(some["pid"])], f"(client_pid = {some['pid']} OR server_pid = {some['pid']})"),
    (["--chain", some["chain"]], f"chain = '{some['chain']}'"),
    (["--type", "finding"], "class = 'finding'"),
    (["--method", "tools/call", "--method", "initialize"], "method IN ('tools/call', 'initialize')"),
    (["--since", "1970-01-02", "--until", "1970-01-03"], "time < 0"),
]:
    ours = search("--limit", "1000000", "--csv", "--columns", "uid,log_index", *words)
    same(words, ours, by_duckdb(f"SELECT uid, log_index FROM told WHERE {final} AND {condition}"))

print(count)
