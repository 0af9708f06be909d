"""What of a mail server's words may be shown to somebody who must not learn whom a message went to."""

import re
from collections.abc import Collection

HIDDEN = "[another user's address]"
_ADDRESS = re.compile(r"[^\s<>\"'(),;:@\[\]]+@[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", re.IGNORECASE)


def veil(text: str, *, own: Collection[str], hide: Collection[str] = ()) -> str:
    """`text` without the e-mail addresses that are not among the reader's `own`, and without the words to `hide`.

    Servers repeat the recipient in their refusals, and sometimes only its name or its domain: that is what `hide` is
    for. Of a domain the hosts beneath it are hidden, too.
    """
    kept = {address.lower() for address in own}
    veiled = _ADDRESS.sub(lambda found: found[0] if found[0].lower() in kept else HIDDEN, text)
    for word in hide:
        veiled = re.sub(rf"(?<![\w.-])(?:[\w-]+\.)*{re.escape(word)}(?![\w-])", HIDDEN, veiled, flags=re.IGNORECASE)
    return veiled
