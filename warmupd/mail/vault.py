"""The vault: seals credentials to the row they belong to, and derives the keys for everything else."""

import base64
import os
from collections.abc import Collection, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from warmupd.errors import SecretsError

KEY_BYTES = 32
_VERSION = 1
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12  # NIST SP 800-38D: 96 bits; random ones are safe for 2^32 seals a key
_TAG_BYTES = 16
_HEAD_BYTES = 1 + _KEY_ID_BYTES + _NONCE_BYTES


class Vault:
    """Seals with the newest key that may be used, opens with any. A sealed secret is

    version (1 byte) | key id (4) | nonce (12) | AES-256-GCM ciphertext and tag (16),

    with version, key id, mailbox id and purpose as associated data: moved to another row or column it does not open.
    """

    def __init__(self, keys: Sequence[bytes | str]) -> None:
        """`keys`, newest first: 32 random bytes each, as bytes or as base64url text (`Vault.new_key()`)."""
        if not keys:
            raise SecretsError("there is no key to seal credentials with", remedy=_HOW_TO_MAKE_A_KEY)
        self._masters = [_key_bytes(key, place) for place, key in enumerate(keys, start=1)]
        ids = self.derive("warmupd key id")
        ciphers = self.derive("warmupd seal")
        self.current = 0  # the place of the key to seal with
        self.key_ids = tuple(key_id[:_KEY_ID_BYTES].hex() for key_id in ids)  # newest first; they stand in every seal
        self._ciphers = {
            key_id[:_KEY_ID_BYTES]: AESGCM(key) for key_id, key in reversed(list(zip(ids, ciphers, strict=True)))
        }

    def __repr__(self) -> str:
        return f"<Vault with {len(self._masters)} keys>"

    def keep_to(self, known: Collection[str]) -> None:
        """Seal with the newest key whose id is among `known` from now on; the newest of all when none is."""
        self.current = next((place for place, key_id in enumerate(self.key_ids) if key_id in known), 0)

    @staticmethod
    def new_key() -> str:
        """A fresh key in the form that `secrets.keys` takes: 43 characters of base64url."""
        return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode().rstrip("=")

    def seal(self, secret: str, *, mailbox_id: int, purpose: str) -> bytes:
        """Encrypt `secret` for this mailbox and `purpose` ("smtp", "imap" ...) only."""
        head = self._head()
        nonce = os.urandom(_NONCE_BYTES)
        bound = _associated_data(head, mailbox_id, purpose)
        return head + nonce + self._ciphers[head[1:]].encrypt(nonce, secret.encode(), bound)

    def unseal(self, sealed: bytes, *, mailbox_id: int, purpose: str) -> str:
        """The secret again. Raises SecretsError when it was sealed for another row, by a lost key, or was damaged."""
        if len(sealed) < _HEAD_BYTES + _TAG_BYTES or sealed[0] != _VERSION:
            raise SecretsError(
                f"the {purpose} credential of mailbox {mailbox_id} is not in a form this version knows",
                remedy="enter the credential again with `warmupd mailbox set`",
            )
        head, nonce = sealed[: 1 + _KEY_ID_BYTES], sealed[1 + _KEY_ID_BYTES : _HEAD_BYTES]
        cipher = self._ciphers.get(head[1:])
        if cipher is None:
            raise SecretsError(
                f"the {purpose} credential of mailbox {mailbox_id} was sealed with a key that is not in secrets.keys",
                remedy="put the old key back at the end of secrets.keys, or enter the credential again",
            )
        try:
            opened = cipher.decrypt(nonce, sealed[_HEAD_BYTES:], _associated_data(head, mailbox_id, purpose))
        except InvalidTag:
            raise SecretsError(
                f"the {purpose} credential of mailbox {mailbox_id} does not open: damaged, or moved from another row",
                remedy="enter the credential again with `warmupd mailbox set`",
            ) from None
        return opened.decode()

    def is_current(self, sealed: bytes) -> bool:
        """Whether `sealed` is under the key that is sealed with now."""
        return sealed[: 1 + _KEY_ID_BYTES] == self._head()

    def _head(self) -> bytes:
        return bytes((_VERSION,)) + bytes.fromhex(self.key_ids[self.current])

    def reseal(self, sealed: bytes, *, mailbox_id: int, purpose: str) -> bytes:
        """The same secret under the newest key. Raises SecretsError as `unseal` does."""
        opened = self.unseal(sealed, mailbox_id=mailbox_id, purpose=purpose)
        return self.seal(opened, mailbox_id=mailbox_id, purpose=purpose)

    def derive(self, info: str) -> tuple[bytes, ...]:
        """One 32-byte key for the purpose `info` from each key, newest first (HKDF-SHA256, RFC 5869)."""
        return tuple(
            HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info.encode()).derive(master)
            for master in self._masters
        )


_HOW_TO_MAKE_A_KEY = (
    "secrets.keys takes 32 random bytes as base64url; `warmupd init` writes one, `warmupd key new` prints one"
)


def _key_bytes(key: bytes | str, place: int) -> bytes:
    raw = key if isinstance(key, bytes) else _from_base64url(key)
    if len(raw) != KEY_BYTES:
        raise SecretsError(f"key {place} of secrets.keys is not {KEY_BYTES} bytes long", remedy=_HOW_TO_MAKE_A_KEY)
    return raw


def _from_base64url(text: str) -> bytes:
    """The bytes, or b"" when `text` is something else; plain base64 with + and / is understood as well."""
    text = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        # urlsafe_b64decode would skip what it does not know; a slip of the pen must not become another key.
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""


def _associated_data(head: bytes, mailbox_id: int, purpose: str) -> bytes:
    return b"warmupd\0" + head + mailbox_id.to_bytes(8, "big", signed=True) + purpose.encode()
