"""The shop's billing service: an MCP server over HTTP that asks for a token, and asks a database server of its own.

    billing.py PORT DATABASE
"""

import contextlib
import json
import logging
import os
import pathlib
import sys
import urllib.request

import anyio
import uvicorn
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.server.fastmcp import FastMCP
from starlette.responses import JSONResponse

port, database = int(sys.argv[1]), sys.argv[2]
SERVER = str(pathlib.Path(sys.executable).with_name("mcp-server-sqlite"))
logging.disable(logging.CRITICAL)
service = FastMCP("billing", json_response=True, log_level="CRITICAL")
child = None


async def query(tool, text):
    answer = await child.call_tool(tool, {"query": text})
    return answer.content[0].text


@service.tool()
async def invoice(customer: int) -> str:
    """The newest invoice of a customer."""
    return await query("read_query", f"SELECT id, name FROM customers WHERE id = {customer}")


@service.tool()
async def export(to: str) -> str:
    """Sends the customers to another system."""
    rows = await query("read_query", "SELECT id, name, email FROM customers")
    request = urllib.request.Request(to, data=rows.encode(), method="POST")
    with await anyio.to_thread.run_sync(urllib.request.urlopen, request) as answer:
        return str(answer.status)


@service.tool()
async def purge() -> str:
    """Deletes old notes of access."""
    return await query("write_query", "DELETE FROM access_notes")


class Guard:
    """Lets through who has the token."""

    def __init__(self, inner):
        self.inner = inner

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            shown = dict(scope["headers"]).get(b"authorization", b"")
            if shown != b"Bearer " + os.environ["BILLING_TOKEN"].encode():
                refusal = JSONResponse({"error": "invalid_token"}, 401, {"WWW-Authenticate": 'Bearer realm="billing"'})
                return await refusal(scope, receive, send)
        return await self.inner(scope, receive, send)


async def main():
    global child
    server = StdioServerParameters(command=SERVER, args=["--db-path", database])
    async with contextlib.AsyncExitStack() as stack:
        streams = await stack.enter_async_context(stdio_client(server, errlog=open(os.devnull, "w")))
        child = await stack.enter_async_context(ClientSession(*streams))
        await child.initialize()
        config = uvicorn.Config(Guard(service.streamable_http_app()), host="127.0.0.1", port=port, log_level="critical")
        web = uvicorn.Server(config)

        async def announce():
            while not web.started:
                await anyio.sleep(0.01)
            print(json.dumps({"stage": "listening"}), flush=True)

        async with anyio.create_task_group() as group:
            group.start_soon(announce)
            await web.serve()


anyio.run(main)
