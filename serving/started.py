"""A coroutine that runs at once as far as it needs not wait, as tasks do from Python 3.12 on (eager tasks)."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Started(Generic[T]):
    """Begins `coroutine` when it is made; awaited, it goes on. `done`: it needed to wait for nothing; `result` is what
    it returned, what it raised is raised at once."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self.done = False
        try:
            self._awaited = coroutine.send(None)
        except StopIteration as over:
            self.done = True
            self.result: T = over.value

    def __await__(self) -> Generator[Any, Any, T]:
        """The steps that are left: what the coroutine waits for is waited for by whoever awaits this."""
        while not self.done:
            try:
                sent = yield self._awaited
            except BaseException as error:  # noqa: BLE001 - a cancellation, too, is the coroutine's to end
                self._go_on(self._coroutine.throw, error)
            else:
                self._go_on(self._coroutine.send, sent)
        return self.result

    def _go_on(self, step: Any, value: Any) -> None:
        try:
            self._awaited = step(value)
        except StopIteration as over:
            self.done = True
            self.result = over.value
