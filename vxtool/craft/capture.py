"""Streams of records merged by time into capture files.

A long capture is made and written window by window, so that memory does not grow with it. Where all goes into one
pcap file, the bulk encoder's records are written as they are, those of a single train without even being told
apart; every other form takes the writers of `vxtool.capture`, a record at a time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import repeat
from operator import itemgetter
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import BinaryIO, Literal

from vxtool.capture.container import OUT
from vxtool.capture.container import Interface as DescribedInterface
from vxtool.capture.writer import PcapngWriter, PcapWriter
from vxtool.craft.router import Batch, Interface, Lane, Stream
from vxtool.craft.train import HEADER, shortened
from vxtool.errors import UsageError
from vxtool.packet import SLL, SLL2, Ethernet, Layer, Vlan, template_pcap
from vxtool.packet.sll import OUTGOING, TO_THIS_HOST
from vxtool.whole_file import WholeFile

Format = Literal["ethernet", "sll2", "sll", "pcapng"]
FORMATS: tuple[Format, ...] = ("ethernet", "sll2", "sll", "pcapng")
LINK_TYPES = {"ethernet": 1, "sll2": 276, "sll": 113, "pcapng": 1}
_SNAPLEN = 262144
_TOGETHER = 1 << 14  # records in a window, as far as they are spread evenly: what fits a cache is made faster
_MICROSECONDS = 0xA1B2C3D4.to_bytes(4, "little")
_NANOSECONDS = 9  # pcapng: units of 10 ** -9 s
_LENGTHS = Struct("<IIII")
# A record with what it is sorted by: its time, then its stream, then In before Out. So how a capture is cut into
# windows does not show in it.
_Row = tuple[int, bytes, Lane]
_RANK_BITS = 24


class EthernetView:
    """An Ethernet capture: on a router's interface its own MAC is the far end of the link."""

    def link(self, link: tuple[Layer, ...], lane: Lane) -> tuple[Layer, ...]:
        first = link[0]
        if lane.interface is None or not isinstance(first, Ethernet):
            return link
        if lane.direction == OUT:
            return (first._replace(source=lane.interface.mac), *link[1:])
        return (first._replace(destination=lane.interface.mac), *link[1:])


class CookedView:
    """A capture on `any`: the interface and the direction, and who sent it; tags are not shown."""

    def __init__(self, version: Literal[1, 2]) -> None:
        self._version = version

    def link(self, link: tuple[Layer, ...], lane: Lane) -> tuple[Layer, ...]:
        first = link[0]
        mac = first.source if isinstance(first, Ethernet) else "00:00:00:00:00:00"
        kind = TO_THIS_HOST
        if lane.direction == OUT:
            kind = OUTGOING
            mac = lane.interface.mac if lane.interface else mac
        address = bytes.fromhex(mac.replace(":", "")) + bytes(2)
        # The ethertype follows from what is behind, but where the sender said another, or nothing tells it.
        last = link[-1]
        told = last.ethertype if isinstance(last, Ethernet | Vlan) else None
        if self._version == 1:
            return (SLL(kind, address=address, ethertype=told),)
        index = lane.interface.index if lane.interface else 0
        return (SLL2(index, kind, address=address, ethertype=told),)


def view_of(format_: Format) -> EthernetView | CookedView:
    if format_ == "sll2":
        return CookedView(2)
    return CookedView(1) if format_ == "sll" else EthernetView()


def paths_of(output: str, format_: Format, interfaces: Sequence[Interface]) -> list[str]:
    """The files that a capture takes: one, but one for each interface of Ethernet captures on a router."""
    if format_ != "ethernet" or not interfaces:
        return [output]
    path = Path(output)
    return [str(path.with_name(f"{path.stem}-{each.name}{path.suffix}")) for each in interfaces]


