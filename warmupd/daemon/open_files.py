"""How many files this process may open: each conversation with a mail server is one."""

import resource

OTHERS = 120  # files that are none: the log, Postgres, HTTP clients, name servers, templates, libraries
MOST = 2**20  # more than one process has any use for, and some systems call "unlimited" what they do not grant
GRANTED = 10_240  # what macOS grants a process that may have "unlimited"


def raise_limit() -> int:
    """Let this process open as many files as it may without being root. How many those are; children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    for wanted in (MOST if unlimited else min(hard, MOST), GRANTED):
        if soft != resource.RLIM_INFINITY and soft < wanted and (unlimited or wanted <= hard):
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            except (OSError, ValueError):
                continue
            break
    return limit()


def limit() -> int:
    """How many files this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else soft


def share() -> int:
    """How many of them the sends may take, and as many the visits."""
    return max(1, (limit() - OTHERS) // 2)


def shortage(files: int, *, conversations: int) -> str:
    """What cannot be with so many files where so many `conversations` may be at once; "" when all can."""
    needed = conversations + OTHERS
    if files >= needed:
        return ""
    return f"{files} files may be open, and up to {needed} could be: {conversations} conversations with mail servers"


REMEDY = "raise the hard limit of open files (LimitNOFILE= of systemd, ulimit -Hn), or lower sending.max_concurrent"
