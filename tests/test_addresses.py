"""Where servers listen: `deepcolor.addresses`."""

from __future__ import annotations

import asyncio
import socket

from deepcolor.addresses import listening


def test_an_answer_is_sent_at_once() -> None:
    """A connection to a server of ours does not wait for acknowledgements before it sends the rest of an answer."""

    async def delays() -> int:
        seen: asyncio.Queue[int] = asyncio.Queue()

        async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            its_own = writer.get_extra_info("socket")
            seen.put_nowait(its_own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        at = listening("127.0.0.1", 0, command="serve")
        async with await asyncio.start_server(connected, sock=at):
            _, writer = await asyncio.open_connection(*at.getsockname())
            no_delay = await seen.get()
            writer.close()
            return no_delay

    assert asyncio.run(delays())
