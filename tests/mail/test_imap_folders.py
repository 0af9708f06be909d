"""Which folder is Junk, Sent, ours: in the ways of many providers."""

import pytest

from warmupd.core.placement import FolderRole, Placement, placement_of
from warmupd.core.provider_match import provider_of
from warmupd.core.providers import PROVIDERS
from warmupd.mail.imap_folders import MOST_OCTETS, Folder, Folders, _made_out, listed_folder, listed_folders
from warmupd.mail.imap_syntax import Reply, to_modified_utf7, values


def folders(*lines: str, junk_folder: str = "", warmup_folder: str = "Warmup", provider: str = "other") -> Folders:
    """From `attributes|separator|name`."""
    listed = []
    for line in lines:
        attributes, separator, name = line.split("|")
        wire = to_modified_utf7(name).decode()
        folder = listed_folder(values([f'LIST ({attributes}) "{separator}" "{wire}"'.encode()]))
        assert folder is not None
        listed.append(folder)
    return Folders(listed, junk_folder=junk_folder, warmup_folder=warmup_folder, provider=provider_of(provider))


def roles(found: Folders) -> dict[str, FolderRole]:
    return {folder.name: folder.role for folder in found}


@pytest.mark.parametrize(
    "line",
    [
        "|/|Junk", "|/|Junk Email", "|/|Spam", "|.|INBOX.Junk", "|.|INBOX.spam", "|/|[Gmail]/Spam", "|/|Bulk Mail",
        "|/|Bulk", "|/|Courrier indésirable", "|/|Junk-E-Mail", "\\Junk|/|[Gmail]/Ongewenst", "\\Junk|/|Irgendwas",
        "|/|INBOX/JUNK E-MAIL",
    ],
)  # fmt: skip
def test_junk_is_known_by_flag_or_name(line: str) -> None:
    name = line.split("|")[2]
    found = folders("|/|Clients", line)
    assert roles(found) == {"INBOX": FolderRole.INBOX, name: FolderRole.JUNK, "Clients": FolderRole.OTHER}


@pytest.mark.parametrize("line", ["|/|Projects/Junk", "|/|Junkyard", "\\Sent|/|Spam", "|.|Junk/Art"])
def test_what_only_looks_like_junk_is_not(line: str) -> None:
    assert folders(line).first(FolderRole.JUNK) is None


def test_the_owners_word_comes_before_flags_and_flags_before_names() -> None:
    lines = ("|.|INBOX.Spam", "\\Junk|.|INBOX.Unwanted", "|.|INBOX.Reklama")
    found, by_flag = folders(*lines, junk_folder="reklama"), folders(*lines)
    assert found.first(FolderRole.JUNK) == found.named("INBOX.Reklama")
    assert by_flag.first(FolderRole.JUNK) == by_flag.named("INBOX.Unwanted")
    assert sum(folder.role is FolderRole.JUNK for folder in found) == 3


@pytest.mark.parametrize(
    ("provider", "lines", "name"),
    [
        ("yahoo", ["|/|Spam", "|/|Bulk"], "Bulk"),
        ("other", ["|/|Spam", "|/|Bulk"], "Spam"),
        ("gmx", ["|/|Junk", "|/|Spamverdacht"], "Spamverdacht"),
        ("own", ["|.|INBOX.Spam", "|.|INBOX.Junk"], "INBOX.Junk"),
        ("yahoo", ["\\Junk|/|Spam", "|/|Bulk"], "Spam"),
        ("microsoft", ["|/|Junk-E-Mail"], "Junk-E-Mail"),
        ("gmail", ["|/|[Gmail]/Spam", "|/|Junk"], "[Gmail]/Spam"),
    ],
)
def test_a_providers_own_name_comes_after_flags_and_before_all_other_names(
    provider: str, lines: list[str], name: str
) -> None:
    found = folders(*lines, provider=provider)
    assert found.first(FolderRole.JUNK) == found.named(name)


def test_the_folder_of_sent_mail_is_the_one_that_the_provider_fills() -> None:
    lines = ("|/|Sent", "|/|Sent Messages", "|/|Sent Items")
    names = {word: folders(*lines, provider=word).first(FolderRole.SENT) for word in ("other", "icloud", "microsoft")}
    assert {word: folder.name for word, folder in names.items() if folder} == {
        "other": "Sent",
        "icloud": "Sent Messages",
        "microsoft": "Sent Items",
    }


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_a_mailbox_without_any_junk_folder_has_none(provider: str) -> None:
    assert folders("|/|Clients", "|/|Sent", provider=provider).first(FolderRole.JUNK) is None


