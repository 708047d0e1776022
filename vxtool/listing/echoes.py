"""Which ping a reply answers: the plain twin of vxtool/listing/native/echoes.c."""

from __future__ import annotations

from vxtool.listing.seen import TELLS_ICMP, TELLS_ICMPV6, Seen

LEAST_REQUESTS = 16

_Key = tuple[bytes, bytes, bytes]


class Echoes:
    """Requests that wait for their reply, `most` at once, at least 16; the first of them gives way."""

    def __init__(self, most: int) -> None:
        self._turns: list[_Key | None] = [None] * max(most, LEAST_REQUESTS)
        self._turn = 0
        self._waiting: dict[_Key, tuple[int, int]] = {}
        """The record and the place in turn."""

    def take(self, seen: Seen, record: int) -> int:
        """Take a datagram, in order of time. The record of the request that it answers, which waits no more; 0:
        none, or it is no reply. Of a request that is sent again, the last is the one."""
        kinds = {TELLS_ICMP: (8, 0), TELLS_ICMPV6: (128, 129)}.get(seen.tells)
        if kinds is None or seen.header is None or seen.header[0] not in kinds:
            return 0
        if seen.source is None or seen.destination is None:
            return 0
        source, destination, id_and_sequence = seen.source.octets, seen.destination.octets, seen.header[4:8]
        if seen.header[0] == kinds[1]:
            answered = self._waiting.pop((destination, source, id_and_sequence), None)
            if answered is None:
                return 0
            self._turns[answered[1]] = None
            return answered[0]
        key = source, destination, id_and_sequence
        if key in self._waiting:
            self._waiting[key] = record, self._waiting[key][1]
            return 0
        before = self._turns[self._turn]
        if before is not None:
            del self._waiting[before]
        self._turns[self._turn] = key
        self._waiting[key] = record, self._turn
        self._turn = (self._turn + 1) % len(self._turns)
        return 0


def echo_text(request: int) -> str:
    """What stands behind the info of a reply; nothing for 0."""
    return f" (request in {request})" if request else ""
