"""An IMAP server for measurements, `python -m warmupd.sandbox.imap_sink`: cheap, in memory, in a process of its own.

The first line of its input says how it is set up, each further one asks for something; it ends when its input does.
"""

import asyncio
import json
import ssl
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from warmupd.sandbox.imap_sink_session import Sink, SinkSession


async def _serve() -> None:
    stdin = await _standard_input()
    setting = json.loads(await stdin.readline())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(setting["chain_file"]), Path(setting["key_file"]))
    sink = Sink(able=setting["able"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SinkSession(sink), "127.0.0.1", 0, ssl=context, backlog=1024)
    _tell({"port": server.sockets[0].getsockname()[1]})
    while line := await stdin.readline():
        _tell(sink.answer(json.loads(line)))
    server.close()


def _tell(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=2**28)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def main() -> None:
    """Serve on uvloop where there is one."""
    with suppress(KeyboardInterrupt):
        try:
            import uvloop
        except ImportError:
            asyncio.run(_serve())
        else:
            uvloop.run(_serve())


if __name__ == "__main__":
    main()
