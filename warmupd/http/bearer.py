"""Bearer tokens: short-lived signed ones (JWT, RFC 7519), and long-lived random ones that are looked up."""

import datetime as dt
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import jwt

ALGORITHM = "HS256"
ISSUER = "warmupd"
LEAST_SECRET = 32  # bytes: RFC 7518 section 3.2, a key as long as the hash
LONGEST = 1024  # characters of a token: ours have some 300
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="warmupd"'}  # goes with 401 (RFC 9110 section 11.6.1)
PREFIX = "wup_"  # of service tokens, so that scanners of leaked secrets can know them


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What a genuine token says."""

    user_id: UUID
    credentials_version: int
    expires_at: dt.datetime


class Signer:
    """Signs with the newest secret and takes the older ones. Raises ValueError for a secret that is too short."""

    def __init__(self, newest: str, older: Sequence[str] = ()) -> None:
        for secret in (newest, *older):
            if len(secret.encode()) < LEAST_SECRET:
                raise ValueError(f"a secret is shorter than {LEAST_SECRET} bytes")
        self._keys = {key_id(secret): secret for secret in (newest, *older)}
        self._newest = key_id(newest)

    def sign(self, user_id: UUID, *, credentials_version: int, now: dt.datetime, minutes: float) -> str:
        """A token for that long."""
        claims = {
            "iss": ISSUER,
            "sub": str(user_id),
            "ver": credentials_version,
            "iat": int(now.timestamp()),
            "exp": int((now + dt.timedelta(minutes=minutes)).timestamp()),
        }
        return jwt.encode(claims, self._keys[self._newest], ALGORITHM, headers={"kid": self._newest})

    def read(self, token: str, *, now: dt.datetime) -> Claims | None:
        """What it says; None: forged, by another key, over, or no token at all.

        Nothing that the token says of itself is believed: the algorithm is ours, and `kid` only chooses among our keys.
        """
        if len(token) > LONGEST:
            return None
        try:
            key = self._keys[str(jwt.get_unverified_header(token).get("kid"))]
            said = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={"require": ["iss", "sub", "ver", "iat", "exp"], "verify_exp": False, "verify_iat": False},
            )
            claims = Claims(
                user_id=UUID(said["sub"]),
                credentials_version=int(said["ver"]),
                expires_at=dt.datetime.fromtimestamp(int(said["exp"]), dt.UTC),
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
            return None
        return claims if now < claims.expires_at else None


def key_id(secret: str) -> str:
    """Names a secret without telling it."""
    return hashlib.sha256(b"warmupd key id " + secret.encode()).hexdigest()[:12]


def new_token(prefix: str = "") -> str:
    """256 random bits, as text that fits into headers, links and cookies."""
    return prefix + secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """What is stored of a random token: it has more bits than anybody can try, so no slow hash is needed."""
    return hashlib.sha256(token.encode()).digest()
