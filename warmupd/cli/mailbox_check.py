"""`warmupd mailbox check`: the logins of mailboxes, and the DNS records of their domains."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import Addresses, AsJson, ConfigPath, OfDomain, OfLabel, OfUser

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.core.finding import Finding
    from warmupd.daemon.login_check import Refusal
    from warmupd.store.mailbox_report import MailboxReport

EXAMPLE = "Example: warmupd mailbox check anna@example.com bert@example.org"

Selectors = Annotated[
    list[str] | None,
    typer.Option(
        "--dkim-selector",
        metavar="WORD",
        help="Of the DKIM key, s= in the signature of a message; may be repeated. (default: the provider's usual ones)",
        show_default=False,
    ),
]
Dns = Annotated[
    bool,
    typer.Option(
        "--dns/--no-dns", help="Look at the domains' DNS records, too, or not. (default: dns)", show_default=False
    ),
]


def check(  # noqa: PLR0917  one parameter an option
    addresses: Addresses = None,
    config: ConfigPath = None,
    user: OfUser = None,
    label: OfLabel = None,
    domain: OfDomain = None,
    dkim_selector: Selectors = None,
    dns: Dns = True,
    as_json: AsJson = False,
) -> None:
    """Try mailboxes' logins and their domains' DNS.

    SMTP and IMAP, each once; ends 1 if one refuses, or a record fails. Changes nothing: a refusal is shown with what to
    do, and once that is done `warmupd mailbox resume` brings the mailbox back. Of each domain MX, SPF, DKIM, DMARC and
    the block lists of the section [dns].
    """
    from warmupd.cli.mailbox_choice import choose
    from warmupd.cli.output import print_json
    from warmupd.cli.session import work
    from warmupd.core.finding import Grade
    from warmupd.daemon.checking import check_logins

    async def task(session: "Session") -> int:
        chosen = await choose(session.db, addresses, user=user, label=label, domain=domain)
        results = await check_logins(session.db, session.config, session.clock, chosen)
        domains = await _check_domains(session, chosen, dkim_selector or ()) if dns else {}
        if as_json:
            print_json(
                [
                    {
                        "address": one.mailbox.address,
                        "ok": one.ok,
                        "refusals": one.refusals,
                        "domain": domains.get(_domain(one.mailbox), []),
                    }
                    for one in results
                ]
            )
        else:
            for one in results:
                _tell(one.mailbox, one.refusals)
            for name, findings in domains.items():
                _tell_domain(name, findings)
        wrong = any(one.grade is Grade.FAIL for findings in domains.values() for one in findings)
        return int(wrong or any(not one.ok for one in results))

    raise typer.Exit(work(config, task, name="mailbox check"))


async def _check_domains(
    session: "Session", chosen: "Sequence[MailboxReport]", selectors: Sequence[str]
) -> "Mapping[str, list[Finding]]":
    """What was found of each domain, once, however many mailboxes it has."""
    import asyncio

    from warmupd.core.provider_match import provider_of
    from warmupd.daemon.domain_check import domain_check_of

    checking = domain_check_of(session.config)
    providers = {_domain(mailbox): provider_of(mailbox.provider) for mailbox in chosen}
    found = await asyncio.gather(*(checking.check(d, p, selectors=selectors) for d, p in providers.items()))
    return dict(zip(providers, found, strict=True))


def _domain(mailbox: "MailboxReport") -> str:
    return mailbox.address.rpartition("@")[2].lower()


def _tell_domain(name: str, findings: "Sequence[Finding]") -> None:
    from warmupd.cli.output import print_wrapped

    for one in findings:
        print_wrapped(f"{name} {one.check}: {one.text}", first=f"{one.grade.value:<5} ")
        if one.remedy:
            print_wrapped(one.remedy, first="      ")


def _tell(mailbox: "MailboxReport", refusals: "Sequence[Refusal]") -> None:
    from warmupd.cli.output import print_wrapped

    if not refusals:
        print(f"ok    {mailbox.address}: SMTP and IMAP let us in")
        if mailbox.state in {"AUTH_FAILED", "SUSPENDED", "PAUSED"}:
            print_wrapped(f"it is {mailbox.state} still; `warmupd mailbox resume` ends that", first="      ")
    for one in refusals:
        print_wrapped(f"{mailbox.address}: {one.protocol} ({one.host}:{one.port}): {one.message}", first="fail  ")
        if one.remedy:
            print_wrapped(one.remedy, first="      ")
