"""Several inputs read side by side, in the order in which an engine takes their records: bytes in, records out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from vxtool.capture.container import Container, Interface, Record


class Intakes:
    """The twin of vxtool/engine/native/intake.h."""

    def __init__(self, inputs: int) -> None:
        self._containers = [Container() for _ in range(inputs)]
        self._ready: list[deque[Record]] = [deque() for _ in range(inputs)]
        self._ended = [False] * inputs

    def feed(self, index: int, data: bytes | memoryview) -> None:
        self._ready[index].extend(self._containers[index].feed(bytes(data)))

    def end(self, index: int) -> None:
        self._containers[index].end()
        self._ended[index] = True

    def interface(self, index: int, number: int) -> Interface:
        return self._containers[index].interfaces[number]

    def records(self) -> Iterator[tuple[int, Record]]:
        """The next records, each with its input, as far as it can be told which is next."""
        while (index := self._next()) is not None:
            yield index, self._ready[index].popleft()

    def wants(self) -> int | None:
        """The input that has to go on before there are more."""
        return next(
            (index for index, ready in enumerate(self._ready) if not ready and not self._is_over(index)), None
        )

    def _next(self) -> int | None:
        if self.wants() is not None:
            return None
        waiting = [index for index, ready in enumerate(self._ready) if ready]
        return min(waiting, key=lambda index: self._ready[index][0].time_ns, default=None)

    def _is_over(self, index: int) -> bool:
        return self._ended[index] or self._containers[index].damage is not None
