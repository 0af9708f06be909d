"""A domain's records as a real name server tells them, and what its owner is told to do."""

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


async def test_look_ups_are_counted_through_all_includes() -> None:
    zones: dict[tuple[str, str], list[str]] = {
        (DOMAIN, "TXT"): [text("v=spf1 include:_spf.google.com include:a.test -all")]
    }
    zones["a.test", "TXT"] = [text("v=spf1 include:b.test a mx exists:x.test ~all")]
    zones["b.test", "TXT"] = [text("v=spf1 a:1.test a:2.test a:3.test a:4.test include:a.test -all")]
    grade, told = (await found(zones))["spf"]
    assert grade is Grade.FAIL
    assert "needs 11 look-ups" in told


async def test_a_selector_that_the_owner_names_is_the_one_that_counts() -> None:
    found_there = await found({(f"mine._domainkey.{DOMAIN}", "TXT"): [KEY]}, selectors=("mine",))
    absent = await found({}, selectors=("theirs",))
    assert found_there["dkim"] == (Grade.OK, "a key at mine. ")
    assert absent["dkim"][0] is Grade.FAIL


async def test_without_a_known_selector_the_owner_is_told_where_it_stands() -> None:
    grade, told = (await found({}, word="other"))["dkim"]
    assert grade is Grade.WARN
    assert "--dkim-selector" in told


async def test_a_subdomain_has_the_policy_of_the_domain_above_it() -> None:
    async with name_server(GOOD) as server:
        findings = await DomainCheck(Records([server.address])).check(f"mail.{DOMAIN}", provider_of("other"))
    assert next(one for one in findings if one.check == "dmarc").text == "p=none"


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
