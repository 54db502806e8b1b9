"""A client with two servers at once, which both offer a tool `echo`: official SDK, 1.x.

    two_servers.py SERVER [ARGUMENT]

Starts itself as the other server.
"""

import asyncio
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


def serve():
    from mcp.server.fastmcp import FastMCP

    server = FastMCP("other")

    @server.tool()
    def echo(text: str) -> str:
        return text

    server.run()


async def list_tools(*command):
    parameters = StdioServerParameters(command=sys.executable, args=list(command))
    async with stdio_client(parameters) as (read, write):
        async with ClientSession(read, write) as session:
            await session.initialize()
            await session.list_tools()


async def main():
    await list_tools(*sys.argv[1:])
    await list_tools(__file__, "--serve")


if sys.argv[1] == "--serve":
    serve()
else:
    asyncio.run(main())
