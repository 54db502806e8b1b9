"""A small MCP server on the official SDK, 1.x or 2.x.

    server.py [--http PORT [--tls FOLDER] | --http2 PORT --tls FOLDER | --sse PORT | --websocket PORT [--tls FOLDER]]
    (without any: stdio)

A WebSocket only with 1.x, whose last versions still have it; HTTP/2 only there, too, where Hypercorn is installed.
"""

import argparse
import asyncio
import logging

try:
    from mcp.server.mcpserver import Context, MCPServer

    SDK = 2
except ImportError:
    from mcp.server.fastmcp import Context, FastMCP as MCPServer

    SDK = 1
from pydantic import BaseModel

parser = argparse.ArgumentParser()
parser.add_argument("--http", type=int)
parser.add_argument("--http2", type=int)
parser.add_argument("--sse", type=int)
parser.add_argument("--websocket", type=int)
parser.add_argument("--tls")
parser.add_argument("--host", default="127.0.0.1")
options = parser.parse_args()
logging.disable(logging.CRITICAL)

port = options.http or options.http2 or options.sse
where = {"host": options.host, "port": port} if port else {}
server = MCPServer("example", **(where if SDK == 1 else {}))


class Answer(BaseModel):
    name: str


@server.tool()
def echo(text: str) -> str:
    return text


@server.tool()
def add(a: int, b: int) -> int:
    return a + b


@server.tool()
def fail() -> str:
    raise ValueError("this tool always fails")


@server.tool()
async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@server.tool()
async def progress(steps: int, ctx: Context) -> str:
    for step in range(steps):
        await ctx.report_progress(step + 1, steps)
    return "done"


@server.tool()
async def ask(ctx: Context) -> str:
    answer = await ctx.elicit("Who are you?", Answer)
    return str(answer.action)


@server.resource("note://one")
def note() -> str:
    return "a note"


@server.prompt()
def greet(name: str) -> str:
    return f"Greet {name}."


pair = {"certfile": f"{options.tls}/server.pem", "keyfile": f"{options.tls}/server.key"} if options.tls else {}
for_uvicorn = {"host": "127.0.0.1", **{f"ssl_{name}": path for name, path in pair.items()}}

if options.http2:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config.from_mapping(bind=f"127.0.0.1:{options.http2}", **pair)
    asyncio.run(serve(server.streamable_http_app(), config))
elif options.http and options.tls:
    import uvicorn

    uvicorn.run(server.streamable_http_app(), port=options.http, **for_uvicorn)
elif options.http:
    server.run("streamable-http", **(where if SDK == 2 else {}))
elif options.websocket:
    import uvicorn
    from mcp.server.websocket import websocket_server

    async def serve(scope, receive, send):
        if scope["type"] != "websocket":
            return
        async with websocket_server(scope, receive, send) as (read, write):
            inner = server._mcp_server
            await inner.run(read, write, inner.create_initialization_options())

    uvicorn.run(serve, port=options.websocket, lifespan="off", **for_uvicorn)
elif options.sse:
    server.run("sse", **(where if SDK == 2 else {}))
else:
    server.run("stdio")
