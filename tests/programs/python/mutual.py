"""MCP over TLS 1.2 in which both ends show certificates.

    mutual.py server PORT FOLDER        folder with server.pem, server.key, and clients.pem: whom to trust
    mutual.py client URL FOLDER NAME    folder with ca.pem, NAME.pem and NAME.key; calls `echo`, SDK 1.x
"""

import asyncio
import logging
import pathlib
import ssl
import sys

role, where, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
logging.disable(logging.CRITICAL)


def serve():
    import uvicorn
    from mcp.server.fastmcp import FastMCP

    server = FastMCP("mutual", stateless_http=True)

    @server.tool()
    def echo(text: str) -> str:
        return text

    config = uvicorn.Config(
        server.streamable_http_app(),
        host="127.0.0.1",
        port=int(where),
        ssl_certfile=folder / "server.pem",
        ssl_keyfile=folder / "server.key",
        ssl_ca_certs=folder / "clients.pem",
        ssl_cert_reqs=ssl.CERT_REQUIRED,
    )
    config.load()
    config.ssl.maximum_version = ssl.TLSVersion.TLSv1_2
    uvicorn.Server(config).run()


async def call(name):
    import httpx
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")

    def client(**options):
        return httpx.AsyncClient(verify=context, **options)

    async with streamablehttp_client(where, httpx_client_factory=client) as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            await session.call_tool("echo", {"text": "hello"})
    print("done")


if role == "server":
    serve()
else:
    asyncio.run(call(sys.argv[4]))
