"""The Message-ID: names its job, proves that this fleet made it, and needs no ledger to be read."""

import base64
import datetime as dt
import hmac
import re
from dataclasses import dataclass

from warmupd.mail.vault import Vault

_VERSION = 1
_MAC_BYTES = 13  # 104 bits; version, day, job and MAC together are 25 bytes, so base32 has no padding and no slack bits
_TOKEN_CHARS = 40
_LONGEST_HEADER = 8192  # characters looked at
_MOST_CANDIDATES = 32  # a References header of a long thread; anything with more is not ours to puzzle over
_CANDIDATE = re.compile(rf"(?<![A-Za-z2-7])[A-Za-z2-7]{{{_TOKEN_CHARS}}}(?![A-Za-z2-7])")
_TO_INT_DIGITS = str.maketrans(
    "abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv"
)  # RFC 4648 base32 to the digits that int(_, 32) reads: ten times as fast as base64.b32decode


@dataclass(frozen=True, slots=True)
class MessageToken:
    """The job that a message came from: (day, job_id) is its identity for ever."""

    day: dt.date
    job_id: int


class MessageKey:
    """Makes and recognises tokens: lower-case base32 of version (1 byte), day (3, proleptic ordinal), job id (8) and
    the first 13 bytes of their HMAC-SHA256."""

    def __init__(self, vault: Vault) -> None:
        self._keys = vault.derive("warmupd message id")

    def __repr__(self) -> str:
        return f"<MessageKey with {len(self._keys)} keys>"

    def token(self, day: dt.date, job_id: int) -> str:
        """40 characters of a-z and 2-7, the same for the same job as long as the newest key stays."""
        plain = bytes((_VERSION,)) + day.toordinal().to_bytes(3, "big") + job_id.to_bytes(8, "big")
        return base64.b32encode(plain + _mac(self._keys[0], plain)).decode().lower()

    def message_id(self, day: dt.date, job_id: int, domain: str) -> str:
        """The whole Message-ID with its angle brackets; `domain` is the sender's, in ASCII."""
        return f"<{self.token(day, job_id)}@{domain}>"

    def recognise(self, header_text: str) -> MessageToken | None:
        """The first token of ours in a Message-ID, References or X-Warmupd header, or None.

        Folding, brackets, upper case and whatever a provider put around it do not matter. What comes from the network
        is never an error here.
        """
        header_text = header_text[:_LONGEST_HEADER]
        found = self._first_genuine(header_text)
        if found is None and any(map(str.isspace, header_text)):
            found = self._first_genuine("".join(header_text.split()))  # folded within the token
        return found

    def _first_genuine(self, text: str) -> MessageToken | None:
        for count, candidate in enumerate(_CANDIDATE.finditer(text)):
            if count == _MOST_CANDIDATES:
                break
            token = self._verify(candidate[0])
            if token is not None:
                return token
        return None

    def _verify(self, candidate: str) -> MessageToken | None:
        raw = int(candidate.lower().translate(_TO_INT_DIGITS), 32).to_bytes(25, "big")
        plain, mac = raw[:12], raw[12:]
        if plain[0] != _VERSION or not any(hmac.compare_digest(mac, _mac(key, plain)) for key in self._keys):
            return None
        return MessageToken(dt.date.fromordinal(int.from_bytes(plain[1:4], "big")), int.from_bytes(plain[4:], "big"))


def _mac(key: bytes, plain: bytes) -> bytes:
    return hmac.digest(key, plain, "sha256")[:_MAC_BYTES]
