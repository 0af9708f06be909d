"""The sections that say how the daemon stands in its world: database, worker, sending, HTTP, secrets and the like."""

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from warmupd.config.section import Section, conflict
from warmupd.config.values import (
    DatabaseUrl,
    Keys,
    Language,
    Listen,
    LocalAddress,
    MailAddress,
    MailAddresses,
    MailHosts,
    NameServers,
    Networks,
    Number,
    OptionalDatabaseUrl,
    OptionalPath,
    Port,
    Positive,
    Secret,
    Secrets,
    SecretWebAddress,
    WebAddress,
    Whole,
    Words,
    WorkerId,
    split_listen,
)


class DatabaseSection(Section):
    """Where the state lives."""

    url: DatabaseUrl = Field(SecretStr("embedded"), description='"embedded" or postgresql://, one or more hosts')
    replica_url: OptionalDatabaseUrl = Field(SecretStr(""), description="a replica for reports")
    listen_url: OptionalDatabaseUrl = Field(SecretStr(""), description="past a pooler, for LISTEN")
    pool_size: Positive = Field(10, le=1000, description="connections of one worker")
    data_dir: OptionalPath = Field(None, description="directory of the embedded Postgres")
    auto_migrate: bool = Field(True, description="whether `run` brings the schema up to date")

    @property
    def embedded(self) -> bool:
        """Whether the daemon brings its own Postgres."""
        return self.url.get_secret_value() == "embedded"


class WorkerSection(Section):
    """Which part of the mailboxes this process serves."""

    id: WorkerId = Field("auto", description='"auto", or 0 to count - 1')
    count: Positive = Field(64, le=4096, description="slots; the number of workers for integer ids")
    lease_seconds: Whole = Field(30, ge=2, le=3600, description="seconds after which a dead worker's slots move")

    @model_validator(mode="after")
    def _id_below_count(self) -> Self:
        if self.id == "auto":
            return self
        if "count" not in self.model_fields_set:
            raise conflict("is a number: say how many workers there are with worker.count", "id")
        if not 0 <= self.id < self.count:
            raise conflict(f"must be 0 to {self.count - 1}, or worker.count ({self.count}) higher", "id", "count")
        return self


class SendingSection(Section):
    """How much happens at once, and how long a mail server may take."""

    batch_size: Positive = Field(100, le=1000, description="most sends of one reservation")
    max_concurrent: Positive = Field(
        20,
        le=5000,
        description="most sends, and visits, at once of one worker; ten times as many may hang beside",
    )
    per_host_concurrent: Positive = Field(10, le=5000, description="most sends at once to one mail server")
    connect_timeout_seconds: Number = Field(15, gt=0, le=300, description="TCP, TLS and banner")
    command_timeout_seconds: Number = Field(30, gt=0, le=600, description="reply to a command up to DATA")
    body_timeout_seconds: Number = Field(60, gt=0, le=600, description="writing the message")
    reply_timeout_seconds: Number = Field(120, gt=0, le=600, description="reply after the final dot")
    max_retries: Whole = Field(4, ge=0, le=20, description="retries of a deferred send")
    source_address: LocalAddress = Field("", description="local address to connect from")


class HttpSection(Section):
    """The API, the dashboard and the metrics."""

    listen: Listen = Field("127.0.0.1:3000", description="host:port; port 0: a free one")
    same_port: bool = Field(False, description="whether every worker listens on that very port, as in containers")
    public_url: WebAddress = Field("", description="as browsers and mail readers reach it")

    @property
    def host(self) -> str:
        return split_listen(self.listen)[0]

    @property
    def port(self) -> int:
        return split_listen(self.listen)[1]


class AuthSection(Section):
    """Who may come in."""

    secret: Secret = Field(SecretStr(""), description="signs tokens; at least 32 bytes")
    previous_secrets: Secrets = Field((), description="older ones, which are still taken")
    token_minutes: Positive = Field(60, le=525_600, description="minutes")
    rate_limit: Positive = Field(10, description="log-in attempts a minute and client")
    api_rate_limit: Positive = Field(600, description="requests a minute and user")
    scrape_token: SecretStr = Field(SecretStr(""), description="for /metrics off loopback")
    trusted_proxies: Networks = Field((), description="whose X-Forwarded-For is believed")


