"""Plays short MCP sessions over every kernel object and by every system call that can carry them.

Nothing of MCP's own is needed: what counts is how the bytes move. Prints one JSON line for each call made: its
name (the target of the tools/call), what the auditor must say of it ("heard" or "gap"), the client's process, and
when the client had read the answer (nanoseconds since the Unix epoch; null where that does not count).
"""

import array
import json
import os
import pty
import select
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tty

HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "objects", "version": "1"}},
}

# What carries a case, where it is not what carries standard input and output.
TRANSPORTS = {"unix_socket": "unix", "tcp4": "tcp", "tcp6": "tcp"}


def line(message):
    return (json.dumps(message) + "\n").encode()


def call(name, number=1, size=0):
    arguments = {"fill": "x" * size}
    return line({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": name, "arguments": arguments}})


def answer(number):
    return line({"jsonrpc": "2.0", "id": number, "result": {"content": []}})


def hello(number=0):
    result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "objects", "version": "1"}}
    return line({"jsonrpc": "2.0", "id": number, "result": result})


def read_line(read):
    data = b""
    while not data.endswith(b"\n"):
        piece = read(65536)
        if not piece:
            return data
        data += piece
    return data


def serve(read, write):
    """Answers every request in a process of its own."""
    while True:
        data = read_line(read)
        if not data:
            return
        for text in data.splitlines():
            try:
                message = json.loads(text)
            except ValueError:
                continue
            if "id" in message:
                write(hello() if message["method"] == "initialize" else answer(message["id"]))


def forked(work):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def answered(read):
    """Reads the answer, and tells when it was there."""
    read_line(read)
    return time.time_ns()


def report(name, read_at, expected="heard", client=None):
    told = {"name": name, "expected": expected, "client": client or os.getpid(), "read_at": read_at}
    told["transport"] = TRANSPORTS.get(name, "stdio")
    print(json.dumps(told), flush=True)


def session(name, out, back, write=os.write, setup=b"", client=lambda: None, dawdle=0):
    """A session from this end: `write` sends the call, `setup` goes before everything, `dawdle` before the answer."""
    if setup:
        os.write(out, setup)
    os.write(out, line(HELLO))
    read_line(lambda size: os.read(back, size))
    write(out, call(name))
    select.select([back], [], [])
    time.sleep(dawdle)
    read_at = answered(lambda size: os.read(back, size))
    report(name, read_at, client=client())


def pipes(name, **how):
    to_server, from_server = os.pipe(), os.pipe()

    def work():
        os.close(to_server[1])
        os.close(from_server[0])
        serve(lambda size: os.read(to_server[0], size), lambda data: os.write(from_server[1], data))

    pid = forked(work)
    os.close(to_server[0])
    os.close(from_server[1])
    session(name, to_server[1], from_server[0], **how)
    os.close(to_server[1])
    os.close(from_server[0])
    os.waitpid(pid, 0)


def byte_by_byte(fd, data):
    for byte in data:
        os.write(fd, bytes([byte]))


def by_vector(fd, data):
    os.writev(fd, [data[:3], b"", data[3:20], data[20:]])


def large_vector(fd, data):
    os.writev(fd, [data[:90], data[90:], b" " * 20000 + b"\n"])


def duplicated(fd, data):
    other = os.dup(fd)
    os.write(other, data[:10])
    os.write(fd, data[10:])
    os.close(other)


def fifo(name):
    folder = tempfile.mkdtemp()
    paths = [os.path.join(folder, part) for part in ("in", "out")]
    for path in paths:
        os.mkfifo(path)

    def work():
        read, write = os.open(paths[0], os.O_RDONLY), os.open(paths[1], os.O_WRONLY)
        serve(lambda size: os.read(read, size), lambda data: os.write(write, data))

    pid = forked(work)
    out, back = os.open(paths[0], os.O_WRONLY), os.open(paths[1], os.O_RDONLY)
    session(name, out, back)
    os.close(out)
    os.close(back)
    os.waitpid(pid, 0)


def sockets(name, server, client):
    """`server` accepts in its own process, `client` connects in this one."""
    pid = forked(lambda: serve_socket(server.accept()[0]))
    peer = client()
    peer.sendall(line(HELLO))
    read_line(peer.recv)
    peer.sendmsg([call(name)[:5], call(name)[5:]])
    report(name, answered(peer.recv))
    peer.close()
    os.waitpid(pid, 0)


def serve_socket(peer):
    serve(peer.recv, peer.sendall)


def socketpair(name, **how):
    ours, theirs = socket.socketpair()

    def work():
        ours.close()
        serve_socket(theirs)

    pid = forked(work)
    theirs.close()
    session(name, ours.fileno(), ours.fileno(), **how)
    ours.close()
    os.waitpid(pid, 0)


def unix(name):
    path = os.path.join(tempfile.mkdtemp(), "socket")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def client():
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(path)
        return peer

    sockets(name, server, client)


def tcp(name, family, address):
    server = socket.socket(family)
    server.bind((address, 0))
    server.listen()

    def client():
        peer = socket.socket(family)
        peer.connect(server.getsockname()[:2])
        return peer

    sockets(name, server, client)


