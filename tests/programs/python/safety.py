"""Does with TLS what shakes probes: threads, a fork with a session open, and a program executed while another reads.

    safety.py PORT AUTHORITY FIRST

Calls the server of load.py. Prints `done` when every answer was right, and ends as the program that it executed.
"""

import http.client
import json
import os
import ssl
import sys
import threading
import time

port, authority, first = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context(cafile=authority)
lock = threading.Lock()


def connect():
    return http.client.HTTPSConnection("127.0.0.1", port, context=context)


def call(connection):
    global first
    with lock:
        number = first
        first += 1
    params = {"name": "echo", "arguments": {"text": f"text {number}"}}
    body = json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})
    connection.request("POST", "/mcp", body, {"Content-Type": "application/json", "Mcp-Method": "tools/call"})
    assert f'"text {number}"'.encode() in connection.getresponse().read()


def calls(count):
    connection = connect()
    for _ in range(count):
        call(connection)
    connection.close()


threads = [threading.Thread(target=calls, args=(20,)) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

# The child goes on with a session that it inherited, the parent with one of its own.
shared = connect()
call(shared)
child = os.fork()
if child == 0:
    call(shared)
    os._exit(0)
calls(5)
assert os.waitpid(child, 0)[1] == 0

# A thread is inside the library's read when the process becomes another program.
waiting = connect()
call(waiting)
threading.Thread(target=waiting.sock.recv, args=(1,), daemon=True).start()
time.sleep(0.1)
os.execv("/bin/echo", ["echo", "done"])
