"""Signed tokens: what is taken, and all that is not."""

import base64
import datetime as dt
import json
from typing import Any
from uuid import UUID

import jwt
import pytest

from tests.http.conftest import NOW, OWNER, SECRET, House, config
from warmupd.http.bearer import LONGEST, Signer, key_id

USER = UUID(int=7)
CLAIMS = {"iss": "warmupd", "sub": str(USER), "ver": 1, "iat": int(NOW.timestamp()), "exp": int(NOW.timestamp()) + 60}
KID = {"kid": key_id(SECRET)}
OTHER = "another secret of the tests with more than thirty-two bytes"


def packed(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def forged(claims: dict[str, Any] | None = None, *, key: str = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    return jwt.encode(claims or CLAIMS, key, algorithm, headers={**KID, **header})


REFUSED = {
    "nothing": "",
    "dots": "..",
    "no algorithm": f"{packed({'alg': 'none', 'typ': 'JWT', **KID})}.{packed(CLAIMS)}.",
    "no algorithm, signed": forged().replace(forged().split(".")[0], packed({"alg": "none", **KID})),
    "another algorithm": forged(key=SECRET * 2, algorithm="HS512"),
    "our key by another algorithm": forged(algorithm="HS384"),
    "no kid": jwt.encode(CLAIMS, SECRET, "HS256"),
    "unknown kid": forged(kid="0" * 12),
    "another key": forged(key=OTHER),
    "another key under its own kid": forged(key=OTHER, kid=key_id(OTHER)),
    "another issuer": forged({**CLAIMS, "iss": "other"}),
    "no end": forged({name: value for name, value in CLAIMS.items() if name != "exp"}),
    "over": forged({**CLAIMS, "exp": int(NOW.timestamp())}),
    "end beyond all time": forged({**CLAIMS, "exp": 10**30}),
    "nobody": forged({**CLAIMS, "sub": "nobody"}),
    "version of another kind": forged({**CLAIMS, "ver": "x"}),
    "huge": forged({**CLAIMS, "more": "x" * LONGEST}),
    "deep": f"{base64.urlsafe_b64encode(b'[' * 700).decode()}.e30.x",
    "signature cut": forged()[:-2],
}


@pytest.mark.parametrize("token", REFUSED.values(), ids=REFUSED.keys())
def test_token_is_refused(token: str) -> None:
    assert Signer(SECRET).read(token, now=NOW) is None


def test_token_that_is_deeper_than_the_stack_is_refused() -> None:
    def below(frames: int) -> object:
        return below(frames - 1) if frames else Signer(SECRET).read(REFUSED["deep"], now=NOW)

    assert below(500) is None


def test_the_same_token_untouched_is_taken() -> None:
    claims = Signer(SECRET).read(forged(), now=NOW)
    assert claims is not None
    assert (claims.user_id, claims.credentials_version) == (USER, 1)


@pytest.mark.parametrize("token", REFUSED.values(), ids=REFUSED.keys())
async def test_api_refuses_it_in_one_form(house: House, token: str) -> None:
    answer = await house.open().get("/api/auth/tokens", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_new_secret_takes_what_the_old_one_signed_until_it_is_taken_out(house: House) -> None:
    client = await house.as_user(OWNER)
    house.site.go_by(config(**{"auth.secret": OTHER, "auth.previous_secrets": [SECRET]}))
    newer = await house.token(OWNER)
    assert jwt.get_unverified_header(newer)["kid"] == key_id(OTHER)
    assert (await client.get("/api/auth/tokens")).status_code == 200
    house.site.go_by(config(**{"auth.secret": OTHER}))
    assert (await client.get("/api/auth/tokens")).status_code == 401
    assert Signer(OTHER).read(newer, now=house.site.clock.now()) is not None


async def test_token_lasts_as_long_as_the_configuration_says_by_then(house: House) -> None:
    house.site.go_by(config(**{"auth.token_minutes": 5}))
    claims = Signer(SECRET).read(await house.token(OWNER), now=house.site.clock.now())
    assert claims is not None
    assert claims.expires_at - house.site.clock.now() <= dt.timedelta(minutes=5)


async def test_without_a_secret_nobody_is_let_in_and_it_says_why(house: House) -> None:
    client = await house.as_user(OWNER)
    house.site.go_by(config(**{"auth.secret": ""}))
    for answer in (
        await client.get("/api/auth/tokens"),
        await client.post("/api/auth/token", json={"email": OWNER, "password": "x"}),
    ):
        assert answer.status_code == 503
        assert "auth.secret is not set" in answer.json()["detail"]
        assert "openssl rand" in answer.json()["remedy"]
    assert "auth.secret is not set" in (await client.post("/sign-in", data={"email": OWNER, "password": "x"})).text
    assert (await client.get("/healthz")).status_code == 200


async def test_user_who_was_removed_is_refused(house: House) -> None:
    client, browser = await house.as_user(OWNER), await house.browser(OWNER)
    await house.site.db.execute("UPDATE users SET removed_at = now() WHERE email = $1", OWNER)
    assert (await client.get("/api/auth/tokens")).status_code == 401
    assert (await browser.get("/account")).status_code == 303
