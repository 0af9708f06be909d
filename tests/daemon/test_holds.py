"""What holds mailboxes back: servers that are away are left alone step by step, busy ones let one in as one leaves."""

from uuid import UUID

from tests.daemon.rig import BEGIN
from warmupd.clock import VirtualClock
from warmupd.core.mailbox import Hours, Mailbox, MailboxState, Ramp
from warmupd.daemon.holds import Holds

HOST = "mail.test"


def box(number: int) -> Mailbox:
    return Mailbox(
        id=number,
        user_id=UUID(int=1),
        pool_id=1,
        domain="one.test",
        state=MailboxState.ACTIVE,
        priority=0,
        zone="UTC",
        hours=Hours(start=6, end=22),
        ramp=Ramp(start=5, step=3, target=40, floor=30),
        ramp_days=0,
        smtp_host=HOST,
        lane=HOST,
    )


def test_sends_that_were_under_way_do_not_make_it_longer() -> None:
    holds = Holds(VirtualClock(BEGIN))
    assert [holds.host_failed(HOST, None) for _ in range(10)] == [None, None, 60.0] + [None] * 7


def test_each_failed_probe_makes_it_longer_and_an_answer_ends_it() -> None:
    clock = VirtualClock(BEGIN)
    holds = Holds(clock)
    waits = []
    for _ in range(7):
        if (wait := holds.host_failed(HOST, None)) is not None:
            waits.append(wait)
            clock.advance(wait)
    assert waits == [60.0, 300.0, 900.0, 1800.0, 1800.0]
    holds.host_failed(HOST, None)
    holds.host_answered(HOST)
    assert holds.host_wait(HOST) is None
    assert holds.host_failed(HOST, None) is None


def test_server_that_names_its_time_is_left_alone_as_long() -> None:
    clock = VirtualClock(BEGIN)
    holds = Holds(clock)
    assert holds.host_failed(HOST, 3600.0) == 3600.0
    clock.advance(3599)
    assert holds.host_wait(HOST) == 1.0
    assert holds.host_wait("other.test") is None


def test_as_many_leave_the_queue_as_there_is_room_for() -> None:
    holds = Holds(VirtualClock(BEGIN))
    holds.permits.enter("a", HOST)
    holds.permits.enter("b", HOST)
    for number in (1, 2, 3, 4):
        holds.queue_for_host(box(number))
    assert holds.release(BEGIN, per_host=2, most=9) == []
    holds.permits.leave("a")
    assert holds.release(BEGIN, per_host=2, most=9) == [1]
    holds.discard(2)  # it was planned anew
    holds.permits.leave("b")
    assert holds.release(BEGIN, per_host=3, most=9) == [3, 4]
    assert not holds.waits(3)
