"""Records the captures that `auditor-user/tests/replays.rs` plays, anew. Needs root, and what the end-to-end tests need.

    record.py AUDITOR [NAME ...]

Where the programs are is told by the variables that `cargo xtask test e2e` sets. Each session of real programs is
played under an auditor of its own with `--record`. What is left of its capture: the session's processes, without the
paths, users and cgroups of this host, and the streams of theirs that carry JSON-RPC or HTTP. Beside it stands what a
replay tells, which is to be looked at before it is committed.
"""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join(os.path.dirname(HERE), "programs")
PYTHON_1, PYTHON_2 = os.environ.get("AUDITOR_E2E_PYTHON_1"), os.environ.get("AUDITOR_E2E_PYTHON_2")
NODE, GO = os.environ.get("AUDITOR_E2E_NODE"), os.environ.get("AUDITOR_E2E_GO")
RUST = os.environ.get("AUDITOR_E2E_RUST")
SCENARIO = [
    {"do": "list_tools"},
    {"do": "call_tool", "name": "echo", "arguments": {"text": "hello"}},
    {
        "do": "parallel",
        "of": [
            {"do": "call_tool", "name": "slow", "arguments": {"seconds": 1.2}},
            {"do": "call_tool", "name": "add", "arguments": {"a": 1, "b": 2}},
        ],
    },
    {"do": "call_tool", "name": "fail"},
    {"do": "call_tool", "name": "progress", "arguments": {"steps": 2}},
    {"do": "call_tool", "name": "ask"},
    {"do": "read_resource", "uri": "note://one"},
]

# Kinds of records and their layout: auditor-common/src/record.rs.
DATA, OBJECT, END, FORK, EXEC, EXIT, CGROUP, BIND, MAPPED = range(1, 10)
HEADER = struct.Struct("<BBBBIQQIIQQQIIQ")
MESSAGES = (b'"jsonrpc"', b"HTTP/1.1")


def python(interpreter, role):
    return [interpreter, os.path.join(PROGRAMS, "python", role + ".py")]


def node(script):
    return ["node", os.path.join(NODE, script)]


def bun(script):
    return [os.path.join(NODE, "node_modules/@oven/bun-linux-x64/bin/bun"), os.path.join(NODE, script)]


def deno(script):
    program = os.path.join(NODE, "node_modules/@deno/linux-x64-glibc/deno")
    return [program, "run", "-A", "--no-lock", "--node-modules-dir=manual", os.path.join(NODE, script)]


def secure(client, server, mode="auto"):
    """A session over HTTPS."""
    return lambda port: ([*client, "--mode", mode], "http", [*server, "--http", port, "--tls", CERTIFICATES], "/mcp")


# Name: client with its mode, transport, server behind its port, path.
SESSIONS = {
    "python_stdio": lambda port: (
        [*python(PYTHON_2, "client"), "--mode", "auto"], None, python(PYTHON_2, "server"), ""),
    "typescript_http": lambda port: (
        [*node("client.mjs"), "--sdk", "2", "--mode", "2026-07-28"], "http", [*node("server-2.mjs"), "--http", port], "/mcp"),
    "go_http": lambda port: (
        [GO + "/client", "--mode", "auto"], "http", [GO + "/server", "--http", port], "/mcp"),
    "python_sse": lambda port: (
        [*python(PYTHON_1, "client"), "--mode", "legacy"], "sse", [*python(PYTHON_1, "server"), "--sse", port], "/sse"),
    "supergateway": lambda port: (
        [*node("client.mjs"), "--sdk", "1", "--mode", "legacy"], "http",
        [*node("node_modules/supergateway/dist/index.js"), "--stateful", "--outputTransport", "streamableHttp",
         "--port", port, "--stdio", " ".join(python(PYTHON_1, "server"))], "/mcp"),
    # One for each TLS stack.
    "python_https": secure(python(PYTHON_2, "client"), python(PYTHON_2, "server")),
    "node_https": secure([*node("client.mjs"), "--sdk", "2"], node("server-2.mjs")),
    "go_https": secure([GO + "/client"], [GO + "/server"]),
    "rust_https": secure([RUST + "/client"], [RUST + "/server"]),
    "rust_ring_https": secure([RUST + "/client-ring"], [RUST + "/server-ring"]),
    "bun_https": secure([*bun("client.mjs"), "--sdk", "2"], bun("server-2.mjs")),
    "deno_https": secure([*deno("client.mjs"), "--sdk", "1"], deno("server-1.mjs"), "legacy"),
    "gnutls_https": secure(["gnutls-cli"], python(PYTHON_2, "server")),
}  # fmt: skip


