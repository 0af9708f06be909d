"""The shared TLS context."""

import ssl
from pathlib import Path

import pytest

from tests.mail.certificates import Authority
from warmupd.errors import ConfigError
from warmupd.mail.tls import client_context


def test_context_verifies_and_is_shared(authority: Authority) -> None:
    context = client_context(str(authority.ca_file))
    assert context is client_context(str(authority.ca_file))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_unusable_authorities_are_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        client_context(str(path))
