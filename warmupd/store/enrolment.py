"""What surrounds enrolling and mending: taking back a half-enrolled row, and ending a rest whose cause is mended."""

from collections.abc import Sequence

from warmupd.store.database import Database

# Reasons to rest that an owner mends at once: what a server thinks of credentials, login and certificate.
MENDABLE = (
    "credentials",
    "bad_credentials",
    "auth_refused",
    "needs_oauth",
    "token_unavailable",
    "oauth_client",
    "grant_revoked",
    "needs_app_password",
    "needs_browser",
    "sender_not_owned",
    "sender_rejected",
    "sender_full",
    "certificate",
    "no_starttls",
    "no_auth",
    "forbidden_host",
)


async def undo_enrolment(db: Database, mailbox_id: int) -> bool:
    """Take back a mailbox that never got its secrets; whether there was one."""
    return await _undo(db, "m.id = $1", mailbox_id)


async def undo_abandoned(db: Database, address: str) -> bool:
    """Take back what an enrolling that broke off minutes ago left of this address; whether there was something."""
    abandoned = "lower(m.address) = lower($1) AND m.created_at < clock_timestamp() - interval '2 minutes'"
    return await _undo(db, abandoned, address)


async def end_rest(db: Database, ids: Sequence[int]) -> None:
    """Let mailboxes send at once that rested for a reason that their owner has mended, and have them visited soon."""
    await db.execute(
        """
        WITH woken AS (
            UPDATE mailbox_pace SET resting_until = '-infinity', resting_reason = ''
            WHERE mailbox_id = ANY ($1) AND resting_reason = ANY ($2)
        )
        UPDATE mailbox_visits SET next_visit_at = least(next_visit_at, clock_timestamp()), failures = 0
        WHERE mailbox_id = ANY ($1) AND failures > 0
        """,
        ids,
        MENDABLE,
    )


async def end_forbidden_rests(db: Database) -> None:
    """Let mailboxes send at once that rested because their mail host may not be connected to: the rule has changed."""
    await db.execute(
        "UPDATE mailbox_pace SET resting_until = '-infinity', resting_reason = ''"
        " WHERE resting_reason = 'forbidden_host'"
    )


async def _undo(db: Database, which: str, value: object) -> bool:
    undone: bool = await db.fetchval(
        f"""
        WITH gone AS (
            DELETE FROM mailboxes m
            WHERE {which} AND m.state = 'PAUSED' AND m.smtp_secret IS NULL AND m.imap_secret IS NULL
              AND NOT EXISTS (SELECT FROM oauth_grants g WHERE g.mailbox_id = m.id) RETURNING m.id
        ), untold AS (
            DELETE FROM state_changes c USING gone WHERE c.subject = 'mailbox' AND c.subject_id = gone.id::text
        )
        SELECT EXISTS (SELECT FROM gone)
        """,  # noqa: S608  `which` is a constant of this module
        value,
    )
    return undone