CERTIFICATES = tempfile.mkdtemp()
SERVER = "subjectAltName = IP:127.0.0.1\nextendedKeyUsage = serverAuth\nbasicConstraints = critical, CA:FALSE\n"
CALL = json.dumps({
    "jsonrpc": "2.0", "id": 1, "method": "tools/call",
    "params": {"name": "echo", "arguments": {"text": "hello"}, "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "one", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }},
})  # fmt: skip


def certify():
    """Makes an authority, and the certificate of servers, as `tests/src/certificates.rs` does."""
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    with open(CERTIFICATES + "/server.ext", "w") as file:
        file.write(SERVER)
    for line in (
        f"req -x509 -days 2 {key} -addext keyUsage=critical,keyCertSign -subj /CN=authority -keyout ca.key -out ca.pem",
        f"req {key} -subj /CN=localhost -keyout server.key -out server.csr",
        "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile server.ext -out server.pem",
    ):
        subprocess.run(["openssl", *line.split()], cwd=CERTIFICATES, check=True, capture_output=True)
    for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "DENO_CERT"):
        os.environ[name] = CERTIFICATES + "/ca.pem"


def meet(program, log, quiet):
    """Waits until the auditor hears the TLS stack in a program, which is started for that."""
    told = f"file={os.path.realpath(program)} "
    if not os.path.isabs(program) or program in (PYTHON_1, PYTHON_2):
        return
    running = subprocess.Popen([program], stdin=subprocess.DEVNULL, **quiet)
    wait_for("TLS of " + program, lambda: any("TLS is heard" in line and told in line for line in text(log).splitlines()))
    running.kill()
    running.wait()


def gnutls(port, quiet):
    """One call by gnutls-cli, which writes what it reads."""
    headers = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    headers += "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\nConnection: close\r\n"
    request = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}Content-Length: {len(CALL)}\r\n\r\n{CALL}"
    words = ["gnutls-cli", f"--x509cafile={CERTIFICATES}/ca.pem", f"--port={port}", "127.0.0.1"]
    client = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    client.stdin.write(request)
    client.stdin.flush()
    while '"result"' not in (line := client.stdout.readline()):
        assert line, "gnutls-cli got no answer"
    client.stdin.close()
    client.wait(30)
    return client


def wait_for(what, poll):
    deadline = time.monotonic() + 30
    while not poll():
        if time.monotonic() > deadline:
            sys.exit(f"waited in vain for {what}")
        time.sleep(0.02)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def text(path):
    return open(path).read() if os.path.exists(path) else ""


