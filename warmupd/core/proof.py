"""What a message found in a mailbox proves of its address, when it came from another mailbox of the same user.

A pool message is known to whoever sent it and to whoever received it. One of another user's is in the hands of the
enrolled mailbox's owner only if the address delivers to him: wherever he has us look for it, finding it is proof. One
that his own mailbox sent he had before it was delivered (his server, his folder of sent mail), and may have put it into
any account that he runs: whom he names as the address's owner, he can then "prove" to be himself. So his own message
opens the address to his own mailboxes alone, which write by his own servers, as he could without us.

It proves more where the server itself speaks for the address: the mail server of the address's own domain, or of the
provider whose domain it is (certificates are verified), if the login was by the name of that address. Of the names in a
domain only those count that no host gives away to its customers. And it proves nothing for an address at a provider's
domain that is read elsewhere: there is nowhere else to read it.
"""

from enum import StrEnum

from warmupd.core.provider import Provider
from warmupd.core.providers import TABLE

OWN_NAMES = ("imap", "mail", "mx")  # beneath a domain: vps17.example.net is a customer's of example.net


class OwnProof(StrEnum):
    """What a message proves that the same user's mailbox has sent."""

    FULL = "full"  # that its owner reads the address
    OWN = "own"  # it opens the address to that user's own mailboxes
    NONE = "none"


def own_proof(address: str, imap_host: str, imap_username: str) -> OwnProof:
    """What a message of the user's own proves where it was found by this login."""
    local, _, domain = address.lower().rpartition("@")
    host = imap_host.lower().rstrip(".")
    named = imap_username.lower() in {address.lower(), local}
    homes = [row for row in TABLE if domain in row.domains]
    if homes:
        return OwnProof.FULL if named and any(_serves(row, host) for row in homes) else OwnProof.NONE
    return OwnProof.FULL if named and host in {domain, *(f"{name}.{domain}" for name in OWN_NAMES)} else OwnProof.OWN


def _serves(provider: Provider, host: str) -> bool:
    named = (provider.imap.host,) if provider.imap and "{" not in provider.imap.host else ()
    return any(_beneath(host, end) for end in (*provider.hosts, *named))


def _beneath(host: str, end: str) -> bool:
    return f".{host}".endswith(f".{end}")
