"""Asking for access tokens: what each answer of a token endpoint means, and what never shows."""

from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.mail.token_server import CLIENT_ID, CLIENT_SECRET, TokenServer
from warmupd.mail.consent import NEEDED, challenge_of, consent_url, new_request
from warmupd.mail.oauth import (
    ClientRefused,
    GrantRevoked,
    OAuthError,
    Registration,
    TokenClient,
    Tokens,
    TokensUnavailable,
)
from warmupd.mail.tls import client_context

ANN = "ann@one.test"


@pytest.fixture
async def provider() -> AsyncIterator[TokenServer]:
    async with TokenServer().running() as server:
        yield server


@pytest.fixture
def registration(provider: TokenServer) -> Registration:
    return Registration(
        provider="GOOGLE", client_id=CLIENT_ID, client_secret=CLIENT_SECRET, token_url=provider.url, scope="mail"
    )


@pytest.fixture
async def client() -> AsyncIterator[TokenClient]:
    client = TokenClient(client_context(), patience=0.5)
    yield client
    await client.close()


async def test_refresh_token_buys_an_access_token(
    provider: TokenServer, client: TokenClient, registration: Registration
) -> None:
    shown = provider.grant(ANN)
    tokens = await client.refresh(registration, shown)
    assert provider.tokens == {tokens.access: ANN}
    assert (tokens.refresh, tokens.seconds) == (shown, 3600.0)
    assert provider.asked[0]["grant_type"] == "refresh_token"
    assert provider.asked[0]["scope"] == "mail"


async def test_new_refresh_token_takes_the_place_of_the_old(
    provider: TokenServer, client: TokenClient, registration: Registration
) -> None:
    provider.rotates = True
    tokens = await client.refresh(registration, provider.grant(ANN))
    assert provider.grants == {tokens.refresh: ANN}


REFUSALS: list[tuple[int, object, type[OAuthError]]] = [
    (400, {"error": "invalid_grant"}, GrantRevoked),
    (401, {"error": "invalid_grant"}, GrantRevoked),
    (400, {"error": "interaction_required"}, GrantRevoked),
    (401, {"error": "invalid_client"}, ClientRefused),
    (400, {"error": "unauthorized_client"}, ClientRefused),
    (400, {"error": "invalid_scope"}, ClientRefused),
    (400, {"error": "temporarily_unavailable"}, TokensUnavailable),
    (429, {"error": "invalid_grant"}, TokensUnavailable),
    (500, {"error": "invalid_grant"}, TokensUnavailable),
    (503, b"<html>busy</html>", TokensUnavailable),
    (404, b"<html>not here</html>", TokensUnavailable),
    (302, b"", TokensUnavailable),
    (400, b"[]", TokensUnavailable),
    (200, b"<html>sign in to the wireless network</html>", TokensUnavailable),
    (200, {"access_token": "broken\x01out"}, TokensUnavailable),
    (200, {"access_token": ""}, TokensUnavailable),
    (200, b"x" * 1_000_000, TokensUnavailable),
]


@pytest.mark.parametrize(("status", "answer", "error"), REFUSALS)
async def test_only_the_word_of_the_provider_speaks_against_a_grant(
    provider: TokenServer,
    client: TokenClient,
    registration: Registration,
    status: int,
    answer: dict[str, object] | bytes,
    error: type[OAuthError],
) -> None:
    provider.refusal = (status, answer)
    with pytest.raises(OAuthError) as raised:
        await client.refresh(registration, provider.grant(ANN))
    assert type(raised.value) is error


async def test_endpoint_that_hangs_or_is_away_is_unavailable(
    provider: TokenServer, client: TokenClient, registration: Registration, free_port: int
) -> None:
    provider.go_on.clear()
    with pytest.raises(TokensUnavailable, match=r"within 0\.5 s"):
        await client.refresh(registration, "x")
    with pytest.raises(TokensUnavailable, match="cannot be asked"):
        await client.refresh(replace(registration, token_url=f"http://127.0.0.1:{free_port}/token"), "x")