def test_gmail_views_have_their_roles() -> None:
    found = folders(
        "\\HasChildren \\Noselect|/|[Gmail]", "\\All|/|[Gmail]/Alle Nachrichten", "\\Flagged|/|[Gmail]/Markiert",
        "\\Sent|/|[Gmail]/Gesendet", "\\Trash|/|[Gmail]/Papierkorb", "\\Drafts|/|[Gmail]/Entwürfe",
    )  # fmt: skip
    readable = {folder.name: folder.role for folder in found if folder.can_be_read}
    assert readable == {
        "INBOX": FolderRole.INBOX,
        "[Gmail]/Alle Nachrichten": FolderRole.ALL,
        "[Gmail]/Gesendet": FolderRole.SENT,
        "[Gmail]/Papierkorb": FolderRole.TRASH,
        "[Gmail]/Entwürfe": FolderRole.DRAFTS,
    }


@pytest.mark.parametrize(
    ("lines", "prefix", "name"),
    [
        (["|.|INBOX.Sent"], None, "INBOX.Warmup"),
        (["|.|INBOX.Sent"], "INBOX.", "INBOX.Warmup"),
        (["|.|INBOX.Sent"], "", "Warmup"),
        (["|/|Sent"], None, "Warmup"),
        ([], None, "Warmup"),
    ],
)
def test_the_warmup_folder_lies_where_folders_may_be_made(lines: list[str], prefix: str | None, name: str) -> None:
    assert folders(*lines).warmup_folder(prefix).name == name


@pytest.mark.parametrize("line", ["|/|Mail/Warmup", "|.|INBOX.Mail.Warmup"])
def test_a_warmup_folder_on_a_deeper_level_is_found_again(line: str) -> None:
    assert folders(line, warmup_folder="Mail/Warmup").first(FolderRole.WARMUP) is not None


def test_a_name_that_is_not_modified_utf7_is_sent_back_as_it_came() -> None:
    folder = listed_folder(values([b'LIST () "/" "R&D"']))
    assert folder == Folder(name="R&D", wire=b"R&D", separator="/")


@pytest.mark.parametrize(
    ("seen", "placement"),
    [
        ([], None),
        (["SENT"], None),
        (["SENT", "ALL"], None),
        (["ALL"], Placement.OTHER),
        (["ALL", "INBOX"], Placement.INBOX),
        (["JUNK"], Placement.SPAM),
        (["JUNK", "INBOX"], Placement.INBOX),
        (["WARMUP"], Placement.OTHER),
        (["TRASH", "SENT"], Placement.OTHER),
        (["DRAFTS"], None),
    ],
)
def test_where_it_was_seen_makes_the_placement(seen: list[str], placement: Placement | None) -> None:
    assert placement_of(FolderRole(role) for role in seen) is placement


def test_own_folder_below_a_prefix_is_found_again_once_the_prefix_is_known() -> None:
    found = folders("|/|Mail/Sent", "|/|Mail/Warmup", "|/|Mail/Reklama", junk_folder="Reklama")
    unknown = found.may_have_prefix
    found.set_prefix("Mail/")
    assert (unknown, found.may_have_prefix) == (True, False)
    assert [folder.name for folder in found if folder.role is FolderRole.WARMUP] == ["Mail/Warmup"]
    assert found.first(FolderRole.JUNK) == found.named("Mail/Reklama")


@pytest.mark.parametrize("lines", [["|/|Warmup", "|/|Clients/Warmup"], ["|.|INBOX.Warmup"], ["|/|Clients"], []])
def test_nobody_is_asked_for_a_prefix_that_would_change_nothing(lines: list[str]) -> None:
    assert not folders(*lines).may_have_prefix


@pytest.mark.parametrize(("length", "kept"), [(10, True), (MOST_OCTETS, False)])
def test_long_lists_are_made_out_but_not_kept(length: int, kept: bool) -> None:
    line = b'LIST () "/" ' + b"k" * length
    reply = Reply(status="OK", text="", codes={}, untagged=[[line]])
    _made_out.cache_clear()
    found = listed_folders(reply, junk_folder="", warmup_folder="Warmup", provider=provider_of("other"))
    assert "k" * length in roles(found)
    assert _made_out.cache_info().currsize == int(kept)
