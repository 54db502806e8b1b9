"""A client that shows a token: begins a session, calls `echo`, prints the session's id, and stays until its input ends.

    bearer.py URL TOKEN-FILE        SDK 1.x
"""

import asyncio
import pathlib
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

url, token = sys.argv[1], pathlib.Path(sys.argv[2]).read_text()


async def main():
    headers = {"Authorization": f"Bearer {token}"}
    async with streamablehttp_client(url, headers=headers) as (read, write, session_id):
        async with ClientSession(read, write) as session:
            await session.initialize()
            await session.call_tool("echo", {"text": "hello"})
            print(session_id(), flush=True)
            await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
