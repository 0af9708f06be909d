"""The Message-ID: names its job, proves that this fleet made it, and needs no ledger to be read."""

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
# The base64 module takes longer for base32 than all the rest together. Reading is left to int(_, 32), which wants the
# digits 0-9 and a-v; writing goes by pairs of digits, ten bits each.
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"  # RFC 4648, section 6
_TO_INT_DIGITS = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_SHIFTS = tuple(range(190, -1, -10))


@dataclass(frozen=True, slots=True)
class MessageToken:
    """The job that a message came from: (day, job_id) is its identity for ever."""

    day: dt.date
    job_id: int


class MessageKey:
    """Makes and recognises tokens: lower-case base32 of version (1 byte), day (3, proleptic ordinal), job id (8) and
    the first 13 bytes of their HMAC-SHA256."""

    def __init__(self, vault: Vault) -> None:
        # Keyed once and copied for each token: setting up a key costs more than the short message that follows.
        self._vault = vault
        self._macs = [hmac.new(key, digestmod="sha256") for key in vault.derive("warmupd message id")]

    def __repr__(self) -> str:
        return f"<MessageKey with {len(self._macs)} keys>"

    def take_keys_of(self, other: "MessageKey") -> None:
        """Make and recognise tokens by the other's keys from now on."""
        self._vault, self._macs = other._vault, other._macs

    def token(self, day: dt.date, job_id: int) -> str:
        """40 characters of a-z and 2-7, the same for the same job as long as the vault seals with the same key."""
        plain = bytes((_VERSION,)) + day.toordinal().to_bytes(3, "big") + job_id.to_bytes(8, "big")
        number = int.from_bytes(plain + _first_bytes(self._macs[self._vault.current], plain), "big")
        return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])

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
        if plain[0] != _VERSION or not any(
            hmac.compare_digest(mac, _first_bytes(keyed, plain)) for keyed in self._macs
        ):
            return None
        return MessageToken(dt.date.fromordinal(int.from_bytes(plain[1:4], "big")), int.from_bytes(plain[4:], "big"))


def _first_bytes(keyed: hmac.HMAC, plain: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(plain)
    return mac.digest()[:_MAC_BYTES]
