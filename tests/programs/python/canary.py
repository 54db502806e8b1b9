"""An MCP client and its server that say labelled secrets wherever a message has room.

    canary.py CASES FORMS      the client: CASES is a gzip file of JSON lines with `text`, `secrets` and `expected`
    canary.py serve            the server: answers with what it is asked, as a result, an error, a refusal, structured

The client writes to FORMS, a line of JSON each, what must not be found anywhere: a secret plain, escaped as JSON has it,
percent-encoded and in base64. It prints the number of calls in the end.
"""

import base64
import gzip
import json
import subprocess
import sys
from urllib.parse import quote


def serve():
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        answer = {"jsonrpc": "2.0", "id": message["id"]}
        parameters = message.get("params", {})
        text, way = parameters.get("_meta", {}).get("text"), parameters.get("_meta", {}).get("way")
        if message["method"] == "initialize":
            answer["result"] = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}, "logging": {}},
                "serverInfo": {"name": "canary", "version": "1"},
            }
        elif way == "error":
            answer["error"] = {"code": -32000, "message": f"cannot connect: {text}", "data": {"url": text}}
        elif way == "refusal":
            answer["result"] = {"content": [{"type": "text", "text": text}], "isError": True}
        elif way == "structured":
            answer["result"] = {"content": [], "structuredContent": {text: [text, {"again": json.dumps({"deep": text})}]}}
        elif way == "resource":
            blob = base64.b64encode(text.encode()).decode()
            answer["result"] = {"contents": [{"uri": parameters["uri"], "blob": blob}]}
        else:
            log = {"level": "info", "data": {"note": text}}
            say(sys.stdout, {"jsonrpc": "2.0", "method": "notifications/message", "params": log})
            answer["result"] = {"content": [{"type": "text", "text": text}]}
        say(sys.stdout, answer)


def say(stream, message):
    stream.write(json.dumps(message) + "\n")
    stream.flush()


def calls(text):
    """How a text can be said: method, parameters, and what the server does with it."""
    call = lambda arguments: {"name": "note", "arguments": arguments}
    yield "tools/call", call({"note": text}), "result"
    yield "tools/call", call({text: 1}), "error"
    blob = base64.b64encode(text.encode()).decode()
    yield "tools/call", call({"blob": blob, "inner": json.dumps({"deep": [{"note": text}]})}), "refusal"
    url = "https://host.example/x?z=1&q=" + quote(text, safe="")
    yield "tools/call", call({"url": url}), "structured"
    yield "resources/read", {"uri": "https://host.example/y?q=" + quote(text, safe="")}, "resource"


def forms(secret):
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    # Of base64 only what does not depend on what stands before.
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + secret.encode()).decode()
        yield whole[4 if shift else 0 : len(whole) // 4 * 4 - 4]


def client(cases, told):
    server = subprocess.Popen(
        [sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    number = 0

    def ask(method, parameters):
        nonlocal number
        number += 1
        say(server.stdin, {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters})
        while json.loads(server.stdout.readline()).get("id") != number:
            pass

    ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}})
    say(server.stdin, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    with gzip.open(cases, "rt") as lines, open(told, "w") as out:
        for case in map(json.loads, lines):
            secret = max(case.get("secrets") or [""], key=len)
            if not case["expected"] or len(secret) < 8:
                continue
            for form in {form for form in forms(secret) if len(form) >= 8}:
                out.write(json.dumps(form) + "\n")
            for method, parameters, way in calls(case["text"]):
                ask(method, parameters | {"_meta": {"text": case["text"], "way": way}})
    server.stdin.close()
    server.wait()
    print(number)


serve() if sys.argv[1] == "serve" else client(sys.argv[1], sys.argv[2])