class CaptureFile:
    """What records are written to: pcap (one file, or one for each interface) or pcapng."""

    def __init__(
        self,
        output: str | BinaryIO,
        format_: Format,
        interfaces: Sequence[Interface] = (),
        *,
        unit: Literal["ns", "us"] = "ns",
        snaplen: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """`interfaces` are the router's, none where a link is captured; `snaplen` in bytes, 0 for no limit."""
        self._format, self._interfaces, self._unit, self._snaplen = format_, list(interfaces), unit, snaplen
        self._progress = progress
        self._stack = ExitStack()
        self.records = 0
        self.first_ns: int | None = None
        self.last_ns = 0
        self._put: Callable[[bytes], None] | None = None  # what writes bytes into the only pcap file
        with ExitStack() as stack:  # what was opened is closed again where the next cannot be
            self._write = self._open(output, stack)
            self._stack = stack.pop_all()

    def __enter__(self) -> CaptureFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # Told of the error, so that what is half written is given up.
            self._stack.__exit__(kind, error, trace)
        except BrokenPipeError:
            raise
        except OSError as failed:  # what was still buffered
            raise UsageError(f"writing failed: {failed.strerror or failed}: is the disk full?") from None

    def write_all(self, streams: Sequence[Stream]) -> None:
        """Write the records of all streams in order of time; of equal times, in the streams' order."""
        if self._put is not None and not self._snaplen and self._unit == "ns" and len(streams) == 1:
            data = streams[0].plain(_TOGETHER)
            if data is not None:
                self._write_plain(streams[0], data)
                return
        for rows in _windows(streams):
            if self._snaplen:
                rows = [(key, shortened(row, self._snaplen), lane) for key, row, lane in rows]
            self._write(rows)
            self.records += len(rows)
            if self.first_ns is None:
                self.first_ns = rows[0][0] >> _RANK_BITS
            self.last_ns = rows[-1][0] >> _RANK_BITS
            if self._progress is not None:
                self._progress(self.records)

    def _write_plain(self, stream: Stream, parts: Iterator[tuple[int, bytes]]) -> None:
        """Write records as they come from the encoder."""
        assert self._put is not None
        for count, data in parts:
            self._put(data)
            self.records += count
            if self._progress is not None:
                self._progress(self.records)
        self.first_ns, self.last_ns = stream.start_ns, stream.last_ns

    def _open(self, output: str | BinaryIO, stack: ExitStack) -> Callable[[list[_Row]], None]:
        if self._format == "pcapng":
            return self._open_pcapng(output, stack)
        if isinstance(output, str):
            paths: list[str | BinaryIO] = [*paths_of(output, self._format, self._interfaces)]
        else:
            paths = [output]
            if self._format == "ethernet" and len(self._interfaces) > 1:
                raise UsageError("an Ethernet capture of several interfaces takes several files: name one, not -")
        if len(paths) == 1:
            return self._open_bulk(paths[0], stack)
        writers = [
            stack.enter_context(
                PcapWriter(
                    path,
                    LINK_TYPES[self._format],
                    snaplen=self._snaplen or _SNAPLEN,
                    nanoseconds=self._unit == "ns",
                )
            )
            for path in paths
        ]
        numbers = {each.index: number for number, each in enumerate(self._interfaces)} if len(paths) > 1 else {}

        def write(rows: list[_Row]) -> None:
            for key, row, lane in rows:
                number = numbers[lane.interface.index] if numbers and lane.interface else 0
                _, _, _, length = _LENGTHS.unpack_from(row)
                writers[number].write(key >> _RANK_BITS, row[HEADER:], length)

        return write

    def _open_bulk(self, output: str | BinaryIO, stack: ExitStack) -> Callable[[list[_Row]], None]:
        name = output if isinstance(output, str) else "standard output"

        @contextmanager
        def told() -> Iterator[None]:
            try:
                yield
            except BrokenPipeError:
                raise
            except OSError as error:
                raise UsageError(
                    f"{name}: writing failed: {error.strerror or error}: is the disk full?"
                ) from None

        def leave(_kind: object, error: BaseException | None, _trace: object) -> None:
            with told():
                if error is not None:
                    if isinstance(output, str):
                        whole.give_up()
                elif isinstance(output, str):
                    whole.finish()
                else:
                    output.flush()

        if isinstance(output, str):
            try:
                whole = WholeFile(output)
            except OSError as error:
                raise UsageError(
                    f"{output}: cannot be written: {error.strerror or error}: name another file"
                ) from None
        file = whole.stream if isinstance(output, str) else output
        stack.push(leave)

        def put(data: bytes) -> None:
            with told():
                file.write(data)

        self._put = put
        put(pcap_header(self._format, self._snaplen, self._unit))
        if self._unit == "us":
            return lambda rows: put(b"".join([_in_microseconds(row) for _, row, _ in rows]))
        return lambda rows: put(b"".join([row for _, row, _ in rows]))

    def _open_pcapng(self, output: str | BinaryIO, stack: ExitStack) -> Callable[[list[_Row]], None]:
        names: list[str | None] = [each.name for each in self._interfaces] or [None]
        described = [
            DescribedInterface(LINK_TYPES["pcapng"], name=name, snaplen=self._snaplen, resolution=_NANOSECONDS)
            for name in names
        ]
        writer = stack.enter_context(PcapngWriter(output, described))
        numbers = {each.index: number for number, each in enumerate(self._interfaces)}

        def write(rows: list[_Row]) -> None:
            for key, row, lane in rows:
                number = numbers[lane.interface.index] if lane.interface else 0
                _, _, _, length = _LENGTHS.unpack_from(row)
                writer.write(
                    key >> _RANK_BITS, row[HEADER:], length, interface=number, direction=lane.direction
                )

        return write


def pcap_header(format_: Format, snaplen: int = 0, unit: Literal["ns", "us"] = "ns") -> bytes:
    """The header of a pcap file."""
    any_ = Ethernet("00:00:00:00:00:00", "00:00:00:00:00:00", 0)
    header = template_pcap(any_, count=0, link_type=LINK_TYPES[format_])
    magic = header[:4] if unit == "ns" else _MICROSECONDS
    return magic + header[4:16] + (snaplen or _SNAPLEN).to_bytes(4, "little") + header[20:]


def _in_microseconds(row: bytes) -> bytes:
    return row[:4] + (int.from_bytes(row[4:8], "little") // 1000).to_bytes(4, "little") + row[8:]


def _windows(streams: Sequence[Stream]) -> Iterator[list[_Row]]:
    """All records in order of time, some tens of thousands together."""
    numbered = sorted(enumerate(streams), key=lambda entry: entry[1].start_ns)
    if not numbered:
        return
    start, last = numbered[0][1].start_ns, max(stream.last_ns for stream in streams)
    total = sum(stream.count for stream in streams)
    window = max(1, (last - start + 1) * _TOGETHER // max(total, 1))
    waiting: list[_Row] = []  # seen behind the horizon: an egress that is still to come
    at = 0
    live: list[tuple[int, Stream]] = []
    horizon = start
    while at < len(numbered) or live:
        horizon = min(horizon + window, last + 1)
        if not live and at < len(numbered):
            # Nothing happens before the next one starts.
            horizon = max(horizon, min(numbered[at][1].start_ns + window, last + 1))
        while at < len(numbered) and numbered[at][1].start_ns < horizon:
            live.append(numbered[at])
            at += 1
        rows = waiting
        for number, stream in live:
            for batch in stream.take(horizon):
                rows += zip(_keys(batch, number), batch.records, repeat(batch.lane), strict=False)
        live = [(number, stream) for number, stream in live if stream.last_ns >= horizon]
        rows.sort(key=itemgetter(0))
        if at < len(numbered) or live:
            split = bisect_left(rows, horizon << _RANK_BITS, key=itemgetter(0))
            waiting = rows[split:]
            rows = rows[:split]
        if rows:
            yield rows


def _keys(batch: Batch, number: int) -> Iterable[int]:
    rank = number << 1 | (batch.lane.direction == OUT)
    times = batch.times
    if isinstance(times, range):
        return range(
            times.start << _RANK_BITS | rank, times.stop << _RANK_BITS | rank, times.step << _RANK_BITS
        )
    return [time << _RANK_BITS | rank for time in times]
