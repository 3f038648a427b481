"""When an account rests."""

from uuid import UUID

from portal.delivery.rests import ENOUGH, FIRST_SECONDS, LAST_SECONDS, Rests
from portal.sdk import Receipt, SendFailed

ACCOUNT, OTHER = UUID(int=1), UUID(int=2)
DOWN = SendFailed("away")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_account_that_always_fails_rests_and_others_do_not() -> None:
    rests = Rests(Clock())
    rests.note(ACCOUNT, [DOWN] * (ENOUGH - 1))
    assert rests.left(ACCOUNT) == 0
    rests.note(ACCOUNT, [DOWN])
    assert rests.left(ACCOUNT) == FIRST_SECONDS
    assert rests.left(OTHER) == 0


def test_an_account_that_fails_now_and_then_goes_on() -> None:
    rests = Rests(Clock())
    rests.note(ACCOUNT, [DOWN, Receipt()] * 50)
    assert rests.left(ACCOUNT) == 0


def test_a_refusal_for_good_is_an_answer_of_a_healthy_vendor() -> None:
    rests = Rests(Clock())
    rests.note(ACCOUNT, [SendFailed("no such number", permanent=True)] * 100)
    assert rests.left(ACCOUNT) == 0


def test_a_failed_probe_rests_longer_up_to_a_minute_and_a_success_ends_it() -> None:
    clock = Clock()
    rests = Rests(clock)
    rests.note(ACCOUNT, [DOWN] * ENOUGH)
    waits = []
    for _ in range(8):
        clock.now += rests.left(ACCOUNT)
        assert rests.probing(ACCOUNT)
        rests.note(ACCOUNT, [DOWN])
        waits.append(rests.left(ACCOUNT))
    assert waits[:2] == [2 * FIRST_SECONDS, 4 * FIRST_SECONDS]
    assert waits[-1] == LAST_SECONDS
    clock.now += LAST_SECONDS
    rests.note(ACCOUNT, [Receipt()])
    assert rests.left(ACCOUNT) == 0
    assert not rests.probing(ACCOUNT)


def test_a_vendors_own_wait_holds_for_the_account() -> None:
    clock = Clock()
    rests = Rests(clock)
    rests.note(ACCOUNT, [SendFailed("slow down", retry_after=7.0), Receipt()])
    assert rests.left(ACCOUNT) == 7.0
    clock.now += 7
    assert rests.left(ACCOUNT) == 0
