"""How many requests were answered, by route and class of status. Around the application, but for its guard."""

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warmupd.http.request_log import route_of


class Traffic:
    """Counts each answer. A route is told by its template, so numbers and addresses in paths are no labels."""

    def __init__(self, app: ASGIApp, count: Callable[[str, str], None]) -> None:
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # unless one is sent

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._count(route_of(scope), f"{status // 100}xx")
