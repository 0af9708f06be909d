"""What holds for every answer and every request, whoever asks: safe headers, and bodies of bounded size."""

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 1 << 20  # of a request
MOST_UPLOADED = 32 << 20  # of a CSV file: about 100,000 rows
UPLOADS = ("/api/warmup/mailboxes/import", "/add/import")
HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",  # a page says its own
}
HTTPS_ALONE = "max-age=31536000"  # for a year (RFC 6797); other names of the domain are not ours to speak for


class Guard:
    """Around the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = MOST_UPLOADED if scope["path"].startswith(UPLOADS) else MOST_BYTES
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise HTTPException(413, f"the request has more than {most >> 20} MB")
            return message

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if scope["app"].state.site.config.http.public_url.startswith("https://"):
                    headers["Strict-Transport-Security"] = HTTPS_ALONE
            await send(message)

        await self._app(scope, bounded, headed)
