"""Rests that end before their time, as what they were for has been mended."""

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
    "secrets",
)


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
    """Let mailboxes send at once that rested because their mail host may not be connected to: the rule has changed.

    So are those visited at once whose visits failed for that, as their last error says.
    """
    await db.execute(
        """
        WITH woken AS (
            UPDATE mailbox_pace SET resting_until = '-infinity', resting_reason = ''
            WHERE resting_reason = 'forbidden_host' RETURNING mailbox_id
        ), visited AS (
            UPDATE mailbox_visits v SET next_visit_at = least(v.next_visit_at, clock_timestamp()), failures = 0
            FROM mailboxes m
            WHERE m.id = v.mailbox_id AND v.failures > 0
              AND (v.mailbox_id IN (SELECT mailbox_id FROM woken) OR m.last_remedy LIKE '%security.allow_hosts%')
        )
        UPDATE mailboxes SET changed_at = clock_timestamp() WHERE id IN (SELECT mailbox_id FROM woken)
        """
    )


async def end_keyless_rests(db: Database) -> None:
    """Let mailboxes send at once that rested because no key opened their credentials: there may be another key."""
    await db.execute(
        """
        WITH woken AS (
            UPDATE mailbox_pace SET resting_until = '-infinity', resting_reason = ''
            WHERE resting_reason = 'secrets' RETURNING mailbox_id
        ), visited AS (
            UPDATE mailbox_visits v SET next_visit_at = least(v.next_visit_at, clock_timestamp()), failures = 0
            FROM woken w WHERE w.mailbox_id = v.mailbox_id AND v.failures > 0
        )
        UPDATE mailboxes SET changed_at = clock_timestamp() WHERE id IN (SELECT mailbox_id FROM woken)
        """
    )
