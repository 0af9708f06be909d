"""What a message of the owner's own mailboxes proves, by where and as whom it was read."""

import pytest

from warmupd.core.proof import OwnProof, own_proof

FULL, OWN, NONE = OwnProof.FULL, OwnProof.OWN, OwnProof.NONE


@pytest.mark.parametrize(
    ("address", "host", "username", "proof"),
    [
        # the server speaks for the address
        ("anna@gmail.com", "imap.gmail.com", "anna@gmail.com", FULL),
        ("Anna@GMail.com", "IMAP.gmail.com.", "anna@gmail.com", FULL),
        ("anna@hotmail.de", "outlook.office365.com", "anna@hotmail.de", FULL),
        ("anna@icloud.com", "imap.mail.me.com", "anna", FULL),
        ("anna@firm.test", "imap.firm.test", "anna@firm.test", FULL),
        ("anna@firm.test", "mail.firm.test", "anna", FULL),
        ("anna@firm.test", "firm.test", "anna@firm.test", FULL),
        # it may, or may not: own mailboxes only
        ("anna@firm.test", "server17.hoster.test", "anna@firm.test", OWN),
        ("anna@firm.test", "imap.gmail.com", "anna@firm.test", OWN),
        ("anna@firm.test", "imap.firm.test", "mallory@firm.test", OWN),
        ("anna@firm.test", "127.0.0.1", "anna@firm.test", OWN),
        ("staff@hoster.test", "vps17.hoster.test", "staff@hoster.test", OWN),  # a customer's machine
        ("anna@firm.test", "imap.notfirm.test", "anna@firm.test", OWN),
        ("anna@firm.test", "imap.firm.test.evil.test", "anna@firm.test", OWN),
        # the address is read nowhere but at its provider, by its own name
        ("victim@gmail.com", "imap.evil.test", "victim@gmail.com", NONE),
        ("victim@gmail.com", "imap.gmail.com", "mallory@gmail.com", NONE),
        ("victim@gmail.com", "imap.gmail.com.evil.test", "victim@gmail.com", NONE),
        ("victim@web.de", "127.0.0.1", "victim@web.de", NONE),
    ],
)
def test_own_message_proves_as_much_as_the_server_vouches_for(
    address: str, host: str, username: str, proof: OwnProof
) -> None:
    assert own_proof(address, host, username) is proof
