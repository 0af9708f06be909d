"""The sandbox's IMAP server (pymap): TLS from the first byte, one account a mailbox, logins noted in the record."""

import asyncio
import hmac
import logging
import socket
import ssl
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from io import BytesIO

from proxyprotocol.noop import ProxyProtocolNoop
from proxyprotocol.sock import SocketInfo
from pymap.backend.dict import Config, Identity, Login
from pymap.backend.dict.filter import FilterSet
from pymap.concurrent import Subsystem
from pymap.config import BackendCapability
from pymap.context import connection_exit, socket_info
from pymap.exceptions import InvalidAuth
from pymap.imap import IMAPConnection
from pymap.imap.state import ConnectionState
from pymap.interfaces.login import IdentityInterface
from pymap.parsing.response import Response
from pymap.user import UserMetadata
from pysasl import SASLAuth
from pysasl.creds.server import ServerCredentials
from pysasl.hashing import Cleartext

from warmupd.clock import SystemClock
from warmupd.mail.connection import hang_up
from warmupd.sandbox.listener import Listener
from warmupd.sandbox.mailstore import MailStore
from warmupd.sandbox.record import Entry
from warmupd.sandbox.record import Login as LoginEntry

_log = logging.getLogger(__name__)


class ImapServer:
    """One listener on 127.0.0.1 that shows a mail store to the owners of its accounts."""

    def __init__(
        self,
        store: MailStore,
        *,
        accounts: Mapping[str, str],
        tls: ssl.SSLContext,
        note: Callable[[Entry], None],
        connections: Iterator[int],
    ) -> None:
        self._store = store
        self._config = _Config(tls)
        self._login = _Login(self._config, accounts, note)
        self._tls = tls
        self._connections = connections
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._listener = Listener(self._serve)
        self._away = False

    @property
    def port(self) -> int:
        """Known once started."""
        return self._listener.port

    async def start(self) -> None:
        """Begin to listen, on a free port; after `leave`, on the same one again."""
        for address, folders in self._store.folders.items():
            self._config.set_cache[address] = (folders, FilterSet())
        self._away = False
        await self._listener.open()

    async def leave(self) -> None:
        """Refuse connections and cut what is open, until started again."""
        self._away = True
        await self._listener.leave()
        await self._cut()

    async def stop(self) -> None:
        """Stop listening and cut what is open."""
        self._away = True
        self._listener.close()
        await self._cut()

    async def _serve(self, bound: socket.socket) -> asyncio.Server:
        return await asyncio.start_server(self._admit, sock=bound, ssl=self._tls)

    async def _cut(self) -> None:
        visits, writers = list(self._open), list(self._open.values())
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        for writer in writers:
            hang_up(writer.transport)
        await asyncio.sleep(0)  # for connection_lost

    def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._away:  # its handshake had begun before
            hang_up(writer.transport)
            return
        visit = asyncio.create_task(self._visit(reader, writer), name="sandbox imap visit")
        self._open[visit] = writer
        visit.add_done_callback(self._open.pop)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it leaves."""
        info = SocketInfo.get(writer, None, unique_id=str(next(self._connections)).encode())
        connection = _Connection(self._config.commands, self._config, reader, writer, info)
        try:
            async with AsyncExitStack() as stack:
                connection_exit.set(stack)
                stack.callback(connection.close)
                await connection.run(ConnectionState(self._login, self._config))
        except (ConnectionError, ssl.SSLError):
            pass  # the client hung up in mid-sentence
        except Exception:  # noqa: BLE001 - whatever pymap trips over ends this connection, not the server
            _log.exception("an IMAP connection of the sandbox failed")


class _Connection(IMAPConnection):
    """One client. Each response leaves in one write: line by line it costs a TLS record and a system call each."""

    async def write_response(self, resp: Response) -> None:
        gathered = BytesIO()
        await resp.async_write(gathered)
        with suppress(ConnectionError):  # reading notices it too
            self.writer.write(gathered.getvalue())
            await self.writer.drain()


class _Config(Config):
    """pymap's settings: TLS is done by the listener, passwords are compared as they are, nothing asks DNS."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(
            Namespace(),
            demo_data=False,
            demo_user="",
            demo_password="",
            host=None,
            port=0,
            ssl_context=tls,
            tls_enabled=False,  # no STARTTLS inside TLS
            proxy_protocol=ProxyProtocolNoop(),
            hash_context=Cleartext(),
            cpu_subsystem=Subsystem.for_asyncio(),
            invalid_user_sleep=0,
        )
        self._mechanisms = SASLAuth.defaults()  # once: pymap asks for it twice a connection, 6 ms each

    @property
    def tls_auth(self) -> SASLAuth:
        return self._mechanisms

    @property
    def backend_capability(self) -> BackendCapability:
        # No OBJECTID: thread ids live only as long as parsed messages do, and the store keeps none.
        return BackendCapability(idle=True, object_id=False, multi_append=True)

    @property
    def greeting(self) -> bytes:
        return b"sandbox ready"


class _Login(Login):
    """Logins by the sandbox's accounts, noted in the record."""

    def __init__(self, config: _Config, accounts: Mapping[str, str], note: Callable[[Entry], None]) -> None:
        super().__init__(config)
        self._accounts = accounts
        self._note = note
        self._clock = SystemClock()

    async def authenticate(self, credentials: ServerCredentials) -> Identity:
        address = credentials.authcid.lower()
        ok = address in self._accounts and credentials.verify(_Owner(address, self._accounts[address]))
        number, at = int(socket_info.get().unique_id), self._clock.boottime()
        self._note(LoginEntry(connection=number, protocol="IMAP", user=address, ok=ok, at=at))
        if not ok:
            raise InvalidAuth
        self.users_dict[address] = UserMetadata(self.config, address)
        return Identity(address, self, None, frozenset())

    async def authorize(self, authenticated: IdentityInterface, authzid: str) -> Identity:
        return await super().authorize(authenticated, authzid.lower())


@dataclass(frozen=True, slots=True)
class _Owner:
    """The identity of an account as SASL compares it: the address in any case, the password as it is."""

    authcid: str
    password: str

    def compare_authcid(self, authcid: str) -> bool:
        return authcid.lower() == self.authcid

    def compare_secret(self, secret: str) -> bool:
        return hmac.compare_digest(secret.encode(errors="surrogateescape"), self.password.encode())

    def get_clear_secret(self) -> str | None:
        return None
