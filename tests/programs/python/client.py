"""A small MCP client on the official SDK, 1.x or 2.x.

    client.py --truth FILE --scenario FILE [--mode MODE] (--http URL | --http2 URL | --sse URL | --websocket URL | -- COMMAND ...)

Plays the scenario and writes every message that the SDK's transport took or gave to the truth file, one
`{"dir": "sent" | "received", "message": {...}}` a line. The SDK is not changed: the log sits
between its session and its transport. HTTP/2 only with 1.x. At the end `{"done": true}` is written, and the
connection is kept until standard input ends.
"""

import argparse
import asyncio
import json
import sys
from contextlib import asynccontextmanager

from mcp import StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client

try:
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp_types import ElicitResult
except ImportError:
    Client = None
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client as streamable_http_client
    from mcp.types import ElicitResult

parser = argparse.ArgumentParser()
parser.add_argument("--truth", required=True)
parser.add_argument("--scenario", required=True)
parser.add_argument("--mode", default="legacy")
parser.add_argument("--http")
parser.add_argument("--http2")
parser.add_argument("--sse")
parser.add_argument("--websocket")
parser.add_argument("command", nargs="*")
options = parser.parse_args()
truth = open(options.truth, "w", buffering=1)


def note(direction, item):
    if isinstance(item, Exception):
        return
    message = json.loads(item.message.model_dump_json(by_alias=True, exclude_unset=True))
    truth.write(json.dumps({"dir": direction, "message": message}) + "\n")


class Tap:
    """A stream of the SDK that notes what passes."""

    def __init__(self, stream):
        self.stream = stream

    async def send(self, item):
        note("sent", item)
        await self.stream.send(item)

    async def receive(self):
        item = await self.stream.receive()
        note("received", item)
        return item

    def __aiter__(self):
        return self

    async def __anext__(self):
        item = await self.stream.__anext__()
        note("received", item)
        return item

    async def __aenter__(self):
        await self.stream.__aenter__()
        return self

    async def __aexit__(self, *raised):
        return await self.stream.__aexit__(*raised)

    def __getattr__(self, name):
        return getattr(self.stream, name)


async def must_be_http2(response):
    if response.http_version != "HTTP/2":
        sys.exit(f"the server answered by {response.http_version}")


def http2_client(**given):
    import httpx

    return httpx.AsyncClient(http2=True, event_hooks={"response": [must_be_http2]}, **given)


def transport():
    if options.http:
        return streamable_http_client(options.http)
    if options.http2:
        return streamable_http_client(options.http2, httpx_client_factory=http2_client)
    if options.sse:
        return sse_client(options.sse)
    if options.websocket:
        from mcp.client.websocket import websocket_client

        return websocket_client(options.websocket)
    return stdio_client(StdioServerParameters(command=options.command[0], args=options.command[1:]))


@asynccontextmanager
async def tapped():
    async with transport() as (read, write, *_):
        yield Tap(read), Tap(write)


async def elicited(*_):
    return ElicitResult(action="accept", content={"name": "client"})


@asynccontextmanager
async def connected():
    if Client is not None:
        async with Client(tapped(), mode=options.mode, elicitation_callback=elicited) as client:
            yield client
    else:
        async with tapped() as (read, write):
            async with ClientSession(read, write, elicitation_callback=elicited) as client:
                await client.initialize()
                yield client


async def play(client, step):
    what = step["do"]
    try:
        if what == "parallel":
            await asyncio.gather(*(play(client, part) for part in step["of"]))
        elif what == "call_tool":
            await client.call_tool(step["name"], step.get("arguments", {}))
        elif what == "read_resource":
            await client.read_resource(step["uri"])
        elif what == "get_prompt":
            await client.get_prompt(step["name"], step.get("arguments", {}))
        elif what == "ping":
            await client.send_ping()
        else:
            await getattr(client, what)()
    except Exception as error:  # noqa: BLE001  the scenario asks for errors, too
        print(f"{what}: {error}", file=sys.stderr)


async def main():
    async with connected() as client:
        for step in json.load(open(options.scenario)):
            await play(client, step)
        truth.write('{"done": true}\n')
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
