"""An MCP server that asks another: for every call of `ask` it calls a tool of a child of its own. SDK 1.x.

    relay.py --http PORT [--tool NAME --argument NAME --child PROGRAM ARGUMENT...]

Without a child it starts server.py, and calls `echo`. `ask` waits a moment before and after, so that several are open at once. The child gets the text (`text`), the trace
(`trace`) or nothing (`blind`) of what was asked; an argument of an odd name, which no tool reads, tells a test which
call belongs to which.
"""

import argparse
import asyncio
import logging
import pathlib
import random
import sys
from contextlib import asynccontextmanager

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import TextContent, Tool
from starlette.applications import Starlette
from starlette.routing import Mount
import uvicorn

parser = argparse.ArgumentParser()
parser.add_argument("--http", type=int, required=True)
parser.add_argument("--tool", default="echo")
parser.add_argument("--argument", default="text")
program = str(pathlib.Path(__file__).with_name("server.py"))
parser.add_argument("--child", nargs=argparse.REMAINDER, default=[sys.executable, program])
options = parser.parse_args()
logging.disable(logging.CRITICAL)

server = Server("relay")
sessions = StreamableHTTPSessionManager(server, json_response=True, stateless=False)
child = None


@server.list_tools()
async def tools():
    return [Tool(name="ask", description="Asks on", inputSchema={"type": "object"})]


@server.call_tool(validate_input=False)
async def ask(name, arguments):
    marks = {key: value for key, value in arguments.items() if key.startswith("call_")}
    share, meta = arguments["share"], None
    text = arguments["text"] if share == "text" else "SELECT 'nothing that was asked'"
    if share == "trace":
        given = server.request_context.meta.model_extra["traceparent"]
        version, trace, _, flags = given.split("-")
        meta = {"traceparent": f"{version}-{trace}-{random.getrandbits(64):016x}-{flags}"}
    await asyncio.sleep(random.uniform(0.001, 0.05))
    await child.call_tool(options.tool, {options.argument: text, **marks}, meta=meta)
    await asyncio.sleep(random.uniform(0.001, 0.05))
    return [TextContent(type="text", text="done")]


@asynccontextmanager
async def lifespan(_app):
    global child
    parameters = StdioServerParameters(command=options.child[0], args=options.child[1:])
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        child = session
        async with sessions.run():
            yield


application = Starlette(routes=[Mount("/mcp", app=sessions.handle_request)], lifespan=lifespan)
uvicorn.run(application, host="127.0.0.1", port=options.http, log_level="critical")
