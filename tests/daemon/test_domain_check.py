"""A domain's records as a real name server tells them, and what its owner is told to do."""

import asyncio
import base64

import pytest

from tests.mail.name_server import Zones, name_server, text
from warmupd.core.finding import Grade
from warmupd.core.provider_match import provider_of
from warmupd.daemon.domain_check import DomainCheck
from warmupd.mail.records import Records

DOMAIN = "north.test"
KEY = text(
    "v=DKIM1; k=rsa; ", "p=" + base64.b64encode(bytes(294)).decode()[:200], base64.b64encode(bytes(294)).decode()[200:]
)
GOOD: Zones = {
    (DOMAIN, "MX"): ["1 smtp.google.com."],
    (DOMAIN, "TXT"): [text("v=spf1 include:_spf.google.com ~all"), text("google-site-verification=x")],
    ("_spf.google.com", "TXT"): [text("v=spf1 ip4:192.0.2.0/24 ~all")],
    (f"google._domainkey.{DOMAIN}", "TXT"): [KEY],
    (f"_dmarc.{DOMAIN}", "TXT"): [text("v=DMARC1; p=none; rua=mailto:a@north.test")],
}


async def found(
    zones: Zones, word: str = "google", selectors: tuple[str, ...] = (), **lists: list[str]
) -> dict[str, tuple[Grade, str]]:
    """Check to grade and everything that is said."""
    async with name_server({**GOOD, **zones}) as server:
        checking = DomainCheck(Records([server.address], seconds=1.0), **lists)
        findings = await checking.check(DOMAIN, provider_of(word), selectors=selectors)
    return {one.check: (one.grade, f"{one.text}. {one.remedy}") for one in findings}


async def test_a_domain_that_is_set_up_well_is_told_so() -> None:
    assert await found({}) == {
        "mx": (Grade.OK, "smtp.google.com. "),
        "spf": (Grade.OK, "v=spf1 include:_spf.google.com ~all. "),
        "dkim": (Grade.OK, "a key at google. "),
        "dmarc": (Grade.OK, "p=none. "),
    }


