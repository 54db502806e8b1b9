"""An agent: calls `ask` of a server many times at once. SDK 1.x.

    agent.py URL SHARE NAME CALLS

SHARE is what the server is to pass on: `text`, `trace` or `blind`. Prints how many calls were answered.
"""

import asyncio
import random
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

url, share, name, calls = sys.argv[1:]


async def call(session, number):
    meta = None
    if share == "trace":
        meta = {"traceparent": f"00-{random.getrandbits(128):032x}-{random.getrandbits(64):016x}-01"}
    mark = f"call_{name}_{number}"
    arguments = {"share": share, "text": f"SELECT 'order {number} of agent {name}'", mark: 1}
    result = await session.call_tool("ask", arguments, meta=meta)
    return not result.isError


async def main():
    async with streamablehttp_client(url) as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            answers = await asyncio.gather(*(call(session, one) for one in range(int(calls))))
    print(sum(answers))


asyncio.run(main())
