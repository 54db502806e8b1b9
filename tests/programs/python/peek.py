"""Calls an MCP server over HTTPS, or is such a server, and looks at bytes before it takes them: by pyOpenSSL.

    peek.py serve PORT FOLDER
    peek.py call PORT AUTHORITY CALLS FIRST
    peek.py call_ex PORT AUTHORITY CALLS FIRST

One connection at a time. Each right answer is told by a line with its id, counted from FIRST, and the connection's own
port. `call_ex` goes to the host's libssl and uses `SSL_peek_ex` and its kin, which pyOpenSSL has no way to.
"""

import ctypes
import ctypes.util
import json
import socket
import sys

from OpenSSL import SSL

from load import HEADERS, META

AT_ONCE = 65536
# What a call says: less than a record, and more than one.
TEXTS = ("x", "long " * 200, "longer " * 6000)


class Connection:
    """A connection of pyOpenSSL."""

    def __init__(self, plain, context, is_server):
        self.connection = SSL.Connection(context, plain)
        self.connection.set_accept_state() if is_server else self.connection.set_connect_state()
        self.connection.do_handshake()

    def peek(self, most):
        return self.connection.recv(most, socket.MSG_PEEK)

    def read(self, most):
        return self.connection.recv(most)

    def write(self, whole):
        self.connection.sendall(whole)


class Extended:
    """A connection by the host's libssl, by the functions that end in `_ex`."""

    library = ctypes.CDLL(ctypes.util.find_library("ssl"))
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(library, name).restype = ctypes.c_void_p
    VERIFY_PEER = 1

    def __init__(self, plain, authority):
        def must(result):
            if result != 1:
                raise OSError("libssl refused")

        library, self.plain = self.library, plain
        context = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(library.TLS_client_method())))
        must(library.SSL_CTX_load_verify_locations(context, authority.encode(), None))
        library.SSL_CTX_set_verify(context, self.VERIFY_PEER, None)
        self.connection = ctypes.c_void_p(library.SSL_new(context))
        must(library.SSL_set_fd(self.connection, plain.fileno()))
        must(library.SSL_connect(self.connection))

    def _taken(self, function, most):
        buffer, count = ctypes.create_string_buffer(most), ctypes.c_size_t()
        if function(self.connection, buffer, ctypes.c_size_t(most), ctypes.byref(count)) != 1:
            return b""
        return buffer.raw[: count.value]

    def peek(self, most):
        return self._taken(self.library.SSL_peek_ex, most)

    def read(self, most):
        return self._taken(self.library.SSL_read_ex, most)

    def write(self, whole):
        count = ctypes.c_size_t()
        written = self.library.SSL_write_ex(self.connection, whole, ctypes.c_size_t(len(whole)), ctypes.byref(count))
        if written != 1 or count.value != len(whole):
            raise OSError("not all was written")


def take(connection):
    """Some bytes, which were looked at twice before; half of what was seen, so that the rest is looked at again."""
    seen = connection.peek(AT_ONCE)
    if connection.peek(1) != seen[:1]:
        raise OSError("what was seen is gone")
    taken = connection.read(max(1, len(seen) // 2))
    if not seen.startswith(taken):
        raise OSError("other bytes were seen than are there")
    return taken


def message(connection):
    """The body of the next message."""
    whole = b""
    while b"\r\n\r\n" not in whole:
        whole += take(connection)
    head, body = whole.split(b"\r\n\r\n", 1)
    size = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < size:
        body += take(connection)
    return json.loads(body)


def serve(port, folder):
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(folder + "/server.pem")
    context.use_privatekey_file(folder + "/server.key")
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        plain, _ = listener.accept()
        try:
            connection = Connection(plain, context, is_server=True)
            while True:
                call = message(connection)
                content = [{"type": "text", "text": call["params"]["arguments"]["text"]}]
                text = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": {"content": content}})
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
                connection.write((head + text).encode())
        except SSL.Error:
            plain.close()


def call(port, calls, first, connected):
    plain = socket.create_connection(("127.0.0.1", port))
    connection = connected(plain)
    for number in range(first, first + calls):
        text = TEXTS[number % len(TEXTS)]
        params = {"name": "echo", "arguments": {"text": text}, "_meta": META}
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})
        head = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{HEADERS}Content-Length: {len(body)}\r\n\r\n"
        connection.write((head + body).encode())
        if message(connection)["result"]["content"][0]["text"] == text:
            print(number, plain.getsockname()[1])


def trusting(plain, authority):
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(authority)
    context.set_verify(SSL.VERIFY_PEER)
    return Connection(plain, context, is_server=False)


role, port, where, *counts = sys.argv[1:]
if role == "serve":
    serve(int(port), where)
else:
    means = Extended if role == "call_ex" else trusting
    call(int(port), *map(int, counts), lambda plain: means(plain, where))