@pytest.mark.parametrize(
    ("zones", "check", "grade", "said"),
    [
        ({(DOMAIN, "MX"): ["0 ."]}, "mx", Grade.FAIL, "takes no mail"),
        ({(DOMAIN, "MX"): ["1 mx.gone.test."]}, "mx", Grade.FAIL, "mx.gone.test, where mail for north"),
        (
            {(DOMAIN, "MX"): ["1 mx.gone.test.", "2 mx.here.test."], ("mx.here.test", "AAAA"): ["2001:db8::1"]},
            "mx", Grade.WARN, "take it out",
        ),
        ({(DOMAIN, "MX"): ["1 mx.zoho.eu."]}, "mx", Grade.WARN, "goes to Zoho Mail"),
        ({(DOMAIN, "TXT"): [text("nothing")]}, "spf", Grade.FAIL, '"v=spf1 include:_spf.google.com ~all"'),
        ({(DOMAIN, "TXT"): [text("v=spf1 -all"), text("v=spf1 mx -all")]}, "spf", Grade.FAIL, "2 SPF records"),
        ({(DOMAIN, "TXT"): [text("v=spf1 mx -all")]}, "spf", Grade.FAIL, "add include:_spf.google.com"),
        ({(DOMAIN, "TXT"): [text("v=spf1 include:_spf.google.com +all")]}, "spf", Grade.FAIL, "everybody"),
        ({(DOMAIN, "TXT"): [text("v=spf1 include:_spf.google.com ipv4:192.0.2.1 -all")]}, "spf", Grade.FAIL, "ipv4:"),
        ({(f"google._domainkey.{DOMAIN}", "TXT"): [text("v=DKIM1; p=")]}, "dkim", Grade.FAIL, "withdrawn"),
        (
            {(f"google._domainkey.{DOMAIN}", "TXT"): [text("v=DKIM1; p=" + base64.b64encode(bytes(162)).decode())]},
            "dkim", Grade.WARN, "1024 bits",
        ),
        (
            {(f"google._domainkey.{DOMAIN}", "TXT"): [text("v=DKIM1; p=" + base64.b64encode(bytes(94)).decode())]},
            "dkim", Grade.FAIL, "shorter than 1024",
        ),
        ({(f"google._domainkey.{DOMAIN}", "TXT"): [text("hello")]}, "dkim", Grade.WARN, "turn DKIM on at Google"),
        ({(f"_dmarc.{DOMAIN}", "TXT"): [text("hello")]}, "dmarc", Grade.FAIL, "p=none; rua=mailto:postmaster@north"),
        ({(f"_dmarc.{DOMAIN}", "TXT"): [text("v=DMARC1; p=maybe")]}, "dmarc", Grade.FAIL, "no policy"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_with_what_to_do(zones: Zones, check: str, grade: Grade, said: str) -> None:
    was, told = (await found(zones))[check]
    assert (was, said in told) == (grade, True), told


async def spf(record: str, zones: Zones | None = None, word: str = "google") -> tuple[Grade, str]:
    return (await found({(DOMAIN, "TXT"): [text(record)], **(zones or {})}, word=word))["spf"]


G = "include:_spf.google.com"


@pytest.mark.parametrize(
    ("record", "zones", "said"),
    [
        (f"v=spf1 {G} include:none.test -all", {}, "include none.test, which has no SPF record"),
        (f"v=spf1 {G} redirect=none.test", {}, "redirect none.test, which has no SPF record"),
        (
            f"v=spf1 {G} include:two.test -all",
            {("two.test", "TXT"): [text("v=spf1 -all"), text("v=spf1 ~all")]},
            "which has 2 SPF records",
        ),
        (f"v=spf1 {G} include:bad.test -all", {("bad.test", "TXT"): [text("v=spf1 ipv4:x")]}, "of bad.test has a term"),
        (f"v=spf1 {G} include:{DOMAIN} -all", {}, "more than 10 look-ups"),
        (f"v=spf1 {G} redirect:x.test", {}, "a term that is none: redirect:x.test"),
        (f"v=spf1 {G} ip4:300.1.1.1 -all", {}, "a term that is none: ip4:300.1.1.1"),
        (f"v=spf1 {G} ip4:2001:db8::1 -all", {}, "a term that is none: ip4:2001:db8::1"),
        (f"v=spf1 {G} ip4 -all", {}, "a term that is none: ip4"),
        (f"v=spf1 {G} include: -all", {}, "a term that is none: include:"),
        (f"v=spf1 {G} include -all", {}, "a term that is none: include"),
        (f"v=spf1 {G} -all redirect=", {}, "a term that is none: redirect="),
        (f"v=spf1 {G} a/99 -all", {}, "a term that is none: a/99"),
        (f"v=spf1 {G} all:x -all", {}, "a term that is none: all:x"),
        (f"v=spf1 {G} a:1.gone.test a:2.gone.test mx:3.gone.test -all", {}, "more than 2 names that there are not"),
        (
            f"v=spf1 {G} mx:many.test -all",
            {("many.test", "MX"): [f"1 mx{number}.many.test." for number in range(11)]},
            "the 11 MX hosts of many.test",
        ),
    ],
)
async def test_what_receivers_answer_permerror_to_is_told(record: str, zones: Zones, said: str) -> None:
    grade, told = await spf(record, zones)
    assert (grade, said in told) == (Grade.FAIL, True), told


SHARING: Zones = {
    ("a.test", "TXT"): [text("v=spf1 include:shared.test ~all")],
    ("b.test", "TXT"): [text("v=spf1 include:shared.test ~all")],
    ("shared.test", "TXT"): [text("v=spf1 a:1.test a:2.test a:3.test ~all")],
    **{(f"{number}.test", "A"): ["192.0.2.1"] for number in range(1, 9)},
}


@pytest.mark.parametrize(("more", "grade"), [("", Grade.OK), ("a:4.test ", Grade.FAIL)])
async def test_a_record_that_is_met_twice_is_counted_twice(more: str, grade: Grade) -> None:
    zones: Zones = {**SHARING, ("b.test", "TXT"): [text("v=spf1 a:5.test ~all")]} if not more else SHARING
    assert (await spf(f"v=spf1 {G} include:a.test include:b.test {more}-all", zones))[0] is grade


@pytest.mark.parametrize(
    "record",
    [
        f"v=spf1 {G} -all redirect=none.test",  # "all" has the last word
        f"v=spf1 {G} a:4.test/24//64 mx/24 ip6:2001:db8::/32 exists:%{{i}}.x.test unknown=%{{d}} ?all exp=why.test",
        f"v=spf1 {G} ~all include:none.test",  # nobody gets there
        f"V=SPF1 {G.upper()}. -ALL",
        "v=spf1 redirect=_spf.google.com",
    ],
)
async def test_what_receivers_read_is_well(record: str) -> None:
    assert (await spf(record, SHARING))[0] is Grade.OK


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 include:%{i}._ip.%{d}.flat.test -all",
        "v=spf1 ip4:192.0.2.0/24 -all",
        f"v=spf1 include:{DOMAIN}.flat.test ~all",
    ],
)
async def test_a_provider_that_may_be_there_by_address_is_only_asked_after(record: str) -> None:
    flat: Zones = {(f"{DOMAIN}.flat.test", "TXT"): [text("v=spf1 ip4:192.0.2.0/24 ~all")]}
    grade, told = await spf(record, flat)
    assert (grade, "does not name its provider by name" in told) == (Grade.WARN, True)


@pytest.mark.parametrize(
    ("record", "zones", "said"),
    [
        ("v=spf1 redirect=open.test", {}, "(+all in the record of open.test)"),
        (f"v=spf1 {G} include:open.test -all", {}, "(+all in the record of open.test)"),
        (f"v=spf1 {G} include:two.test -all", {("two.test", "TXT"): [text("v=spf1 redirect=open.test")]}, "open.test)"),
        (f"v=spf1 {G} ip4:0.0.0.0/0 -all", {}, "(ip4:0.0.0.0/0)"),
        (f"v=spf1 {G} ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all", {}, "(ip4:0.0.0.0/1)"),
        (f"v=spf1 {G} +ip6:::/0 -all", {}, "(+ip6:::/0)"),
        (f"v=spf1 {G} a:1.test/0 -all", SHARING, "(a:1.test/0)"),
        (f"v=spf1 {G} mx//0 -all", {}, "(mx//0)"),
        ("v=spf1 -include:_spf.google.com ~all", {}, "does not name its provider"),
        ("v=spf1 ?include:_spf.google.com ~all", {}, "does not name its provider"),
        ("v=spf1 ip4:192.0.2.4 -all", {}, "add include:_spf.google.com"),
        ("v=spf1 -ip4:192.0.2.0/24 -all", {}, "add include:_spf.google.com"),
        (f"v=spf1 include:not{DOMAIN} -all", {(f"not{DOMAIN}", "TXT"): [text("v=spf1 ip4:192.0.2.0/24 ~all")]}, "add"),
    ],
)
async def test_what_lets_everybody_or_not_the_provider_send_is_told(record: str, zones: Zones, said: str) -> None:
    grade, told = await spf(record, {("open.test", "TXT"): [text("v=spf1 +all")], **zones})
    assert (grade, said in told) == (Grade.FAIL, True), told


@pytest.mark.parametrize("record", [f"v=spf1 {G} -include:open.test -all", f"v=spf1 {G} -ip4:0.0.0.0/0 a/24//64 ~all"])
async def test_what_keeps_everybody_out_is_well(record: str) -> None:
    own: Zones = {("open.test", "TXT"): [text("v=spf1 +all")], (DOMAIN, "A"): ["192.0.2.1"]}
    assert (await spf(record, own))[0] is Grade.OK


async def test_a_record_that_a_redirect_leads_to_has_to_say_what_of_all_others() -> None:
    grade, told = await spf("v=spf1 redirect=two.test", {("two.test", "TXT"): [text(f"v=spf1 {G}")]})
    assert (grade, "all others" in told) == (Grade.WARN, True)


async def test_each_record_is_asked_for_once() -> None:
    async with name_server(GOOD) as server:
        records = Records([server.address], seconds=1.0)
        answers = await asyncio.gather(*(records.texts(DOMAIN.upper()) for _ in range(10)))
        await records.texts(DOMAIN)
    assert len(set(answers)) == 1
    assert server.asked.total() == 1


async def test_a_record_without_a_word_on_all_others_is_told() -> None:
    grade, told = await spf(f"v=spf1 {G}")
    assert (grade, "all others" in told) == (Grade.WARN, True)


async def test_a_selector_that_the_owner_names_is_the_one_that_counts() -> None:
    found_there = await found({(f"mine._domainkey.{DOMAIN}", "TXT"): [KEY]}, selectors=("mine",))
    absent = await found({}, selectors=("theirs",))
    assert found_there["dkim"] == (Grade.OK, "a key at mine. ")
    assert absent["dkim"][0] is Grade.FAIL


async def test_every_selector_that_the_owner_names_has_to_be_there() -> None:
    async with name_server({**GOOD, (f"s1._domainkey.{DOMAIN}", "TXT"): [KEY]}) as server:
        findings = await DomainCheck(Records([server.address])).check(
            DOMAIN, provider_of("google"), selectors=("s1", "s2")
        )
    told = [(one.grade, one.text) for one in findings if one.check == "dkim"]
    assert told == [(Grade.OK, "a key at s1"), (Grade.FAIL, f"there is no DKIM key at s2._domainkey.{DOMAIN}")]


async def test_without_a_known_selector_the_owner_is_told_where_it_stands() -> None:
    grade, told = (await found({}, word="other"))["dkim"]
    assert grade is Grade.WARN
    assert "--dkim-selector" in told


async def dmarc(domain: str, zones: Zones) -> tuple[Grade, str]:
    async with name_server(zones) as server:
        findings = await DomainCheck(Records([server.address])).check(domain, provider_of("other"))
    return next((one.grade, one.text) for one in findings if one.check == "dmarc")


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ("v=DMARC1; p=none", "p=none, of north.test"),
        ("v = DMARC1; p=none; sp=reject", "sp=reject, of north.test"),
    ],
)
async def test_a_subdomain_has_its_organisations_policy(record: str, told: str) -> None:
    zones: Zones = {(f"_dmarc.{DOMAIN}", "TXT"): [text(record)]}
    assert await dmarc(f"a.mail.{DOMAIN}", zones) == (Grade.OK, told)
    assert (await dmarc(DOMAIN, zones))[1].startswith("p=none")


