"""The package autobahn with permessage-deflate, as an echo that returns every second message in
fragments: deflate_autobahn.py serve, or dial URL. There is a server, or a connection to URL/n, for
each of the options. deflate_program_test.go has what they are called."""
import asyncio
import sys

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
    PerMessageDeflateResponseAccept,
)

OPTIONS = [
    {},
    {"request_no_context_takeover": True},
    {"request_max_window_bits": 9},
]


class Echo:
    count = 0

    def onMessage(self, payload, is_binary):
        self.sendMessage(payload, is_binary, fragmentSize=max(len(payload) // 20, 1) if self.count % 2 else None)
        self.count += 1

    def onClose(self, was_clean, code, reason):
        if self.factory.closed:
            self.factory.closed.set_result(None)


class Server(Echo, WebSocketServerProtocol):
    pass


class Client(Echo, WebSocketClientProtocol):
    pass


def accept(options):
    def accept_offer(offers):
        for offer in offers:
            return PerMessageDeflateOfferAccept(offer, **options)

    return accept_offer


async def listening(options):
    factory = WebSocketServerFactory()
    factory.protocol = Server
    factory.closed = None
    factory.setProtocolOptions(perMessageCompressionAccept=accept(options))
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    return server.sockets[0].getsockname()[1]


async def serve():
    print("listening", *[await listening(o) for o in OPTIONS], flush=True)
    await asyncio.get_running_loop().create_future()


async def dial(url):
    for i, o in enumerate(OPTIONS):
        factory = WebSocketClientFactory(f"{url}/{i}")
        factory.protocol = Client
        factory.closed = asyncio.get_running_loop().create_future()
        factory.setProtocolOptions(
            perMessageCompressionOffers=[PerMessageDeflateOffer(**o)],
            perMessageCompressionAccept=PerMessageDeflateResponseAccept,
        )
        await asyncio.get_running_loop().create_connection(factory, factory.host, factory.port)
        await factory.closed


asyncio.run(serve() if sys.argv[1] == "serve" else dial(sys.argv[2]))
