"""What is known of mail providers, in one table that all else looks things up in.

Facts age: a line here is data, and what an owner says of a mailbox comes before it. Sources are named at each entry;
"autoconfig" is Thunderbird's public configuration database (thunderbird/autoconfig, ispdb/*.xml), read in November
2026. A None says that nothing reliable was found: then nothing is assumed.
"""

from collections.abc import Mapping
from dataclasses import replace

from warmupd.core.provider import OTHER, OWN, Provider, Server

_GMAIL = Provider(
    # mail-facts section 2: 500 a rolling 24 h, 15 IMAP connections, poll no more than every 15 min, copies in Sent;
    # servers and domains: autoconfig googlemail.com.
    word="gmail",
    name="Gmail",
    smtp=Server(host="smtp.gmail.com", port=587, security="STARTTLS"),
    imap=Server(host="imap.gmail.com", port=993, security="TLS"),
    domains=("gmail.com", "googlemail.com"),
    hosts=("gmail.com", "googlemail.com"),
    junk=("Spam",),
    sent=("Sent Mail",),
    keeps_sent=True,
    daily_limit=500,
    connections=15,
    poll_minutes=15,
    hint="turn on 2-step verification and make an app password, or use --oauth google",
)
_MICROSOFT = Provider(
    # mail-facts section 2: 10,000 recipients a day, 3 connections, copies in Sent, basic SMTP AUTH off by default from
    # the end of December 2026; servers and MX: autoconfig office365.com. Selectors and SPF: Microsoft's DKIM pages.
    word="microsoft",
    name="Microsoft 365",
    smtp=Server(host="smtp.office365.com", port=587, security="STARTTLS"),
    imap=Server(host="outlook.office365.com", port=993, security="TLS"),
    exchanges=("mail.protection.outlook.com",),
    hosts=("office365.com", "outlook.com"),
    junk=("Junk Email",),
    sent=("Sent Items",),
    keeps_sent=True,
    daily_limit=10_000,
    connections=3,
    needs_oauth=True,
    selectors=("selector1", "selector2"),
    spf="spf.protection.outlook.com",
    hint="use --oauth microsoft; its administrator must allow authenticated SMTP and IMAP for the mailbox",
)
_OUTLOOK = replace(
    # mail-facts section 2: by reputation, 10 to 50 a day when new, so the ramp and the limit that is learnt from its
    # refusals matter more than the number here; IMAP off by default; XOAUTH2 only. Domains and MX:
    # autoconfig hotmail.com, which has more countries' domains: those are found by their MX.
    _MICROSOFT,
    word="outlook",
    name="Outlook.com",
    domains=(
        "outlook.com",
        "hotmail.com",
        "live.com",
        "msn.com",
        "hotmail.co.uk",
        "hotmail.de",
        "hotmail.fr",
        "live.de",
    ),
    exchanges=("olc.protection.outlook.com",),
    daily_limit=50,
    connections=None,
    selectors=(),
    spf="",
    hint="turn IMAP on in its settings and use --oauth microsoft",
)
_YAHOO = Provider(
    # mail-facts section 2 and help.yahoo.com SLN17518 (500 messages a day; small business); autoconfig yahoo.com.
    word="yahoo",
    name="Yahoo",
    smtp=Server(host="smtp.mail.yahoo.com", port=465, security="TLS"),
    imap=Server(host="imap.mail.yahoo.com", port=993, security="TLS"),
    domains=("yahoo.com", "yahoo.co.uk", "yahoo.de", "yahoo.fr", "yahoo.it", "yahoo.es", "ymail.com", "rocketmail.com"),
    exchanges=("yahoodns.net",),
    hosts=("mail.yahoo.com",),
    junk=("Bulk", "Bulk Mail"),
    sent=("Sent",),
    daily_limit=500,
    hint="make an app password in its account security",
)
_ZOHO = Provider(
    # mail-facts section 2: copies in Sent, limits not published; servers: autoconfig zoho.com and zoho.eu, for domains
    # of one's own imappro and smtppro of the region (Zoho's IMAP help). Selector zmail: its DKIM help. What SPF
    # includes depends on the region, and sources differ.
    word="zoho",
    name="Zoho Mail",
    smtp=Server(host="smtp.zoho.com", port=465, security="TLS"),
    imap=Server(host="imap.zoho.com", port=993, security="TLS"),
    domains=("zoho.com", "zohomail.com"),
    hosts=("zoho.com", "zoho.eu", "zoho.in", "zoho.com.au"),
    junk=("Spam",),
    sent=("Sent",),
    keeps_sent=True,
    selectors=("zmail", "zoho"),
    hint="turn IMAP access on in its settings; with two factors it takes an app password only",
)
_GMX = Provider(
    # Servers: autoconfig gmx.net, gmx.com and web.de; the folder Spamverdacht: hilfe.gmx.net, Spamschutz.
    word="gmx",
    name="GMX",
    smtp=Server(host="mail.gmx.net", port=465, security="TLS"),
    imap=Server(host="imap.gmx.net", port=993, security="TLS"),
    domains=("gmx.net", "gmx.de", "gmx.at", "gmx.ch", "gmx.eu", "gmx.org", "gmx.info", "gmx.biz"),
    exchanges=("gmx.net",),
    hosts=("gmx.net", "gmx.com"),
    junk=("Spamverdacht", "Spam"),
    sent=("Gesendet", "Sent"),
    hint="allow access by IMAP in its settings",
)
_IONOS = Provider(
    # imap.ionos.TLD and smtp.ionos.TLD, DKIM: ionos.fr and ionos.de help pages; MX mx00.ionos.TLD: zones in public use.
    word="ionos",
    name="IONOS",
    smtp=Server(host="smtp.{exchange}", port=465, security="TLS"),
    imap=Server(host="imap.{exchange}", port=993, security="TLS"),
    exchanges=("ionos.com", "ionos.de", "ionos.fr", "ionos.es"),
    hosts=("ionos.com", "ionos.de", "ionos.fr", "ionos.es", "1und1.de"),
    selectors=("s1-ionos", "s2-ionos"),
)