async def test_no_domain_between_and_no_registry_above_speaks_for_one() -> None:
    between: Zones = {(f"_dmarc.mail.{DOMAIN}", "TXT"): [text("v=DMARC1; p=reject")]}
    assert (await dmarc(f"a.mail.{DOMAIN}", between))[0] is Grade.FAIL
    registry: Zones = {("_dmarc.co.uk", "TXT"): [text("v=DMARC1; p=reject")]}
    assert await dmarc("north.co.uk", registry) == (Grade.FAIL, "north.co.uk has no DMARC record")


async def test_listed_servers_and_domains_are_named() -> None:
    zones: Zones = {
        (DOMAIN, "MX"): [f"1 mail.{DOMAIN}."],
        (f"mail.{DOMAIN}", "A"): ["192.0.2.7"],
        ("7.2.0.192.list.test", "A"): ["127.0.0.2"],
        ("list.test", "SOA"): ["ns. root. 1 1 1 1 1"],
        (f"{DOMAIN}.names.test", "A"): ["127.255.255.254"],
    }
    lists = {"block_lists": ["list.test"], "domain_block_lists": ["names.test"]}
    async with name_server({**GOOD, **zones}) as server:
        checking = DomainCheck(Records([server.address]), **lists)
        findings = [one for one in await checking.check(DOMAIN, provider_of("own")) if one.check == "block list"]
    assert [(one.grade, one.text) for one in findings] == [
        (Grade.WARN, "names.test does not answer us: 127.255.255.254"),
        (Grade.FAIL, "192.0.2.7 is listed at list.test (127.0.0.2)"),
    ]


