"""The package autobahn as a peer: autobahn_peer.py serve, or autobahn_peer.py dial URL CODE...

What it prints is checked by program_test.go."""
import asyncio
import sys

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)

SIZES = [0, 1, 125, 126, 127, 65535, 65536, (1 << 20) + 1]


def binary(n):
    return bytes((i ^ i >> 8) & 255 for i in range(n))


def text(n):
    return ("aé€😀" * (n // 10) + "a" * (n % 10)).encode()


class Server(WebSocketServerProtocol):
    def onConnect(self, request):
        self.path, self.params = request.path, request.params

    def onOpen(self):
        if self.path == "/close":
            self.sendClose(int(self.params["code"][0]), self.params["reason"][0])

    def onMessage(self, payload, is_binary):
        if self.path == "/echo":
            self.sendMessage(payload, is_binary)
        elif self.path == "/fragments":
            self.sendMessage(payload, is_binary, fragmentSize=max(len(payload) // 2, 1))
        elif self.path == "/ping":
            self.is_binary = is_binary
            self.sendPing(payload)

    def onPong(self, payload):
        self.sendMessage(payload, self.is_binary)

    def onClose(self, was_clean, code, reason):
        print("closed", self.remoteCloseCode, self.remoteCloseReason, flush=True)


class Client(WebSocketClientProtocol):
    def onOpen(self):
        self.pong = asyncio.get_running_loop().create_future()
        self.received = asyncio.Queue()
        if self.factory.script:
            self.task = asyncio.ensure_future(self.script())

    def onMessage(self, payload, is_binary):
        self.received.put_nowait((payload, is_binary))

    def onPong(self, payload):
        self.pong.set_result(payload)

    def onClose(self, was_clean, code, reason):
        print("closed", self.remoteCloseCode, self.remoteCloseReason, flush=True)
        self.factory.closed.set_result(None)

    async def script(self):
        try:
            for n in SIZES:
                for message in (binary(n), True), (text(n), False):
                    for size in None, max(n // 2, 1):
                        self.sendMessage(*message, fragmentSize=size)
                        if await self.received.get() != message:
                            raise ValueError(f"{n} bytes came back otherwise")
            self.sendPing(b"are you there?")
            if await self.pong != b"are you there?":
                raise ValueError("another Pong")
            self.sendClose(4001, "grün")
        except Exception as err:
            self.factory.closed.set_exception(err)


async def connect(url, script):
    factory = WebSocketClientFactory(url)
    factory.protocol = Client
    factory.script = script
    factory.closed = asyncio.get_running_loop().create_future()
    await asyncio.get_running_loop().create_connection(factory, factory.host, factory.port)
    await factory.closed


async def dial(url, codes):
    await connect(url + "/echo", True)
    for code in codes:
        await connect(f"{url}/close?code={code}&reason=gr%C3%BCn", False)


async def serve():
    factory = WebSocketServerFactory()
    factory.protocol = Server
    # By default it fails a connection without a Close frame.
    factory.setProtocolOptions(failByDrop=False)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().create_future()


asyncio.run(serve() if sys.argv[1] == "serve" else dial(sys.argv[2], sys.argv[3:]))
