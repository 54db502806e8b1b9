"""Calls an MCP server over HTTPS on many connections at once, or is such a server. Asyncio, no SDK.

    load.py serve PORT FOLDER
    load.py call PORT AUTHORITY CONNECTIONS CALLS FIRST

Each connection makes its calls one after the other and stays until all are done. Each right answer is told by a line
with its id, counted from FIRST, and the connection's own port; the last line tells the nanoseconds that all took.
"""

import asyncio
import json
import ssl
import sys
import time

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "load", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HEADERS = (
    "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n"
)


async def head(reader):
    """The head of a message as a mapping; nothing at the end of the stream."""
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    fields = (line.split(":", 1) for line in lines[1:] if ":" in line)
    return {name.lower(): value.strip() for name, value in fields}


async def body(reader, fields):
    if "content-length" in fields:
        return await reader.readexactly(int(fields["content-length"]))
    whole = b""
    while size := int(await reader.readline(), 16):
        whole += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return whole


async def answer(reader, writer):
    while (fields := await head(reader)) is not None:
        call = json.loads(await body(reader, fields))
        content = [{"type": "text", "text": call["params"]["arguments"]["text"]}]
        text = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": {"content": content}})
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
        await writer.drain()
    writer.close()


async def serve(port, folder):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
    server = await asyncio.start_server(answer, "127.0.0.1", port, ssl=context, backlog=2048)
    await server.serve_forever()


async def connection(port, context, opening, first, calls, done):
    async with opening:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    own = writer.get_extra_info("sockname")[1]
    for number in range(first, first + calls):
        arguments = {"text": f"text {number}"}
        params = {"name": "echo", "arguments": arguments, "_meta": META}
        text = json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})
        request = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{HEADERS}Content-Length: {len(text)}\r\n\r\n"
        writer.write((request + text).encode())
        await writer.drain()
        said = await body(reader, await head(reader))
        if f'"text {number}"'.encode() in said:
            print(number, own)
    await done.wait()
    writer.close()


async def call(port, authority, connections, calls, first):
    context = ssl.create_default_context(cafile=authority)
    opening, done, started = asyncio.Semaphore(64), asyncio.Barrier(connections), time.monotonic_ns()
    numbers = range(first, first + connections * calls, calls)
    await asyncio.gather(*(connection(port, context, opening, number, calls, done) for number in numbers))
    print(time.monotonic_ns() - started)


if __name__ == "__main__":
    role, port, where, *counts = sys.argv[1:]
    asyncio.run(serve(int(port), where) if role == "serve" else call(int(port), where, *map(int, counts)))
