"""Passwords of the old system: those in the clear, those that open, and those that do not."""

import base64
import json
import os
from hashlib import md5, sha256

import pytest
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from warmupd.errors import SecretsError
from warmupd.mail.legacy_secret import CBC, CRYPTOJS, GCM, PLAIN, OldKey

RAW = bytes(range(32))
PASSWORD = "hush hush ü"
IV = bytes(range(100, 116))


def gcm(key: bytes, iv: bytes = IV) -> tuple[bytes, bytes, bytes]:
    made = AESGCM(key).encrypt(iv, PASSWORD.encode(), None)
    return iv, made[-16:], made[:-16]


def cbc(key: bytes, iv: bytes = IV) -> tuple[bytes, bytes]:
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return iv, encryptor.update(padder.update(PASSWORD.encode()) + padder.finalize()) + encryptor.finalize()


def in_hex(*parts: bytes) -> str:
    return ":".join(part.hex() for part in parts)


def b64(part: bytes) -> str:
    return base64.b64encode(part).decode()


def cryptojs(passphrase: str) -> str:
    salt, made, block = os.urandom(8), b"", b""
    while len(made) < 48:
        block = md5(block + passphrase.encode() + salt).digest()
        made += block
    return b64(b"Salted__" + salt + cbc(made[:32], made[32:48])[1])


IV_, TAG, DATA = gcm(RAW)
FORMS = {
    "iv:tag:data": in_hex(IV_, TAG, DATA),
    "iv:data:tag": in_hex(IV_, DATA, TAG),
    "iv of 12": in_hex(*gcm(RAW, IV[:12])),
    "base64 parts": ".".join(map(b64, (IV_, TAG, DATA))),
    "tag at the end": in_hex(IV_, DATA + TAG),
    "in one": b64(IV_ + TAG + DATA),
    "JSON": json.dumps({"iv": IV_.hex(), "authTag": TAG.hex(), "encryptedData": DATA.hex()}),
}


@pytest.mark.parametrize("form", FORMS)
def test_gcm_opens_in_every_form(form: str) -> None:
    assert OldKey(RAW.hex()).open(FORMS[form]) == (PASSWORD, GCM)


@pytest.mark.parametrize("stored", [in_hex(*cbc(RAW)), b64(b"".join(cbc(RAW)))], ids=["iv:data", "in one"])
def test_cbc_opens(stored: str) -> None:
    assert OldKey(RAW.hex()).open(stored) == (PASSWORD, CBC)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (RAW.hex(), RAW),
        (b64(RAW), RAW),
        ("k" * 32, b"k" * 32),
        ("short", b"short".ljust(32, b"0")),
        ("a passphrase", sha256(b"a passphrase").digest()),
        ("a passphrase", Scrypt(salt=b"salt", length=32, n=2**14, r=8, p=1).derive(b"a passphrase")),
    ],
    ids=["hex", "base64", "text", "filled up", "sha256", "scrypt"],
)
def test_key_is_read_as_node_programs_do(text: str, key: bytes) -> None:
    assert OldKey(text).open(in_hex(*gcm(key))) == (PASSWORD, GCM)
    assert OldKey(text).open(in_hex(*cbc(key))) == (PASSWORD, CBC)


def test_cryptojs_opens() -> None:
    assert OldKey("old secret").open(cryptojs("old secret")) == (PASSWORD, CRYPTOJS)


@pytest.mark.parametrize(
    "password",
    [
        "hush",
        "with:colon",
        "abcd efgh ijkl mnop",
        "{not json",
        "12:34",
        "Zm9vYmFyYmF6cXV4cXV1eGNvcmdlZ3JhdWx0",
        "$2b$x",
        "ü",
    ],
)
@pytest.mark.parametrize("key", ["", RAW.hex()])
def test_plain_password_stays_what_it_is(password: str, key: str) -> None:
    assert OldKey(key).open(password) == (password, PLAIN)


@pytest.mark.parametrize("stored", [*FORMS.values(), in_hex(*cbc(RAW)), cryptojs("x")][:5])
def test_what_does_not_open_says_why_and_shows_nothing(stored: str) -> None:
    with pytest.raises(SecretsError, match="no key was given"):
        OldKey("").open(stored)
    with pytest.raises(SecretsError, match="does not open with the key") as caught:
        OldKey("another key").open(stored)
    assert stored not in str(caught.value)
    assert "another key" not in repr(OldKey("another key"))


def test_hash_is_no_password() -> None:
    with pytest.raises(SecretsError, match="stored as a hash"):
        OldKey(RAW.hex()).open("$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy")
