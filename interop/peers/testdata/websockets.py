"""The package websockets as a peer: websockets.py serve, or websockets.py dial URL CODE...

What it prints is checked by program_test.go."""
import asyncio
import sys
from urllib.parse import parse_qs, urlsplit

# This file has the package's name.
sys.path.pop(0)
import websockets

SIZES = [0, 1, 125, 126, 127, 65535, 65536, (1 << 20) + 1]


def binary(n):
    return bytes((i ^ i >> 8) & 255 for i in range(n))


def text(n):
    return "aé€😀" * (n // 10) + "a" * (n % 10)


def halves(data):
    return [data[: len(data) // 2], data[len(data) // 2 :]]


def told(ws):
    print("closed", ws.close_code, ws.close_reason, flush=True)


async def serve_one(ws):
    url = urlsplit(ws.path)
    query = parse_qs(url.query)
    try:
        if url.path == "/close":
            await ws.close(int(query["code"][0]), query["reason"][0])
        async for data in ws:
            if url.path == "/echo":
                await ws.send(data)
            elif url.path == "/fragments":
                await ws.send(halves(data))
            elif url.path == "/ping":
                await (await ws.ping(data))
                await ws.send(data)
    except websockets.ConnectionClosed:
        pass
    await ws.wait_closed()
    told(ws)


async def serve():
    async with websockets.serve(serve_one, "127.0.0.1", 0, max_size=None) as server:
        print("listening", server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


async def dial(url, codes):
    async with websockets.connect(url + "/echo", max_size=None) as ws:
        for n in SIZES:
            for data in binary(n), text(n):
                for message in data, halves(data):
                    if message == [data, data]:
                        continue  # two empty halves
                    await ws.send(message)
                    if await ws.recv() != data:
                        raise ValueError(f"{n} bytes came back otherwise")
        await (await ws.ping("are you there?"))
        await ws.close(4001, "grün")
        told(ws)
    for code in codes:
        async with websockets.connect(f"{url}/close?code={code}&reason=gr%C3%BCn") as ws:
            await ws.wait_closed()
            told(ws)


asyncio.run(serve() if sys.argv[1] == "serve" else dial(sys.argv[2], sys.argv[3:]))
