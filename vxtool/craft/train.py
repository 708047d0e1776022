"""A train: packets of one make, at equal intervals, in which some fields count.

A single packet is a train of one; ten million of a benchmark are one train too. So all that crafts says what it
wants as trains, and the bulk encoder makes the bytes, whichever way they then take: into a file, through a router,
onto a wire.

The layers of a train begin behind the link header, since that depends on where a packet is seen. `link` is the
Ethernet header, with its tags, that the sender puts before them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from struct import Struct

from vxtool.packet import Ethernet, Geneve, IPv4, IPv6, Layer, encode, template_pcap
from vxtool.packet.repeater import RECORD_HEADER, advanced
from vxtool.packet.vxlan import VXLAN

Steps = Mapping[tuple[int, str], int]

_LENGTHS = Struct("<II")
HEADER = RECORD_HEADER.size


@dataclass(frozen=True)
class Train:
    """`count` packets from `time_ns` on, one each `interval_ns`.

    `steps` are those of `template_pcap`, by the index of a layer in `layers`. `cut` is how many bytes from the IP
    header on are left of each packet that was truncated on its way; its length on the wire is then that as well.
    """

    layers: tuple[Layer, ...]
    payload: bytes = b""
    link: tuple[Layer, ...] = (Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"),)
    steps: Steps = field(default_factory=dict)
    count: int = 1
    time_ns: int = 0
    interval_ns: int = 1_000_000
    cut: int | None = None

    @property
    def last_ns(self) -> int:
        """When the last packet is sent."""
        return self.time_ns + (self.count - 1) * self.interval_ns

    @property
    def tunnel(self) -> int | None:
        """The index of the tunnel's layer, or None where there is none."""
        return next((at for at, layer in enumerate(self.layers) if isinstance(layer, VXLAN | Geneve)), None)

    @property
    def packet(self) -> bytes:
        """The first packet's bytes, from its first IP header on."""
        return encode(*self.layers, payload=self.payload)[: self.cut]

    @property
    def inner_index(self) -> int | None:
        """The index of the innermost IP layer, or None where there is none."""
        return max((at for at, layer in enumerate(self.layers) if isinstance(layer, IPv4 | IPv6)), default=None)

    def before(self, time: int) -> int:
        """How many packets are sent before a time."""
        if time <= self.time_ns:
            return 0
        if not self.interval_ns:
            return self.count
        return min(self.count, -(-(time - self.time_ns) // self.interval_ns))

    def times(self, first: int, stop: int) -> Sequence[int]:
        """When the packets numbered from `first` to before `stop` are sent."""
        if not self.interval_ns:
            return [self.time_ns] * (stop - first)
        start = self.time_ns + first * self.interval_ns
        return range(start, start + (stop - first) * self.interval_ns, self.interval_ns)

    def data(
        self, link: tuple[Layer, ...], first: int, stop: int, delay_ns: int = 0, hops: int = 0
    ) -> bytes:
        """The same as `records`, in one, and not truncated."""
        steps = {(index + len(link), name): step for (index, name), step in self.steps.items()}
        return template_pcap(
            *link,
            *hopped(self.layers, hops),
            count=stop - first,
            payload=self.payload,
            increments=steps,
            time_ns=self.time_ns + delay_ns,
            interval_ns=self.interval_ns,
            first=first,
            header=False,
        )

    def records(
        self, link: tuple[Layer, ...], first: int, stop: int, delay_ns: int = 0, hops: int = 0
    ) -> list[bytes]:
        """The packets numbered from `first` to before `stop`, as records of a pcap file with times in ns.

        They are seen with the headers `link` before them, `delay_ns` after they were sent and `hops` hops away.
        """
        if stop <= first:
            return []
        data = self.data(link, first, stop, delay_ns, hops)
        size = len(data) // (stop - first)
        rows = [data[at : at + size] for at in range(0, len(data), size)]
        if self.cut is None:
            return rows
        kept = self.cut + len(encode(*link, *self.layers, payload=self.payload)) - len(self.whole)
        return [shortened(row, kept, kept) for row in rows]

    @property
    def whole(self) -> bytes:
        """The first packet before it was truncated."""
        return encode(*self.layers, payload=self.payload)

    def one_by_one(self, link: tuple[Layer, ...]) -> Iterator[tuple[int, bytes]]:
        """Each packet with the headers `link` before it: when it is due, counted from the first, and its bytes."""
        batch = 4096
        for first in range(0, self.count, batch):
            stop = min(self.count, first + batch)
            for time, row in zip(self.times(first, stop), self.records(link, first, stop), strict=True):
                yield time - self.time_ns, row[HEADER:]

    def spread(self, parts: int) -> list[Train]:
        """The same packets as `parts` trains: the first holds packets 0, parts, 2 * parts ..., and so on.

        So what does not count up by one step for ever, such as a size, can be different in each of them.
        """
        return [
            replace(
                self,
                layers=advanced(self.layers, self.steps, part),
                steps={key: step * parts for key, step in self.steps.items()},
                count=(self.count - part + parts - 1) // parts,
                time_ns=self.time_ns + part * self.interval_ns,
                interval_ns=self.interval_ns * parts,
            )
            for part in range(min(parts, self.count))
        ]


def hopped(layers: tuple[Layer, ...], hops: int) -> tuple[Layer, ...]:
    """The layers after so many routers: TTL or hop limit of the outermost IP header lowered."""
    if not hops or not layers:
        return layers
    first = layers[0]
    if isinstance(first, IPv4):
        return (first._replace(ttl=max(0, first.ttl - hops)), *layers[1:])
    if isinstance(first, IPv6):
        return (first._replace(hop_limit=max(0, first.hop_limit - hops)), *layers[1:])
    return layers


def shortened(record: bytes, captured: int, length: int | None = None) -> bytes:
    """A pcap record of which at most `captured` bytes are left; `length`, if given, is what it says of the wire."""
    data = record[HEADER : HEADER + captured]
    told = _LENGTHS.unpack_from(record, 8)[1] if length is None else min(length, len(record) - HEADER)
    return record[:8] + _LENGTHS.pack(len(data), told) + data


def record(time: int, data: bytes) -> bytes:
    """A pcap record with a time in ns."""
    seconds, rest = divmod(time, 10**9)
    return RECORD_HEADER.pack(seconds, rest, len(data), len(data)) + data
