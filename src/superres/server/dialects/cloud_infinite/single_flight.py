"""What several ask for at the same time is made once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class _Flight(Generic[T]):
    ready: asyncio.Future[T]
    left: asyncio.Event = field(default_factory=asyncio.Event)
    users: int = 0
    task: asyncio.Task[None] | None = None


class SingleFlight(Generic[T]):
    """Makes things in tasks of their own, for whoever asks. For one event loop."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # nobody else keeps those that are ending

    def __contains__(self, key: Hashable) -> bool:
        """Whether it is being made, or in use."""
        return key in self._flights

    @asynccontextmanager
    async def share(
        self, key: Hashable, make: Callable[[], AbstractAsyncContextManager[T]]
    ) -> AsyncIterator[T]:
        """What ``make`` makes; made once for all whose blocks are open at the same time.

        It lasts until the last of those blocks ends. When all of them have gone before it was
        made, making it is cancelled. An error is everybody's.

        Args:
            key: what is the same for those who ask for the same.
            make: called by the first; entered and left in a task of its own.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.get_running_loop().create_future())
            # Nobody may be left to hear of an error.
            flight.ready.add_done_callback(lambda made: made.cancelled() or made.exception())
            flight.task = asyncio.create_task(self._fly(key, flight, make))
            self._tasks.add(flight.task)
            flight.task.add_done_callback(self._tasks.discard)
        flight.users += 1
        try:
            yield await asyncio.shield(flight.ready)
        finally:
            flight.users -= 1
            if not flight.users:
                self._forget(key, flight)
                flight.left.set()
                if not flight.ready.done() and flight.task is not None:
                    flight.task.cancel()

    async def _fly(
        self,
        key: Hashable,
        flight: _Flight[T],
        make: Callable[[], AbstractAsyncContextManager[T]],
    ) -> None:
        try:
            async with make() as made:
                flight.ready.set_result(made)
                await flight.left.wait()
        except asyncio.CancelledError:
            flight.ready.cancel()
            raise
        except Exception as exc:  # noqa: BLE001 -- is passed on
            # Who asks from now on may have more luck.
            self._forget(key, flight)
            if not flight.ready.done():
                flight.ready.set_exception(exc)

    def _forget(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
