"""Many at a time, or one alone."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from superres.engines.turns import Turns


def test_nobody_is_beside_one_who_is_alone():
    turns, lock = Turns(), threading.Lock()
    inside = {"together": 0, "alone": 0}
    most = {"together": 0, "alone": 0}

    def work(number):
        how = "alone" if number % 5 == 0 else "together"
        with getattr(turns, how)():
            with lock:
                inside[how] += 1
                most[how] = max(most[how], inside[how])
                assert not (inside["alone"] and inside["together"])
            time.sleep(0.002)
            with lock:
                inside[how] -= 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(100)))
    assert most["alone"] == 1
    assert most["together"] > 1


def test_who_waits_to_be_alone_is_not_passed_by():
    turns, order = Turns(), []
    entered, leave = threading.Event(), threading.Event()

    def first():
        with turns.together():
            entered.set()
            leave.wait(10)

    def alone():
        with turns.alone():
            order.append("alone")

    def late():
        with turns.together():
            order.append("late")

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert entered.wait(10)
    for target in (alone, late):
        threads.append(threading.Thread(target=target))
        threads[-1].start()
        time.sleep(0.05)
    assert order == []
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["alone", "late"]


@pytest.mark.parametrize("how", ["together", "alone"])
def test_an_error_opens_the_door_again(how):
    turns = Turns()
    with pytest.raises(ValueError, match="oh"), getattr(turns, how)():
        raise ValueError("oh")
    with turns.alone():
        pass
    with turns.together():
        pass