def play(name, auditor, folder):
    """Plays a session under an auditor; gives the capture and the processes that were started for it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client, transport, server, path = SESSIONS[name](str(port))
    capture, log, truth = (os.path.join(folder, part) for part in ("capture", "log", "truth"))
    scenario = os.path.join(folder, "scenario")
    with open(scenario, "w") as file:
        json.dump(SCENARIO, file)
    daemon = [auditor, "run", "--record", capture, "--data-dir", folder + "/data", "--events", folder + "/events"]
    daemon = subprocess.Popen(daemon, stderr=open(log, "w"))
    wait_for("the auditor", lambda: "\nready\n" in "\n" + text(log))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    pids = []
    client += ["--truth", truth, "--scenario", scenario]
    is_secure = "--tls" in server
    if is_secure:
        meet(client[0], log, quiet)
        meet(server[0], log, quiet)
    if transport:
        server = subprocess.Popen(server, stdin=subprocess.DEVNULL, **quiet)
        pids.append(server.pid)
        wait_for("the server", lambda: listens(port))
        client += ["--" + transport, f"http{'s' * is_secure}://127.0.0.1:{port}{path}"]
    else:
        client += ["--", *server]
    if client[0] == "gnutls-cli":
        pids.append(gnutls(port, quiet).pid)
    else:
        client = subprocess.Popen(client, stdin=subprocess.PIPE, **quiet)
        pids.append(client.pid)
        wait_for("the scenario", lambda: '"done"' in text(truth))
        client.stdin.close()
        client.wait(30)
    if transport:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    daemon.send_signal(signal.SIGTERM)
    if daemon.wait(30):
        sys.exit(text(log))
    return open(capture, "rb").read(), pids


def records(capture):
    position = 16
    while position < len(capture):
        (length,) = struct.unpack_from("<I", capture, position)
        position += 4
        yield capture[position : position + length]
        position += length


class Record:
    def __init__(self, data):
        self.data = data
        fields = HEADER.unpack_from(data)
        self.kind, self.length, self.pid, self.stream = fields[0], fields[4], fields[7], (fields[9], fields[10])


def restricted(capture, pids):
    """What of a capture belongs to these processes and those they started."""
    pids = set(pids)
    all_records = [Record(data) for data in records(capture)]
    kept_streams, own_streams = set(), set()
    for record in all_records:
        if record.kind == FORK and record.pid in pids:
            pids.add(struct.unpack_from("<I", record.data, HEADER.size + 8)[0])
        if record.kind == DATA and record.pid in pids:
            own_streams.add(record.stream)
    # Not what this program itself says to one of them.
    own_streams -= {record.stream for record in all_records if record.kind == DATA and record.pid == os.getpid()}
    for record in all_records:
        if record.stream in own_streams and any(mark in record.data[HEADER.size :] for mark in MESSAGES):
            kept_streams.add(record.stream)
    # A session that was bound goes on as another stream.
    for record in all_records:
        if record.kind == BIND:
            bound = struct.unpack_from("<QQ", record.data, HEADER.size)
            if record.stream in kept_streams or bound in kept_streams:
                kept_streams |= {record.stream, bound}
    kept = []
    for record in all_records:
        is_stream = record.kind in (DATA, OBJECT, END, BIND)
        is_process = record.kind in (FORK, EXEC, EXIT) and record.pid in pids
        if record.stream in kept_streams if is_stream else is_process:
            kept.append(sanitised(record.data) if record.kind == EXEC else record.data)
    # A round time of boot instead of this host's.
    head = capture[:8] + struct.pack("<Q", 1_800_000_000_000_000_000)
    return head + b"".join(struct.pack("<I", len(data)) + data for data in kept)


def sanitised(data):
    """The record of a program without what is this host's: paths, file, user, cgroup."""
    exec_part = struct.Struct("<5Q6I")
    *_, parent_start, parent, _, _, _, path_len, args_len = exec_part.unpack_from(data, HEADER.size)
    strings = data[HEADER.size + exec_part.size :]
    path, args = strings[:path_len], strings[path_len : path_len + args_len]
    path = path.split(b"\0")[0] + b"\0programs\0opt\0"
    args = re.sub(rb"(?<![\w:/.])(?:/[\w.@+-]+)+/([\w.@+-]+)", rb"/opt/programs/\1", args)
    header = list(HEADER.unpack_from(data))
    header[4] = len(path) + len(args)
    part = exec_part.pack(0, 0, 0, 0, parent_start, parent, 0, 1000, 1000, len(path), len(args))
    return HEADER.pack(*header) + part + path + args


def stable(line):
    """What of an event is the same on every host. `auditor-user/tests/replays.rs` does the same."""
    event = json.loads(line)
    mcp = event["unmapped"]["mcp"]
    told = {name: mcp[name] for name in ("kind", "stage", "direction", "method", "id", "target", "transport")}
    told["encrypted"], told["binding"] = mcp["encrypted"], mcp["binding"] and mcp["binding"]["method"]
    told["status_id"] = event["status_id"]
    for part in ("request", "response"):
        told[part] = mcp[part] and [mcp[part]["bytes"], mcp[part]["hash"]]
    for side in ("client", "server"):
        told[side] = mcp[side] and mcp[side]["pid"]
    return told


def main():
    auditor, *names = sys.argv[1:]
    certify()
    for name in names or SESSIONS:
        with tempfile.TemporaryDirectory() as folder:
            capture, pids = play(name, auditor, folder)
            path = os.path.join(HERE, name + ".capture")
            with open(path, "wb") as file:
                file.write(restricted(capture, pids))
        told = subprocess.run([auditor, "run", "--replay", path, "--events", "-"], capture_output=True, check=True)
        with open(os.path.join(HERE, name + ".jsonl"), "w") as file:
            for line in told.stdout.splitlines():
                file.write(json.dumps(stable(line)) + "\n")
        print(name, len(capture), "bytes,", os.path.getsize(path), "kept,", len(told.stdout.splitlines()), "events")


main()