class SecuritySection(Section):
    """Which mail servers may be talked to."""

    allow_hosts: MailHosts = Field((), description="names, addresses, networks that may be private, on any port")
    ca_file: OptionalPath = Field(None, description="PEM file of private authorities, beside the system's")


class DnsSection(Section):
    """Where domains are looked up: providers by MX, and the check of a domain's records."""

    servers: NameServers = Field((), description="address or address:port; empty: this machine's")
    timeout_seconds: Number = Field(5, gt=0, le=60, description="seconds for one answer")
    block_lists: Words = Field((), description="zones that list addresses of mail servers")
    domain_block_lists: Words = Field((), description="zones that list domains")


class NotificationsSection(Section):
    """How owners and operators hear of what needs them."""

    smtp_host: str = Field("", description="relay; empty: no mail")
    smtp_port: Port = Field(587, description="port of the relay")
    smtp_security: Literal["STARTTLS", "TLS"] = Field("STARTTLS", description="how the relay is reached")
    smtp_username: str = Field("", description="log-in name at the relay")
    smtp_password: SecretStr = Field(SecretStr(""), description="its password")
    sender: MailAddress = Field("", description="From of the notices")
    webhook_url: SecretWebAddress = Field(SecretStr(""), description="hears of the fleet's troubles by POST")
    webhook_secret: SecretStr = Field(SecretStr(""), description="signs what goes there; empty: not signed")
    webhook_form: Literal["json", "slack"] = Field("json", description="what goes there")
    operator_emails: MailAddresses = Field((), description="who hears of the fleet's troubles")

    @model_validator(mode="after")
    def _sender_with_relay(self) -> Self:
        if self.smtp_host and not self.sender:
            raise conflict("needs notifications.sender, the address that notices come from", "smtp_host")
        return self


class SecretsSection(Section):
    """Keys that credentials are sealed with."""

    keys: Keys = Field((), description="newest first")


class OAuthClient(Section):
    """One provider's registration of this installation."""

    client_id: str = Field("", description="as registered with the provider")
    client_secret: SecretStr = Field(SecretStr(""), description="likewise")
    authorize_url: WebAddress = Field("", description="where owners consent")
    token_url: WebAddress = Field("", description="where tokens are had")


class GoogleClient(OAuthClient):
    """Gmail and Google Workspace."""

    authorize_url: WebAddress = Field("https://accounts.google.com/o/oauth2/v2/auth", description="consent")
    token_url: WebAddress = Field("https://oauth2.googleapis.com/token", description="tokens")


class MicrosoftClient(OAuthClient):
    """Microsoft 365 and Outlook.com."""

    authorize_url: WebAddress = Field(
        "https://login.microsoftonline.com/common/oauth2/v2.0/authorize", description="consent"
    )
    token_url: WebAddress = Field("https://login.microsoftonline.com/common/oauth2/v2.0/token", description="tokens")


class OAuthSection(Section):
    """Log-in at providers that take no passwords."""

    google: GoogleClient = GoogleClient()
    microsoft: MicrosoftClient = MicrosoftClient()


class ContentSection(Section):
    """What messages say."""

    templates_dir: OptionalPath = Field(None, description="own templates; empty: those that come along")
    language: Language = Field("en", description="two letters; a mailbox may have its own")


class HousekeepingSection(Section):
    """What is done now and then."""

    job_retention_days: Positive = Field(7, le=3650, description="days that settled jobs are kept")
    resync_minutes: Positive = Field(15, le=1440, description="minutes between full readings of the mailboxes")


class ScalingSection(Section):
    """When one more local worker is started, and when one is stopped."""

    up_queue_depth: Positive = Field(1000, description="due sends that start one more")
    down_idle_minutes: Number = Field(10, gt=0, le=10_080, description="idle minutes that stop one")


class LoggingSection(Section):
    """What is written to stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level written")
    format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal, else json")
