"""The shop's agent: works with the database and the billing service, and follows what it reads.

    agent.py URL DATABASE
"""

import asyncio
import json
import os
import pathlib
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

url, database = sys.argv[1:]
SERVER = str(pathlib.Path(sys.executable).with_name("mcp-server-sqlite"))


async def main():
    parameters = StdioServerParameters(command=SERVER, args=["--db-path", database])
    headers = {"Authorization": "Bearer " + os.environ["BILLING_TOKEN"]}
    async with stdio_client(parameters, errlog=open(os.devnull, "w")) as streams, ClientSession(*streams) as shop:
        await shop.initialize()
        await shop.list_tools()
        async with streamablehttp_client(url, headers=headers) as (read, write, _):
            async with ClientSession(read, write) as billing:
                await billing.initialize()
                await shop.call_tool("read_query", {"query": "SELECT name FROM customers WHERE id = 7"})
                await billing.call_tool("invoice", {"customer": 7})
                # One of the orders says what to do next.
                await shop.call_tool("read_query", {"query": "SELECT id, customer, note FROM orders"})
                await shop.call_tool("list_tables", {})
                await shop.call_tool("read_query", {"query": "SELECT name, token FROM service_tokens"})
                print(json.dumps({"stage": "done"}), flush=True)
                await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
