"""Sealed credentials open for their own row and purpose, with their own key, and nowhere else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmupd.errors import SecretsError
from warmupd.mail.vault import Vault

OLD = "b2xkZXIgdGhhbiB0aGUgaGlsbHMsIGJ1dCBhIGtleS4"
NEW = "bmV3ZXIgdGhhbiB0aGUgZGF5LCAzMiBieXRlcyBvbiE"


@settings(deadline=None, max_examples=50)
@given(secret=st.text(), mailbox_id=st.integers(1, 2**62))
def test_a_sealed_secret_opens_again(secret: str, mailbox_id: int) -> None:
    vault = Vault([NEW])
    sealed = vault.seal(secret, mailbox_id=mailbox_id, purpose="smtp")
    assert vault.unseal(sealed, mailbox_id=mailbox_id, purpose="smtp") == secret


def test_the_secret_cannot_be_read_in_the_seal() -> None:
    assert b"correct horse" not in Vault([NEW]).seal("correct horse", mailbox_id=1, purpose="smtp")


def test_the_same_secret_never_looks_the_same_twice() -> None:
    vault = Vault([NEW])
    assert len({vault.seal("pw", mailbox_id=1, purpose="smtp") for _ in range(100)}) == 100


@pytest.mark.parametrize(("mailbox_id", "purpose"), [(2, "smtp"), (1, "imap")])
def test_a_seal_moved_elsewhere_does_not_open(mailbox_id: int, purpose: str) -> None:
    vault = Vault([NEW])
    sealed = vault.seal("hunter2", mailbox_id=1, purpose="smtp")
    with pytest.raises(SecretsError, match="does not open") as refusal:
        vault.unseal(sealed, mailbox_id=mailbox_id, purpose=purpose)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.remedy


@pytest.mark.parametrize("position", range(0, 39, 3))
def test_a_damaged_seal_does_not_open(position: int) -> None:
    vault = Vault([NEW])
    damaged = bytearray(vault.seal("secret", mailbox_id=1, purpose="smtp"))
    damaged[position] ^= 1
    with pytest.raises(SecretsError):
        vault.unseal(bytes(damaged), mailbox_id=1, purpose="smtp")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"plain password", b"\x02" + bytes(60)])
def test_what_was_never_sealed_is_refused(sealed: bytes) -> None:
    with pytest.raises(SecretsError, match="not in a form"):
        Vault([NEW]).unseal(sealed, mailbox_id=1, purpose="smtp")


def test_rotation_opens_old_seals_and_knows_them() -> None:
    sealed = Vault([OLD]).seal("pw", mailbox_id=7, purpose="imap")
    rotated = Vault([NEW, OLD])
    assert rotated.unseal(sealed, mailbox_id=7, purpose="imap") == "pw"
    assert not rotated.is_current(sealed)
    assert rotated.is_current(rotated.seal("pw", mailbox_id=7, purpose="imap"))


def test_a_key_taken_out_leaves_its_seals_shut() -> None:
    sealed = Vault([OLD]).seal("pw", mailbox_id=7, purpose="imap")
    with pytest.raises(SecretsError, match="put the old key back"):
        Vault([NEW]).unseal(sealed, mailbox_id=7, purpose="imap")


@pytest.mark.parametrize("key", ["", "short", NEW[:-1], NEW + "A", NEW[:-2] + "!?", "ü" * 43, b"31 bytes" * 4 + b"x"])
def test_a_bad_key_is_refused_without_showing_it(key: str | bytes) -> None:
    with pytest.raises(SecretsError, match=r"key 2 of secrets\.keys") as refusal:
        Vault([OLD, key])
    assert "base64url" in refusal.value.remedy
    assert len(key) < 10 or str(key) not in str(refusal.value)


def test_no_key_at_all_is_refused() -> None:
    with pytest.raises(SecretsError, match="no key"):
        Vault([])


def test_keys_are_taken_with_padding_and_as_bytes() -> None:
    sealed = Vault([NEW]).seal("pw", mailbox_id=1, purpose="smtp")
    assert Vault([f" {NEW}=\n"]).unseal(sealed, mailbox_id=1, purpose="smtp") == "pw"
    raw = bytes(range(32))
    assert Vault([raw]).derive("a") == Vault(["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"]).derive("a")


def test_derived_keys_differ_by_purpose_and_key() -> None:
    vault = Vault([NEW, OLD])
    assert len({*vault.derive("a"), *vault.derive("b")}) == 4
    assert vault.derive("a") == (*Vault([NEW]).derive("a"), *Vault([OLD]).derive("a"))


def test_the_vault_does_not_show_its_keys() -> None:
    assert repr(Vault([NEW, OLD])) == "<Vault with 2 keys>"


def test_a_new_key_is_random_and_usable() -> None:
    keys = {Vault.new_key() for _ in range(10)}
    assert len(keys) == 10
    assert {len(key) for key in keys} == {43}
    assert repr(Vault(sorted(keys))) == "<Vault with 10 keys>"