async def test_wait_that_an_endpoint_names_is_told(
    provider: TokenServer, client: TokenClient, registration: Registration
) -> None:
    provider.refusal, provider.headers = (503, {}), {"Retry-After": "120"}
    with pytest.raises(TokensUnavailable) as raised:
        await client.refresh(registration, "x")
    assert raised.value.retry_after == 120.0


async def test_secrets_that_an_endpoint_echoes_are_hidden(
    provider: TokenServer, client: TokenClient, registration: Registration
) -> None:
    shown = f"{provider.grant(ANN)}-revoked"
    text = f"{shown} {CLIENT_SECRET} expired"
    for word in ("invalid_grant", "invalid_client"):
        provider.refusal = (400, {"error": word, "error_description": text})
        with pytest.raises(OAuthError) as raised:
            await client.refresh(registration, shown)
        told = f"{raised.value!r} {raised.value} {registration!r}"
        assert "expired" in told
        assert not any(secret in told for secret in (shown, CLIENT_SECRET))


@pytest.mark.parametrize("changed", [{"client_id": ""}, {"token_url": "http://tokens.example.com/token"}])
async def test_nothing_is_sent_where_it_must_not_go(
    provider: TokenServer, client: TokenClient, registration: Registration, changed: dict[str, str]
) -> None:
    with pytest.raises(OAuthError):
        await client.refresh(replace(registration, **changed), "x")
    assert provider.asked == []


async def test_tokens_never_show_in_their_repr(
    provider: TokenServer, client: TokenClient, registration: Registration
) -> None:
    tokens = await client.refresh(registration, provider.grant(ANN))
    assert "hush" not in repr(tokens)


async def consented(provider: TokenServer, registration: Registration, **asked: str) -> tuple[str, str]:
    """A code, and the verifier that goes with it."""
    request = new_request()
    registration = replace(registration, authorize_url=provider.authorize_url)
    url = consent_url(registration, request, address=ANN, redirect_uri="http://here.test/back")
    place = provider.consent(urlsplit(url).query)
    (code,) = parse_qs(urlsplit(place).query)["code"]
    provider.codes[code] |= asked
    return code, request.verifier


async def exchange(client: TokenClient, registration: Registration, code: str, verifier: str, back: str = "") -> Tokens:
    return await client.exchange(
        registration, code, verifier=verifier, redirect_uri=back or "http://here.test/back", needed=NEEDED["GOOGLE"]
    )


async def test_code_buys_tokens_once(provider: TokenServer, client: TokenClient, registration: Registration) -> None:
    code, verifier = await consented(provider, registration)
    tokens = await exchange(client, registration, code, verifier)
    assert provider.tokens[tokens.access] == provider.grants[tokens.refresh] == ANN
    with pytest.raises(GrantRevoked) as void:
        await exchange(client, registration, code, verifier)
    assert "hush" not in str(void.value)


async def test_code_of_another_verifier_or_place_buys_nothing(
    provider: TokenServer, client: TokenClient, registration: Registration
) -> None:
    for verifier, back in (("x" * 43, ""), ("", "http://elsewhere.test/back")):
        code, right = await consented(provider, registration)
        with pytest.raises(GrantRevoked):
            await exchange(client, registration, code, verifier or right, back)


@pytest.mark.parametrize(
    ("asked", "told"), [({"access_type": ""}, "no lasting consent"), ({"scope": "openid"}, "access to the mail")]
)
async def test_consent_that_is_not_enough_is_none(
    provider: TokenServer, client: TokenClient, registration: Registration, asked: dict[str, str], told: str
) -> None:
    code, verifier = await consented(provider, registration, **asked)
    with pytest.raises(GrantRevoked, match=told):
        await exchange(client, registration, code, verifier)


def test_challenge_is_that_of_the_standard() -> None:
    """RFC 7636, appendix B."""
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
