"""Passwords as the old system kept them: in the clear, or encrypted by node's crypto or CryptoJS with one key."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import md5, sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from warmupd.errors import SecretsError

PLAIN = "plain"
GCM, CBC, CRYPTOJS = "AES-256-GCM", "AES-256-CBC", "CryptoJS AES"
_HASHED = re.compile(r"\$(2[abxy]|argon2\w+|scrypt|pbkdf2\S*)\$\S{20,}")
_PARTED = re.compile(r"[0-9A-Za-z+/=_-]+(?:[:.][0-9A-Za-z+/=_-]+){1,2}")
_SALTED = "U2FsdGVkX1"  # base64 of "Salted__", as OpenSSL and CryptoJS begin
_IVS, _TAG = (12, 16), 16  # bytes
_JSON = {"iv": ("iv", "nonce"), "tag": ("tag", "authTag", "auth_tag"), "data": ("content", "encryptedData", "data",
         "encrypted", "ciphertext", "value")}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sealed:
    iv: bytes
    data: bytes
    tag: bytes  # b"": AES-256-CBC


@dataclass(slots=True)
class OldKey:
    """Opens what the old system stored. `text` is its ENCRYPTION_KEY as it stood in the environment; "" for none.

    How the key becomes 32 bytes is found out by trying: as hex or base64 of them, as text of 32 characters, cut or
    filled up to that, by SHA-256, or by scrypt with the salt "salt" (the example of node's manual).
    """

    text: str = field(default="", repr=False)
    in_one: bool = False  # what might be a password encrypted in one part is, and is no password in the clear
    _ways: list[bytes] = field(default_factory=list, repr=False)  # keys, the one that opened something last first
    _more: Iterator[bytes] | None = field(default=None, repr=False)  # not needed yet: scrypt takes a while

    def open(self, stored: str) -> tuple[str, str]:
        """The password, and how it was kept: PLAIN, GCM, CBC or CRYPTOJS. Raises SecretsError, which does not show it.

        What has none of the known forms is taken for a password in the clear, as is what might be base64 of something
        and does not open, but with `in_one`: passwords may look like that.
        """
        if _HASHED.fullmatch(stored):
            raise SecretsError("its password is stored as a hash, which nobody can turn back")
        certain, forms = _forms(stored)
        if stored.startswith(_SALTED):
            if (opened := self._open_salted(stored)) is not None:
                return opened, CRYPTOJS
            raise self._closed()
        for sealed in forms if self.text else ():
            if (opened := self._open(sealed)) is not None:
                return opened, GCM if sealed.tag else CBC
        if certain or (forms and self.in_one):
            raise self._closed()
        return stored, PLAIN

    def doubt(self, stored: str) -> bool:
        """Whether it may be a password in the clear, or one that is encrypted in one part and does not open."""
        certain, forms = _forms(stored)
        if certain or not forms or stored.startswith(_SALTED) or _HASHED.fullmatch(stored):
            return False
        return not self.text or all(self._open(sealed) is None for sealed in forms)

    def _closed(self) -> SecretsError:
        if not self.text:
            return SecretsError("its password is encrypted, and no key was given")
        return SecretsError("its password is encrypted, and does not open with the key that was given")

    def _open(self, sealed: _Sealed) -> str | None:
        for key in self._keys():
            opened = _gcm(key, sealed) if sealed.tag else _cbc(key, sealed)
            if opened is not None:
                self._ways.remove(key)
                self._ways.insert(0, key)
                return opened
        return None

    def _keys(self) -> Iterator[bytes]:
        yield from [*self._ways]
        self._more = self._more or _ways(self.text)
        for key in self._more:
            if key not in self._ways:
                self._ways.append(key)
                yield key

    def _open_salted(self, stored: str) -> str | None:
        """OpenSSL's EVP_BytesToKey with MD5 and one round, which CryptoJS uses for passphrases."""
        raw = _bytes(stored)
        if not self.text or len(raw) < 32:
            return None
        made = block = b""
        while len(made) < 48:
            block = md5(block + self.text.encode() + raw[8:16], usedforsecurity=False).digest()
            made += block
        return _cbc(made[:32], _Sealed(iv=made[32:48], data=raw[16:], tag=b""))


def _forms(stored: str) -> tuple[bool, list[_Sealed]]:
    """What it may be, and whether it surely is one of them: parts of the right lengths, or JSON with an iv."""
    text = stored.strip()
    if text.startswith("{"):
        return _json_forms(text)
    if _PARTED.fullmatch(text):
        parts = [_bytes(part) for part in re.split("[:.]", text)]
        if len(parts[0]) in _IVS and all(parts):
            return bool(found := _in_parts(parts)), found
    raw = _bytes(text)
    return False, [*_in_one(raw)] if len(raw) > _IVS[0] + _TAG else []


def _in_parts(parts: list[bytes]) -> list[_Sealed]:
    iv, first, *rest = parts
    if rest:  # iv:tag:data, or iv:data:tag
        pairs = [(first, rest[0]), (rest[0], first)]
        return [_Sealed(iv=iv, tag=tag, data=data) for tag, data in pairs if len(tag) == _TAG]
    found = [_Sealed(iv=iv, data=first, tag=b"")] if len(iv) == 16 and len(first) % 16 == 0 else []
    if len(first) > _TAG:
        found.append(_Sealed(iv=iv, data=first[:-_TAG], tag=first[-_TAG:]))
    return found


def _in_one(raw: bytes) -> Iterator[_Sealed]:
    for length in _IVS:
        iv, rest = raw[:length], raw[length:]
        if len(rest) > _TAG:
            yield _Sealed(iv=iv, tag=rest[:_TAG], data=rest[_TAG:])
            yield _Sealed(iv=iv, tag=rest[-_TAG:], data=rest[:-_TAG])
    if len(raw) >= 32 and len(raw) % 16 == 0:
        yield _Sealed(iv=raw[:16], data=raw[16:], tag=b"")


def _json_forms(text: str) -> tuple[bool, list[_Sealed]]:
    try:
        told = json.loads(text)
    except ValueError:
        return False, []
    parts = {
        part: next((_bytes(told[name]) for name in names if isinstance(told.get(name), str)), b"")
        for part, names in _JSON.items()
    }
    if not (parts["iv"] and parts["data"]):
        return False, []
    return True, [_Sealed(iv=parts["iv"], tag=parts["tag"], data=parts["data"])]


def _gcm(key: bytes, sealed: _Sealed) -> str | None:
    try:
        return AESGCM(key).decrypt(sealed.iv, sealed.data + sealed.tag, None).decode()
    except (InvalidTag, ValueError):
        return None


def _cbc(key: bytes, sealed: _Sealed) -> str | None:
    """Nothing authenticates it: what opens to padding and printable text was the password, but for one in 100,000."""
    if len(sealed.iv) != 16 or not sealed.data or len(sealed.data) % 16:
        return None
    decryptor = Cipher(algorithms.AES(key), modes.CBC(sealed.iv)).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    try:
        padded = decryptor.update(sealed.data) + decryptor.finalize()
        text = (unpadder.update(padded) + unpadder.finalize()).decode()
    except ValueError:
        return None
    return text if text and text.isprintable() else None


def _ways(text: str) -> Iterator[bytes]:
    raw = text.encode()
    for key in (_bytes(text), raw, raw[:32].ljust(32, b"0"), raw[:32].ljust(32, b"\0")):
        if len(key) == 32:
            yield key
    yield sha256(raw).digest()
    yield Scrypt(salt=b"salt", length=32, n=2**14, r=8, p=1).derive(raw)


def _bytes(text: str) -> bytes:
    """From hex or base64, of either alphabet; b"" for what is neither."""
    decoders: tuple[Callable[[str], bytes], ...] = (bytes.fromhex, _from_base64)
    for decode in decoders:
        try:
            return decode(text)
        except (ValueError, binascii.Error):
            continue
    return b""


def _from_base64(text: str) -> bytes:
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
