"""Whether a form comes from this site, as browsers tell (Fetch metadata, Origin): beside the forms' own tokens."""

from urllib.parse import urlsplit

from fastapi import Request

from warmupd.http.problem import Problem
from warmupd.http.site import site_of

OWN = frozenset({"same-origin", "none"})  # "none": the user's own doing, such as loading a page again


def demand_own_origin(request: Request) -> None:
    """Raises Problem 403 for what another site sent, or made the browser send: its sign-in form, too.

    Who says nothing of it is no browser of these years, and shows the session's token or a password.
    """
    fetched_by = request.headers.get("sec-fetch-site")
    own = fetched_by.lower() in OWN if fetched_by is not None else _is_own(request, request.headers.get("origin"))
    if not own:
        raise Problem(403, "the form was sent from another site", remedy="load the page again, and send it from there")


def _is_own(request: Request, origin: str | None) -> bool:
    if origin is None:
        return True
    try:
        sender, public = urlsplit(origin.lower()), urlsplit(site_of(request).config.http.public_url.lower())
    except ValueError:
        return False
    if public.netloc and (sender.scheme, sender.netloc) == (public.scheme, public.netloc):
        return True
    return bool(sender.netloc) and sender.netloc == request.headers.get("host", "").lower()
