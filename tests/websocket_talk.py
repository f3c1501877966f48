"""A WebSocket echo, and conversations with it: one implementation that neither the proxy nor its other tests know.

websocket_talk.py serve              echoes on a port of loopback, which it prints
websocket_talk.py talk PORT HOST     prints all that a client saw, as one JSON document

Both take compressed messages (permessage-deflate). The same seed makes the same conversations.
"""

import asyncio
import hashlib
import json
import random
import sys

import websockets

LARGE = 16 * 1024 * 1024
SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1_000_000, LARGE]
CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
ROUNDS = 20


async def serve():
    async def echo(socket, _path=None):
        try:
            async for message in socket:
                await socket.send(message)
        except websockets.ConnectionClosed:
            pass  # By another code than 1000: the client asked for it.

    async with websockets.serve(echo, "127.0.0.1", 0, max_size=2 * LARGE) as server:
        sockets = server.sockets if hasattr(server, "sockets") else server.server.sockets
        print(next(iter(sockets)).getsockname()[1], flush=True)
        await asyncio.Future()


def connect(port, host, compression):
    address = {"host": "127.0.0.1", "port": port}
    return websockets.connect(f"ws://{host}/", compression=compression, max_size=2 * LARGE, **address)


def seen(message):
    data = message.encode() if isinstance(message, str) else message
    return [type(message).__name__, len(data), hashlib.sha256(data).hexdigest()]


def thrown(dice, size):
    """Half of them are worth compressing."""
    if dice.random() < 0.5:
        return dice.choice("aé✓😀") * (size // 4)
    return dice.randbytes(size)


def pieces(dice, message):
    """The message in fragments, some of them empty."""
    cuts = sorted(dice.randrange(len(message) + 1) for _ in range(dice.randrange(2, 9)))
    return [message[start:end] for start, end in zip([0, *cuts], [*cuts, len(message)])]


async def conversation(socket, dice, sizes, code):
    heard = [repr(getattr(socket, "extensions", None) or getattr(socket, "protocol", socket).extensions)]
    for size in sizes:
        message = thrown(dice, size)
        is_split = len(message) > 0 and dice.random() < 0.5
        pong = await socket.ping(dice.randbytes(dice.randrange(126)))
        await socket.send(pieces(dice, message) if is_split else message)
        heard.append(seen(await socket.recv()))
        await pong
    await socket.close(code, f"größe {code}")
    return [*heard, socket.close_code, socket.close_reason]


async def talk(port, host):
    told = []
    for compression in ["deflate", None]:
        dice = random.Random(455)
        async with connect(port, host, compression) as socket:
            told.append(await conversation(socket, dice, SIZES, 1000))
        for number in range(ROUNDS):
            sizes = [dice.randrange(70_000) for _ in range(dice.randrange(12))]
            async with connect(port, host, compression) as socket:
                told.append(await conversation(socket, dice, sizes, CODES[number % len(CODES)]))
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "serve" else talk(int(sys.argv[2]), sys.argv[3]))