def passed(name):
    """The writing end travels to another process, which makes the call."""
    ours, theirs = socket.socketpair()
    to_server, from_server = os.pipe(), os.pipe()
    server = forked(lambda: (os.close(to_server[1]), serve(lambda size: os.read(to_server[0], size), lambda data: os.write(from_server[1], data))))

    def work():
        os.close(to_server[1])
        _, control, _, _ = theirs.recvmsg(1, 1024)
        fds = array.array("i")
        fds.frombytes(control[0][2][:8])
        session(name, fds[0], fds[1])

    ours.set_inheritable(True)
    client = forked(work)
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [to_server[1], from_server[0]]))])
    os.waitpid(client, 0)
    os.close(to_server[1])
    os.close(from_server[0])
    os.waitpid(server, 0)


def terminal(name):
    pid, master = pty.fork()
    if pid == 0:
        tty.setraw(0, termios.TCSANOW)
        os.write(1, b"ready\n")
        serve(lambda size: os.read(0, size), lambda data: os.write(1, data))
        os._exit(0)
    read_line(lambda size: os.read(master, size))
    session(name, master, master)
    os.close(master)
    os.waitpid(pid, 0)


def spliced(name):
    """The call moves from a pipe into the session's pipe by splice: read by the server with read, so heard."""

    def write(fd, data):
        read_end, write_end = os.pipe()
        os.write(write_end, data)
        os.splice(read_end, fd, len(data))
        os.close(read_end)
        os.close(write_end)

    pipes(name, write=write)


def by_io_uring(name):
    """The call moves into the pipe by io_uring, from another process: the reader shows it."""

    writers = []

    def write(fd, data):
        program = [os.environ["AUDITOR_E2E_SELF"], "io-uring-write"]
        writer = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=fd)
        writer.communicate(data)
        writers.append(writer.pid)

    pipes(name, write=write, client=lambda: writers[-1])


def spliced_at_both_ends(name):
    """Neither end shows its bytes: nothing can be heard, and that must be said."""
    to_server, from_server, inner = os.pipe(), os.pipe(), os.pipe()

    def work():
        os.close(to_server[1])
        os.close(from_server[0])
        null = os.open("/dev/null", os.O_WRONLY)
        read_line(lambda size: os.read(to_server[0], size))
        os.write(from_server[1], hello())
        while moved := os.splice(to_server[0], null, 1 << 16):
            os.write(from_server[1], answer(1))

    pid = forked(work)
    os.close(to_server[0])
    os.close(from_server[1])
    os.write(to_server[1], line(HELLO))
    read_line(lambda size: os.read(from_server[0], size))
    data = call(name)
    os.write(inner[1], data)
    os.splice(inner[0], to_server[1], len(data))
    read_line(lambda size: os.read(from_server[0], size))
    os.close(to_server[1])
    os.waitpid(pid, 0)
    report(name, None, "gap")


def sent_file(name):
    """The call moves from a file into a socket by sendfile: the reader shows it."""
    ours, theirs = socket.socketpair()
    pid = forked(lambda: (ours.close(), serve_socket(theirs)))
    theirs.close()

    def write(fd, data):
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            os.sendfile(fd, file.fileno(), 0, len(data))

    session(name, ours.fileno(), ours.fileno(), write=write)
    ours.close()
    os.waitpid(pid, 0)


def two_writers(name):
    """Two processes take turns in writing to one pipe; each writes whole lines."""
    writers = []

    def write(fd, data):
        writers.append(forked(lambda: os.write(fd, data)))
        os.waitpid(writers[-1], 0)

    pipes(name, write=write, client=lambda: writers[-1])


def in_one_process(name):
    """Client and server are threads of one process."""
    to_server, from_server = os.pipe(), os.pipe()
    server = threading.Thread(
        target=serve, args=(lambda size: os.read(to_server[0], size), lambda data: os.write(from_server[1], data))
    )
    server.start()
    session(name, to_server[1], from_server[0])
    os.close(to_server[1])
    server.join()


CASES = {
    "pipe": lambda name: pipes(name),
    "byte_by_byte": lambda name: pipes(name, write=byte_by_byte),
    "vector": lambda name: pipes(name, write=by_vector),
    "large_vector_after_binary": lambda name: pipes(name, setup=bytes(range(256)) * 400 + b"\n", write=large_vector),
    "duplicated_descriptors": lambda name: pipes(name, write=duplicated),
    "two_writers": two_writers,
    "after_log_lines": lambda name: pipes(name, setup=b"INFO started\n" * 1000),
    "after_json_log_lines": lambda name: pipes(name, setup=b'{"level":"info"}\n' * 3000),
    "after_binary": lambda name: pipes(name, setup=bytes(range(256)) * 200 + b"\n"),
    "after_tls_like": lambda name: pipes(name, setup=b"\x16\x03\x01\x02\x00" + b"\x00" * 20000 + b"\n"),
    "byte_by_byte_after_binary": lambda name: pipes(name, setup=b"\x00\xff" * 20000 + b"\n", write=byte_by_byte),
    "fifo": fifo,
    "socketpair": socketpair,
    # The event must wait for the reader. On one channel, for pipes wait anyway until they are joined.
    "answer_read_late": lambda name: socketpair(name, dawdle=0.01),
    "unix_socket": unix,
    "tcp4": lambda name: tcp(name, socket.AF_INET, "127.0.0.1"),
    "tcp6": lambda name: tcp(name, socket.AF_INET6, "::1"),
    "terminal": terminal,
    "passed_descriptor": passed,
    "spliced": spliced,
    "io_uring": by_io_uring,
    "spliced_at_both_ends": spliced_at_both_ends,
    "sent_file": sent_file,
    "in_one_process": in_one_process,
}


def main():
    for name in sys.argv[1:] or CASES:
        CASES[name](name)


main()