TABLE: tuple[Provider, ...] = (
    _GMAIL,
    replace(
        # mail-facts section 2: 2,000 a rolling 24 h, 500 on trial. MX: autoconfig; SPF and selector: Google's help.
        _GMAIL,
        word="google",
        name="Google Workspace",
        domains=(),
        exchanges=("google.com", "googlemail.com"),
        daily_limit=2000,
        selectors=("google",),
        spf="_spf.google.com",
    ),
    _OUTLOOK,
    _MICROSOFT,
    _YAHOO,
    replace(
        # autoconfig yahoo.com: the MX hosts are shared with Yahoo, so its own domains alone tell. Servers: AOL's help.
        _YAHOO,
        word="aol",
        name="AOL",
        smtp=Server(host="smtp.aol.com", port=465, security="TLS"),
        imap=Server(host="imap.aol.com", port=993, security="TLS"),
        domains=("aol.com", "aim.com"),
        exchanges=(),
        hosts=("aol.com",),
    ),
    Provider(
        # mail-facts section 2 and support.apple.com 102198: 1,000 a day. Servers, user names: autoconfig me.com. Does
        # it keep copies in Sent? Clients' reports differ. MX and selector sig1: Apple's custom e-mail domain set-up.
        word="icloud",
        name="iCloud Mail",
        smtp=Server(host="smtp.mail.me.com", port=587, security="STARTTLS"),
        imap=Server(host="imap.mail.me.com", port=993, security="TLS", username="{local}"),
        domains=("icloud.com", "me.com", "mac.com"),
        exchanges=("mail.icloud.com",),
        hosts=("mail.me.com",),
        junk=("Junk",),
        sent=("Sent Messages",),
        daily_limit=1000,
        selectors=("sig1",),
        spf="icloud.com",
        hint="make an app-specific password; for a domain of one's own the user name is that of the iCloud account",
    ),
    _ZOHO,
    replace(
        _ZOHO,
        smtp=replace(_ZOHO.smtp, host="smtp.zoho.eu") if _ZOHO.smtp else None,
        imap=replace(_ZOHO.imap, host="imap.zoho.eu") if _ZOHO.imap else None,
        domains=("zoho.eu", "zohomail.eu"),
    ),
    replace(
        _ZOHO,
        smtp=Server(host="smtppro.{exchange}", port=465, security="TLS"),
        imap=Server(host="imappro.{exchange}", port=993, security="TLS"),
        domains=(),
        exchanges=("zoho.com", "zoho.eu", "zoho.in", "zoho.com.au"),
    ),
    Provider(
        # mail-facts section 2: copies in Sent. Servers: Fastmail's "Server names and ports"; DKIM and SPF: its help.
        word="fastmail",
        name="Fastmail",
        smtp=Server(host="smtp.fastmail.com", port=465, security="TLS"),
        imap=Server(host="imap.fastmail.com", port=993, security="TLS"),
        domains=("fastmail.com", "fastmail.fm"),
        exchanges=("messagingengine.com",),
        hosts=("fastmail.com", "messagingengine.com"),
        keeps_sent=True,
        selectors=("fm1", "fm2", "fm3"),
        spf="spf.messagingengine.com",
        hint="make an app password for it",
    ),
    _GMX,
    replace(
        _GMX,
        smtp=Server(host="mail.gmx.com", port=465, security="TLS"),
        imap=Server(host="imap.gmx.com", port=993, security="TLS"),
        domains=("gmx.com", "gmx.us", "gmx.co.uk", "gmx.fr", "gmx.es", "gmx.it"),
        exchanges=(),
    ),
    replace(
        _GMX,
        word="webde",
        name="WEB.DE",
        smtp=Server(host="smtp.web.de", port=587, security="STARTTLS", username="{local}"),
        imap=Server(host="imap.web.de", port=993, security="TLS", username="{local}"),
        domains=("web.de",),
        exchanges=("web.de",),
        hosts=("web.de",),
    ),
    _IONOS,
    replace(
        _IONOS,  # autoconfig 1und1.de: its older MX hosts
        smtp=Server(host="smtp.1und1.de", port=465, security="TLS"),
        imap=Server(host="imap.1und1.de", port=993, security="TLS"),
        exchanges=("kundenserver.de", "schlund.de"),
    ),
    Provider(
        # OVHcloud's guides: ssl0.ovh.net, MX mx1.mail.ovh.net, SPF mx.ovh.com, DKIM ovhmo-selector-1 and -2.
        word="ovh",
        name="OVHcloud",
        smtp=Server(host="ssl0.ovh.net", port=465, security="TLS"),
        imap=Server(host="ssl0.ovh.net", port=993, security="TLS"),
        exchanges=("mail.ovh.net",),
        hosts=("mail.ovh.net", "ssl0.ovh.net"),
        selectors=("ovhmo-selector-1", "ovhmo-selector-2"),
        spf="mx.ovh.com",
    ),
    Provider(
        # cPanel's "Set Up Mail Client": mail.DOMAIN, 465 and 993; its DKIM selector is "default".
        word=OWN,
        name="a mail server of the domain's own",
        smtp=Server(host="mail.{domain}", port=465, security="TLS"),
        imap=Server(host="mail.{domain}", port=993, security="TLS"),
        junk=("Junk", "Spam"),
        sent=("Sent",),
        keeps_sent=False,
        selectors=("default",),
    ),
    Provider(word=OTHER, name="not known"),
)
PROVIDERS: Mapping[str, Provider] = {row.word: row for row in reversed(TABLE)}  # of several rows of a word the first
