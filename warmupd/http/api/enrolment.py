"""`POST /api/warmup/mailboxes` and `POST /api/warmup/mailboxes/import`: enrolling one mailbox, and many."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from warmupd.core.application import Application
from warmupd.core.finding import Finding
from warmupd.daemon.admission import Manner
from warmupd.daemon.import_report import row_of
from warmupd.daemon.import_run import import_now
from warmupd.errors import UsageError, WarmupdError
from warmupd.http.admitting import admit, owner_of, read_texts, refusal
from warmupd.http.identity import Owner
from warmupd.http.problem import Problem, problems
from warmupd.http.site import site_of
from warmupd.http.trials import trials_of
from warmupd.http.wording import for_api

MOST_ROWS = 1000  # of a sheet whose answer somebody waits for
CSV = {"schema": {"type": "string", "format": "binary"}}

router = APIRouter(prefix="/api/warmup/mailboxes", tags=["mailboxes"])

Text = Annotated[str, Field(max_length=200)]
Secret = Annotated[str, Field(max_length=4096, repr=False)]
Label = Annotated[str, Field(pattern=r"^[^\s,;]{1,200}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=0, le=100_000)]
Security = Literal["TLS", "STARTTLS"]


class NewMailbox(BaseModel):
    """A mailbox to be enrolled. Known providers need an address and a password only."""

    model_config = ConfigDict(extra="forbid")

    address: Annotated[str, Field(max_length=320, examples=["anna@example.com"])]
    user: Annotated[str, Field("", max_length=320, description="whose it becomes; only for an admin")]
    name: Text = ""
    password: Annotated[Secret, Field("", description="of both servers")]
    smtp_password: Secret = ""
    imap_password: Secret = ""
    oauth: Literal["google", "microsoft", ""] = ""
    refresh_token: Secret = ""
    provider: Text = ""
    smtp_host: Text = ""
    smtp_port: Port | None = None
    smtp_security: Security | None = None
    smtp_username: Text = ""
    imap_host: Text = ""
    imap_port: Port | None = None
    imap_security: Security | None = None
    imap_username: Text = ""
    labels: Annotated[list[Label], Field([], max_length=100)]
    pool: Annotated[Text, Field("", description="a shared pool's name")]
    timezone: Text = ""
    language: Text = ""
    junk_folder: Text = ""
    weekdays_only: bool | None = None
    start_hour: Count | None = None
    end_hour: Count | None = None
    ramp_start: Count | None = None
    ramp_step: Count | None = None
    target_daily: Count | None = None
    min_daily: Count | None = None
    own_mail: Count | None = None
    provider_limit: Count | None = None
    already_warm: bool = False
    paused: bool = False
    check: Annotated[bool, Field(True, description="try both logins first; only an admin may do without")]
    guess: Annotated[bool, Field(False, description="where no server is known, try smtp.DOMAIN and imap.DOMAIN")]
    anew: Annotated[bool, Field(False, description="although its removal could be undone")]


class CheckLine(BaseModel):
    """One thing that was looked at."""

    grade: Literal["ok", "warn", "fail"]
    check: str
    text: str
    remedy: str


class Enrolled(BaseModel):
    """A mailbox that was enrolled."""

    id: int
    address: str
    user: str
    state: Literal["ACTIVE", "PAUSED"]
    checks: list[CheckLine]


class ImportOptions(BaseModel):
    """What holds for every row."""

    model_config = ConfigDict(extra="forbid")

    user: Annotated[str, Field("", max_length=320, description="whose they become; only for an admin")]
    label: Annotated[list[Label], Field([], max_length=100, description="given to every row")]
    pool: Annotated[Text, Field("", description="of rows that name none")]
    already_warm: bool = False
    guess: Annotated[bool, Field(False, description="where no server is known, try smtp.DOMAIN and imap.DOMAIN")]
    anew: Annotated[bool, Field(False, description="although a removal could be undone")]
    dry_run: Annotated[bool, Field(False, description="check, and save nothing; no refresh token is used")]
    check: Annotated[bool, Field(True, description="try both logins first; only an admin may do without")]


class ImportedRow(BaseModel):
    """What has become of a row."""

    row: int
    address: str
    result: Literal["good", "enrolled", "already enrolled", "rejected"]
    reason: str
    remedy: str
    mailbox_id: int | None


class Imported(BaseModel):
    """An import, row by row."""

    counts: dict[str, int]
    notes: list[str]
    rows: list[ImportedRow]


@router.post("", status_code=201, summary="Enrol a mailbox", response_model=Enrolled, responses=problems(404, 409))
async def enrol(new: NewMailbox, request: Request, response: Response, identity: Owner) -> Enrolled:
    """Tries SMTP and IMAP, and enrols the mailbox when both let us in. It begins to send within a minute, in its
    window. 422 names the fields that cannot be used, or says which server refused; nothing is stored then.
    """
    form = read_texts(_texts(new))
    if form.application is None:
        raise Problem(422, "the mailbox cannot be enrolled as it is", errors=_told(form.errors))
    user = await owner_of(request, identity, new.user)
    findings: list[Finding] = []
    async with trials_of(request).turn(request, identity.user_id):
        try:
            enrolled = await admit(
                request,
                identity,
                form,
                user=user,
                tell=findings.append,
                manner=Manner(check=new.check, anew=new.anew),
            )
        except WarmupdError as error:
            raise refusal(error, for_api) from error
    response.headers["Cache-Control"] = "no-store"
    response.headers["Location"] = f"/api/warmup/mailbox?id={enrolled}"
    return _enrolled(enrolled or 0, form.application, user.email, findings)


@router.post(
    "/import",
    summary="Enrol the mailboxes of a CSV file",
    response_model=Imported,
    responses=problems(404, 409),
    openapi_extra={
        "requestBody": {"required": True, "content": {"text/csv": CSV, "application/octet-stream": CSV}},
    },
)
async def import_csv(
    request: Request,
    response: Response,
    identity: Owner,
    asked: Annotated[ImportOptions, Query()],
) -> Imported:
    """The body is the file, as other tools export it: its first row names the columns. Tries SMTP and IMAP of every
    row in parallel, saves the good rows, and answers when that is done, with every row. Rows that are enrolled already
    are left as they are. At most 1,000 rows: more are imported on the dashboard or the command line.
    """
    if not asked.check and not identity.is_admin:
        raise Problem(403, "only an admin enrols mailboxes without a check of their logins")
    site, owner = site_of(request), await owner_of(request, identity, asked.user)
    options = asked.model_dump(exclude={"user"}) | {"pool": asked.pool or None, "by_admin": identity.is_admin}
    async with trials_of(request).importing(identity.user_id):
        content = await request.body()
        _check_rows(content)
        importing, notes = await import_now(
            site.config, site.db, site.clock, content, user=owner, options=options, actor=identity.email
        )
    response.headers["Cache-Control"] = "no-store"
    rows = [ImportedRow(**_in_words(row_of(row))) for row in importing.rows]
    return Imported(counts=dict(importing.counts()), notes=[for_api(note) for note in notes], rows=rows)


def _texts(new: NewMailbox) -> dict[str, str]:
    """As a form has them: the fields of core/sheet_columns.py."""
    said = new.model_dump(exclude_none=True, exclude={"address", "user", "labels", "paused", "check", "anew"})
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in said.items()}
    return texts | {"email": new.address, "labels": " ".join(new.labels), "warmup": "no" if new.paused else ""}


def _told(errors: Mapping[str, UsageError]) -> list[dict[str, str]]:
    names = {"email": "address"}
    return [
        {"field": names.get(name, name), "detail": for_api(str(error).replace("the column ", "the field "))}
        for name, error in errors.items()
    ]


def _enrolled(mailbox_id: int, application: Application, user: str, findings: Sequence[Finding]) -> Enrolled:
    checks = [
        CheckLine(grade=one.grade.value, check=one.check, text=for_api(one.text), remedy=for_api(one.remedy))
        for one in findings
    ]
    return Enrolled(
        id=mailbox_id,
        address=application.address,
        user=user,
        state="PAUSED" if application.pause_reason else "ACTIVE",
        checks=checks,
    )


def _check_rows(content: bytes) -> None:
    """By its line ends: cells may hold some, so this counts too many rather than too few."""
    if max(content.count(b"\n"), content.count(b"\r")) > MOST_ROWS + 1:
        raise Problem(413, f"the file has more than {MOST_ROWS:,} rows", remedy="import it in parts")


def _in_words(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "reason": for_api(row["reason"]), "remedy": for_api(row["remedy"])}
