"""Postfix: submission listeners, each with a temper of its own, all before one queue that delivers to Dovecot only."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from warmupd.sandbox.certificates import Certificates


@dataclass(frozen=True, kw_only=True, slots=True)
class Temper:
    """How one listener is minded: settings of main.cf that it has otherwise."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)


def tempers(**bad_tls: Certificates) -> tuple[Temper, ...]:
    """All that there are; `bad_tls` are certificates that clients must not trust, by the names of who shows them."""
    return (
        Temper(name="submission"),
        Temper(name="smtps", settings={"smtpd_tls_wrappermode": "yes"}),
        Temper(name="few_messages", settings={"smtpd_client_message_rate_limit": "1"}),
        Temper(name="one_connection", settings={"smtpd_client_connection_count_limit": "1"}),
        Temper(name="few_connections", settings={"smtpd_client_connection_rate_limit": "1"}),
        Temper(name="few_logins", settings={"smtpd_client_auth_rate_limit": "1"}),
        Temper(name="few_recipients", settings={"smtpd_client_recipient_rate_limit": "1"}),
        Temper(name="knows_recipients", settings={"virtual_mailbox_maps": "texthash:$config_directory/boxes"}),
        Temper(name="slow_greeting", settings={"smtpd_client_restrictions": "sleep 6"}),  # longer than a reservation
        Temper(name="slow_recipients", settings={"smtpd_recipient_restrictions": "sleep 6, $usual_recipients"}),
        Temper(name="small", settings={"message_size_limit": "1000"}),
        Temper(name="no_tls", settings={"smtpd_tls_security_level": "none", "smtpd_tls_auth_only": "no"}),
        Temper(name="no_login", settings={"smtpd_sasl_auth_enable": "no"}),
        *(Temper(name=name, settings=_shows(tls)) for name, tls in bad_tls.items()),
    )  # fmt: skip


def _shows(tls: Certificates) -> dict[str, str]:
    return {
        "smtpd_tls_chain_files": f"{tls.key_file},{tls.chain_file}",
        "smtpd_tls_cert_file": "",
        "smtpd_tls_key_file": "",
    }


MASTER = "/usr/lib/postfix/sbin/master"  # where Debian has it
_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")
_DOORS = {"maildrop": 0o730, "public": 0o710}  # for postdrop's group
_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.stack.test
mydestination =
mynetworks =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
enable_long_queue_ids = yes
default_process_limit = 200
in_flow_delay = 0

virtual_mailbox_domains = {domains}
virtual_mailbox_maps =
virtual_transport = lmtp:inet:127.0.0.1:{near.lmtp_port}
lmtp_destination_concurrency_limit = 20
lmtp_destination_recipient_limit = 1
default_transport = error:nothing leaves this machine
relay_transport = error:nothing leaves this machine
queue_run_delay = 2s
minimal_backoff_time = 2s
maximal_backoff_time = 4s
bounce_queue_lifetime = 60s
maximal_queue_lifetime = 60s

smtpd_banner = $myhostname ESMTP
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {tls.chain_file}
smtpd_tls_key_file = {tls.key_file}
smtpd_tls_mandatory_protocols = >=TLSv1.2
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{near.sasl_port}
smtpd_sender_login_maps = pcre:{folder}/config/owners
smtpd_client_event_limit_exceptions =
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_delay_reject = no
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_sender_restrictions = check_policy_service inet:127.0.0.1:{near.policy_port}, reject_sender_login_mismatch
smtpd_recipient_restrictions = $usual_recipients
usual_recipients = check_policy_service inet:127.0.0.1:{near.policy_port}, reject_unauth_destination
smtpd_end_of_data_restrictions = check_policy_service inet:127.0.0.1:{near.policy_port}
smtpd_policy_service_default_action = DUNNO
header_checks = pcre:{folder}/config/headers
"""
_SERVICES = """\
postlog   unix-dgram n - n -   1   postlogd
cleanup   unix n - n -   0   cleanup
qmgr      unix n - n 300 1   qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n -   -   trivial-rewrite
bounce    unix - - n -   0   bounce
defer     unix - - n -   0   bounce
trace     unix - - n -   0   bounce
verify    unix - - n -   1   verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n -   -   proxymap
proxywrite unix - - n -  1   proxymap
lmtp      unix - - n -   -   lmtp
error     unix - - n -   -   error
retry     unix - - n -   -   error
anvil     unix - - n -   1   anvil
showq     unix n - n -   -   showq
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbours:
    """Where on 127.0.0.1 those listen whom Postfix asks."""

    lmtp_port: int
    sasl_port: int
    policy_port: int


class Postfix:
    """A configuration in a folder of its own, and the command that runs it."""

    def __init__(
        self,
        folder: Path,
        ports: Mapping[str, int],
        minds: Sequence[Temper],
        *,
        tls: Certificates,
        addresses: Sequence[str],
        neighbours: Neighbours,
        refused: str = "",
    ) -> None:
        """`ports` by temper; `refused` is a regular expression: a Message-ID that matches is refused after the dot."""
        self.log_file = folder / "postfix.log"
        self._config = folder / "config"
        for name in ("config", "queue", "data"):
            (folder / name).mkdir()
            (folder / name).chmod(0o755)
        shutil.chown(folder / "data", user="postfix")
        _make_queue(folder / "queue")
        domains = sorted({address.rpartition("@")[2] for address in addresses})
        (self._config / "main.cf").write_text(
            _MAIN.format(
                folder=folder, tls=tls, domains=", ".join(domains), near=neighbours
            )
        )  # fmt: skip
        listeners = "".join(_listener(ports[temper.name], temper) for temper in minds)
        (self._config / "master.cf").write_text(listeners + _SERVICES)
        (self._config / "owners").write_text("/^(.+)$/ $1\n")
        (self._config / "boxes").write_text("".join(f"{address} -\n" for address in addresses))
        refusals = "/^X-Place: refuse/ REJECT 5.7.1 Message rejected as spam by content filtering\n"
        if refused:
            refusals += f"/^Message-ID: {refused}/ REJECT 5.7.1 Content refused by policy\n"
        (self._config / "headers").write_text(refusals + "/^X-Warmupd:/ INFO\n")

    @property
    def command(self) -> list[str]:
        """In the foreground; ends with SIGTERM or SIGINT, and takes its process group along.

        Not `postfix start-fg`: that is a shell between, which ends alone. The path must be absolute.
        """
        return [MASTER, "-c", str(self._config), "-s"]


def _make_queue(folder: Path) -> None:
    """As `postfix check` makes it: postfix(5) `postfix-files`."""
    for name in _QUEUES:
        (folder / name).mkdir(mode=0o700)
        shutil.chown(folder / name, user="postfix")
    for name, mode in _DOORS.items():
        (folder / name).mkdir()
        (folder / name).chmod(mode)
        shutil.chown(folder / name, user="postfix", group="postdrop")
    (folder / "pid").mkdir(mode=0o755)


def _listener(port: int, temper: Temper) -> str:
    settings = {"syslog_name": f"postfix/{temper.name}", **temper.settings}
    options = "".join(f"  -o {{ {name} = {value} }}\n" for name, value in settings.items())
    return f"127.0.0.1:{port} inet n - n - - smtpd\n{options}"
