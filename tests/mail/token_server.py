"""An authorisation server: asks for consent, gives tokens over HTTP, tells mail servers whom one belongs to."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.mail.loopback import serving

CLIENT_ID, CLIENT_SECRET = "client-of-warmupd", "client-hush-8fd2a1"


class TokenServer:
    """Knows `grants`: refresh token to user name. `refusal` and `fault` take the place of a right answer."""

    def __init__(self) -> None:
        self.grants: dict[str, str] = {}
        self.tokens: dict[str, str] = {}  # live access tokens, to user name
        self.asked: list[dict[str, str]] = []  # the forms that came to /token
        self.refusal: tuple[int, dict[str, object] | bytes] | None = None
        self.mistaken: set[str] = set()  # refresh tokens that are called void once, though they are not
        self.headers: dict[str, str] = {}
        self.rotates = False  # a new refresh token each time, the old one is void
        self.lives = 3600
        self.broken = False  # introspection fails
        self.arrived = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()  # cleared: answers wait for it
        self.account = ""  # who is signed in at it; "": whom the request hints at
        self.denial: dict[str, str] = {}  # what it answers in place of a code
        self.granted = ""  # scopes in place of those that were asked for
        self.codes: dict[str, dict[str, str]] = {}  # what was asked for, and by whose consent
        self.consented: list[dict[str, str]] = []  # the queries that came to /authorize
        self.port = 0
        self._numbers = count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/token"

    @property
    def authorize_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/authorize"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["TokenServer"]:
        async with serving(self._talk) as self.port:
            yield self

    def grant(self, username: str) -> str:
        """Its owner consents: a refresh token."""
        token = f"refresh-{next(self._numbers)}-{username.partition('@')[0]}-hush"
        self.grants[token] = username
        return token

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:")), 0)
        form = {name: values[0] for name, values in parse_qs((await reader.readexactly(length)).decode()).items()}
        target = urlsplit(head.split(" ")[1])
        path = target.path
        if path == "/authorize":
            place = self.consent(target.query)
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        status, told = self._introspect(form) if path == "/introspect" else await self._token(form)
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()

    def consent(self, query: str) -> str:
        """Its owner looks at the page that was asked for, and agrees at once; where the browser is sent then."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        self.consented.append(asked)
        code = f"code-{next(self._numbers)}-hush"
        self.codes[code] = asked | {"user": self.account or asked["login_hint"]}
        told = self.denial or {"code": code}
        return f"{asked['redirect_uri']}?{urlencode(told | {'state': asked['state']})}"

    def _exchanged(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        """RFC 6749 section 4.1.3, RFC 7636 section 4.6."""
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or asked["redirect_uri"] != form.get("redirect_uri") or asked["code_challenge"] != challenge:
            return 400, {"error": "invalid_grant", "error_description": f"Code {form.get('code')} is not good"}
        access = f"access-{next(self._numbers)}-{'hush' * 20}"
        self.tokens[access] = asked["user"]
        told: dict[str, object] = {"access_token": access, "expires_in": self.lives, "token_type": "Bearer"}
        if asked.get("access_type") == "offline" or "offline_access" in asked["scope"]:
            told["refresh_token"] = self.grant(asked["user"])
        return 200, told | {"scope": self.granted or asked["scope"]}

    def _introspect(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        """RFC 7662."""
        if self.broken:
            return 500, {}
        user = self.tokens.get(form.get("token", ""))
        return 200, {"active": user is not None, "username": user or "", "email": user or "", "sub": user or ""}

    async def _token(self, form: dict[str, str]) -> tuple[int, dict[str, object] | bytes]:
        self.asked.append(form)
        self.arrived.set()
        await self.go_on.wait()
        if self.refusal is not None:
            return self.refusal
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return 401, {"error": "invalid_client", "error_description": "who are you"}
        if form.get("grant_type") == "authorization_code":
            return self._exchanged(form)
        shown = form.get("refresh_token", "")
        if shown not in self.grants or shown in self.mistaken:
            self.mistaken.discard(shown)
            return 400, {"error": "invalid_grant", "error_description": f"Token {shown} has been expired or revoked."}
        access = f"access-{next(self._numbers)}-{'hush' * 20}"
        self.tokens[access] = self.grants[shown]
        told: dict[str, object] = {"access_token": access, "expires_in": self.lives, "token_type": "Bearer"}
        if self.rotates:
            told["refresh_token"] = self.grant(self.grants.pop(shown))
        return 200, told