LISTING: Zones = {
    (DOMAIN, "MX"): [f"1 mail.{DOMAIN}."],
    (f"mail.{DOMAIN}", "A"): ["192.0.2.7"],
    ("7.2.0.192.list.test", "A"): ["127.0.0.2"],
    ("7.2.0.192.list.test", "AAAA"): ["64:ff9b::7f00:2"],  # by DNS64
    ("7.2.0.192.shut.test", "A"): ["127.0.0.1"],
    ("clean.test", "SOA"): ["ns. root. 1 1 1 1 1"],
}


async def test_lists_that_are_dead_or_shut_hide_no_listing() -> None:
    lists = {"block_lists": ["dead.test", "shut.test", "list.test", "clean.test"]}
    async with name_server({**GOOD, **LISTING}, refused=["dead.test"]) as server:
        checking = DomainCheck(Records([server.address]), **lists)
        findings = [one for one in await checking.check(DOMAIN, provider_of("own")) if one.check == "block list"]
    assert [(one.grade, one.text) for one in findings] == [
        (Grade.WARN, "dead.test does not answer"),
        (Grade.WARN, "shut.test does not answer us: 127.0.0.1"),
        (Grade.FAIL, "192.0.2.7 is listed at list.test (127.0.0.2)"),
        (Grade.OK, "not listed at clean.test"),
    ]


async def test_who_is_not_listed_is_told_so() -> None:
    assert (await found({}, domain_block_lists=["names.test"]))["block list"] == (
        Grade.OK,
        "not listed at names.test. ",
    )


async def test_a_providers_own_servers_are_its_own_business() -> None:
    async with name_server({**GOOD, ("smtp.google.com", "A"): ["192.0.2.9"]}) as server:
        checking = DomainCheck(Records([server.address]), block_lists=["list.test"])
        await checking.check(DOMAIN, provider_of("google"))
        assert not any("list.test" in asked for asked in server.asked)


async def test_name_servers_that_do_not_tell_are_no_verdict() -> None:
    async with name_server(GOOD, refused=[f"_dmarc.{DOMAIN}"]) as server:
        findings = await DomainCheck(Records([server.address])).check(DOMAIN, provider_of("google"))
    assert {one.check: one.grade for one in findings}["dmarc"] is Grade.WARN
    assert all(one.grade is Grade.OK for one in findings if one.check != "dmarc")


async def test_the_domain_of_a_provider_is_not_looked_at() -> None:
    async with name_server({}) as server:
        (finding,) = await DomainCheck(Records([server.address])).check("gmail.com", provider_of("gmail"))
        assert (finding.grade, finding.check, sum(server.asked.values())) == (Grade.OK, "domain", 0)
