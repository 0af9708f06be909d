"""Dovecot: IMAP for the accounts, LMTP with Sieve for Postfix, SASL for its logins; and doveadm, which sees all."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from warmupd.errors import WarmupdError
from warmupd.sandbox.certificates import Certificates

_SIEVE = """\
require ["fileinto", "mailbox", "regex", "special-use"];
if anyof (header :is "X-Place" "junk", header :regex "Message-ID" "^<[a-z2-7]{{39}}[{junk}]@") {{
    if specialuse_exists "\\\\Junk" {{ fileinto :specialuse "\\\\Junk" "Junk"; }}
    elsif mailboxexists "Junk" {{ fileinto "Junk"; }}
}} elsif anyof (header :is "X-Place" "other", header :regex "Message-ID" "^<[a-z2-7]{{39}}[{other}]@") {{
    fileinto :create "Promotions";
}}
"""
_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
log_timestamp = "%Y-%m-%d %H:%M:%S "
protocols = imap lmtp
listen = 127.0.0.1
ssl = required
ssl_cert = <{tls.chain_file}
ssl_key = <{tls.key_file}
ssl_min_protocol = TLSv1.2
local 127.0.0.2 {{
  ssl_cert = <{expired.chain_file}
  ssl_key = <{expired.key_file}
}}
auth_mechanisms = plain login
auth_failure_delay = 0
first_valid_uid = 1
mail_location = maildir:~/mail
mail_fsync = never
mail_max_userip_connections = 200
mail_plugins = quota
postmaster_address = postmaster@stack.test
hostname = stack.test
default_process_limit = 1200
default_client_limit = 4000
passdb {{
  driver = passwd-file
  args = {folder}/users/boxes
}}
userdb {{
  driver = passwd-file
  args = {folder}/users/boxes
}}
service imap-login {{
  service_count = 0
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
    ssl = yes
  }}
  inet_listener imaps_expired {{
    address = 127.0.0.2
    port = {imaps_port}
    ssl = yes
  }}
}}
service imap {{
  service_count = 1
  process_limit = 1200
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp_port}
  }}
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {sasl_port}
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Junk {{
    special_use = \\Junk
    auto = create
  }}
  mailbox Sent {{
    special_use = \\Sent
    auto = create
  }}
  mailbox Trash {{
    special_use = \\Trash
    auto = create
  }}
  mailbox Drafts {{
    special_use = \\Drafts
    auto = create
  }}
}}
protocol imap {{
  mail_plugins = quota imap_quota
}}
protocol lmtp {{
  mail_plugins = quota sieve
}}
plugin {{
  sieve_before = {folder}/sieve/place.sieve
  sieve_extensions = +special-use
  quota = count:User quota
  quota_vsizes = yes
  quota_grace = 0
}}
"""
_PATIENCE = 30  # seconds that a doveadm command may take


@dataclass(frozen=True, kw_only=True, slots=True)
class DovecotPorts:
    """Where it listens, on 127.0.0.1."""

    imap: int  # STARTTLS
    imaps: int
    lmtp: int
    sasl: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sorting:
    """What Sieve does by the last of the 32 letters of our Message-IDs: each letter is a share of a 32nd."""

    junk: str = "1"  # a digit that base32 does not have: none
    other: str = "1"


class Dovecot:
    """A configuration in a folder of its own, the command that runs it, and questions that it alone can answer."""

    def __init__(
        self, folder: Path, ports: DovecotPorts, tls: Certificates, sorting: Sorting, *, expired: Certificates
    ) -> None:
        """At 127.0.0.2 it shows the `expired` certificate."""
        self.folder = folder
        self.config_file = folder / "dovecot.conf"
        self.log_file = folder / "dovecot.log"
        self.boxes_file = folder / "users" / "boxes"
        self.mail = folder / "mail"
        for name in ("run", "state", "sieve", "users"):
            (folder / name).mkdir()
            (folder / name).chmod(0o755)
        shutil.chown(self.boxes_file.parent, group="dovecot")
        self.boxes_file.parent.chmod(0o750)
        self.mail.mkdir()
        self.mail.chmod(0o1777)
        self.config_file.write_text(
            _CONFIG.format(
                folder=folder,
                tls=tls,
                expired=expired,
                imap_port=ports.imap,
                imaps_port=ports.imaps,
                lmtp_port=ports.lmtp,
                sasl_port=ports.sasl,
            )
        )
        script = folder / "sieve" / "place.sieve"
        script.write_text(_SIEVE.format(junk=sorting.junk, other=sorting.other))
        self._run(["sievec", "-c", str(self.config_file), "-x", "+special-use", str(script)])

    @property
    def command(self) -> list[str]:
        """In the foreground; ends with SIGTERM, and takes its children along."""
        return ["dovecot", "-F", "-c", str(self.config_file)]

    def doveadm(self, *arguments: str) -> str:
        """What a doveadm command prints. Raises WarmupdError with its complaint."""
        return self._run(["doveadm", "-c", str(self.config_file), *arguments])

    def _run(self, command: Sequence[str]) -> str:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
        if done.returncode:
            raise WarmupdError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()[-500:]}")
        return done.stdout.decode(errors="replace")
