"""What several ask for at the same time is made once, and lasts as long as somebody needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from superres.server.dialects.cloud_infinite.single_flight import SingleFlight


class Workshop:
    """Makes numbers, when it is allowed to."""

    def __init__(self) -> None:
        self.flights: SingleFlight[int] = SingleFlight()
        self.gate = asyncio.Event()
        self.begun = self.made = self.dropped = 0
        self.error: Exception | None = None

    def make(self) -> AbstractAsyncContextManager[int]:
        return self._make()

    @asynccontextmanager
    async def _make(self) -> AsyncIterator[int]:
        self.begun += 1
        number = self.begun
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            self.made += 1
            yield number
        finally:
            self.dropped += 1

    async def take(self, key: str = "a") -> int:
        async with self.flights.share(key, self.make) as number:
            return number

    def taking(self, count: int, key: str = "a") -> list[asyncio.Task[int]]:
        return [asyncio.create_task(self.take(key)) for _ in range(count)]


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def run(test: Coroutine[Any, Any, None]) -> None:
    async def watched() -> None:
        loop = asyncio.get_running_loop()
        complaints: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        await asyncio.wait_for(test, 30)
        await settled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert complaints == []

    asyncio.run(watched())


def test_made_once_for_all():
    async def test() -> None:
        shop = Workshop()
        tasks = shop.taking(5)
        await settled()
        assert "a" in shop.flights
        shop.gate.set()
        assert await asyncio.gather(*tasks) == [1] * 5
        await settled()
        assert (shop.begun, shop.dropped) == (1, 1)
        assert "a" not in shop.flights
        assert await shop.take() == 2  # nothing is remembered

    run(test())


def test_different_things_are_made_apart():
    async def test() -> None:
        shop = Workshop()
        shop.gate.set()
        tasks = [*shop.taking(2, "a"), *shop.taking(2, "b")]
        assert sorted(await asyncio.gather(*tasks)) == [1, 1, 2, 2]

    run(test())


def test_it_lasts_until_the_last_has_left():
    async def test() -> None:
        shop = Workshop()
        shop.gate.set()
        async with shop.flights.share("a", shop.make) as first:
            async with shop.flights.share("a", shop.make) as second:
                assert first == second == 1
            await settled()
            assert shop.dropped == 0
        await settled()
        assert shop.dropped == 1

    run(test())


@pytest.mark.parametrize("which", [0, 2])
def test_one_that_goes_away_stops_nobody(which):
    async def test() -> None:
        shop = Workshop()
        tasks = shop.taking(3)
        await settled()
        tasks[which].cancel()
        await settled()
        shop.gate.set()
        told = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(told.pop(which), asyncio.CancelledError)
        assert told == [1, 1]

    run(test())


def test_when_all_have_gone_it_is_stopped():
    async def test() -> None:
        shop = Workshop()
        tasks = shop.taking(3)
        await settled()
        for task in tasks:
            task.cancel()
        await settled()
        assert (shop.begun, shop.made, shop.dropped) == (1, 0, 1)
        shop.gate.set()
        assert await shop.take() == 2

    run(test())


def test_who_comes_while_it_is_being_stopped_gets_another():
    async def test() -> None:
        shop = Workshop()
        (gone,) = shop.taking(1)
        await settled()
        gone.cancel()
        (comes,) = shop.taking(1)
        shop.gate.set()
        assert await comes == 2

    run(test())


def test_an_error_is_everybodys():
    async def test() -> None:
        shop = Workshop()
        shop.error = ValueError("broken")
        tasks = shop.taking(3)
        await settled()
        shop.gate.set()
        told = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in told] == [ValueError] * 3
        shop.error = None
        assert await shop.take() == 2

    run(test())


def test_an_error_that_nobody_hears_of():
    async def test() -> None:
        shop = Workshop()
        shop.error = ValueError("broken")
        (task,) = shop.taking(1)
        await settled()
        shop.gate.set()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(test())
