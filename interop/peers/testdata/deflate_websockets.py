"""The package websockets with permessage-deflate, as an echo that returns every second message in
fragments: deflate_websockets.py serve, or dial URL. There is a server, or a connection to URL/n, for
each of the options. deflate_program_test.go has what they are called."""
import asyncio
import sys

sys.path.pop(0)
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory

OPTIONS = [
    {},
    {"server_no_context_takeover": True, "client_no_context_takeover": True},
    {"server_max_window_bits": 10, "client_max_window_bits": 9},
]


async def echo(ws):
    count = 0
    async for data in ws:
        middle = len(data) // 2
        await ws.send([data[:middle], data[middle:]] if count % 2 else data)
        count += 1


async def serve():
    servers = [
        await websockets.serve(echo, "127.0.0.1", 0, max_size=None, extensions=[ServerPerMessageDeflateFactory(**o)], compression=None)
        for o in OPTIONS
    ]
    print("listening", *(s.sockets[0].getsockname()[1] for s in servers), flush=True)
    await asyncio.Future()


async def dial(url):
    for i, o in enumerate(OPTIONS):
        extensions = [ClientPerMessageDeflateFactory(**o)]
        async with websockets.connect(f"{url}/{i}", max_size=None, extensions=extensions, compression=None) as ws:
            await echo(ws)


asyncio.run(serve() if sys.argv[1] == "serve" else dial(sys.argv[2]))
