"""Opening a sealed account for the moment of one conversation."""

from warmupd.errors import SecretsError
from warmupd.mail.account import Account, Endpoint, Security
from warmupd.mail.vault import Vault
from warmupd.store.accounts import SealedAccount


def open_account(sealed: SealedAccount, vault: Vault, *, token: str = "", to_send: bool = False) -> Account:
    """The account with its credentials open, or to log in with this access `token`. Who means but `to_send` leaves the
    password for IMAP sealed: it is "" then.

    Raises SecretsError when its passwords are missing or cannot be opened.
    """
    smtp = token or _unsealed(sealed.smtp_secret, vault, sealed.mailbox_id, "smtp")
    imap = "" if to_send else token or _unsealed(sealed.imap_secret, vault, sealed.mailbox_id, "imap")
    return Account(
        mailbox_id=sealed.mailbox_id,
        address=sealed.address,
        display_name=sealed.display_name,
        language=sealed.language,
        junk_folder=sealed.junk_folder,
        provider=sealed.provider,
        smtp=Endpoint(
            host=sealed.smtp_host,
            port=sealed.smtp_port,
            security=Security(sealed.smtp_security),
            username=sealed.smtp_username,
            password=smtp,
            by_token=bool(token),
        ),
        imap=Endpoint(
            host=sealed.imap_host,
            port=sealed.imap_port,
            security=Security(sealed.imap_security),
            username=sealed.imap_username,
            password=imap,
            by_token=bool(token),
        ),
    )


def _unsealed(secret: bytes | None, vault: Vault, mailbox_id: int, purpose: str) -> str:
    if secret is None:
        raise SecretsError(
            f"mailbox {mailbox_id} has no {purpose.upper()} password",
            remedy="set it with `warmupd mailbox set --password`",
        )
    return vault.unseal(secret, mailbox_id=mailbox_id, purpose=purpose)
