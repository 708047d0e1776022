"""Captures out: pcap and pcapng, to a path or a binary file.

Both writers say `write(time_ns, data, ...)` for each record and are context managers. They write what the
parser in container.py reads, and what tcpdump, Wireshark and every other reader of these formats does. A
value that the format has no room for raises PacketError and writes nothing. A file has its name once it is closed;
where the block of a writer ends by an error, what stood there before stays.

Sources: as in container.py.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import BinaryIO, Literal, Self

from vxtool.capture.container import (
    FOREIGN,
    IN,
    IN_BROADCAST,
    IN_MULTICAST,
    MAX_RECORD,
    MAX_TEXT,
    OUT,
    UNKNOWN,
    Interface,
)
from vxtool.errors import PacketError, UsageError
from vxtool.whole_file import WholeFile

ByteOrder = Literal["little", "big"]
_ORDERS = {"little": "<", "big": ">"}
_U16 = (1 << 16) - 1
_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1

# epb_flags: bits 0-1 inbound or outbound, bits 2-4 how it was received.
_FLAGS = {
    UNKNOWN: 0,
    IN: 1,
    OUT: 2,
    IN_MULTICAST: 1 | 2 << 2,
    IN_BROADCAST: 1 | 3 << 2,
    FOREIGN: 1 | 4 << 2,
}


class _Writer:
    """A file that is written to: what both formats share."""

    def __init__(self, target: str | os.PathLike[str] | BinaryIO, byte_order: ByteOrder) -> None:
        self._order = _ORDERS[byte_order]
        self._file: WholeFile | None = None
        self._stream: BinaryIO
        if isinstance(target, (str, os.PathLike)):
            self._name = os.fspath(target)
            try:
                self._file = WholeFile(self._name)
                self._stream = self._file.stream
            except OSError as error:
                raise UsageError(
                    f"{self._name}: cannot be written: {error.strerror or error}: name another file"
                ) from None
        else:
            self._name = str(getattr(target, "name", "<stream>"))
            self._stream = target

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._file is not None:
            self._file.give_up()
        else:
            self.close()

    def close(self) -> None:
        """Write out what is buffered, and close the file if this writer opened it: only now has it its name."""
        try:
            if self._file is not None:
                self._file.finish()
            else:
                self._stream.flush()
        except OSError as error:
            raise self._failed(error) from None

    def _put(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> Exception:
        if isinstance(error, BrokenPipeError):
            return error  # whoever read has gone, as `head` does: no failure, and the command's to handle
        return UsageError(f"{self._name}: writing failed: {error.strerror or error}: is the disk full?")


def _checked(what: str, value: int, most: int) -> int:
    if not 0 <= value <= most:
        raise PacketError(f"{what} is {value}, expected 0 to {most}")
    return value


def _cut(data: bytes, length: int | None, snaplen: int) -> tuple[bytes, int]:
    """The bytes that are kept of a record, and its length on the wire."""
    length = _checked("the length of a record", len(data) if length is None else length, _U32)
    if snaplen:
        data = data[:snaplen]
    _checked("the number of captured bytes", len(data), MAX_RECORD)
    return data, length


class PcapWriter(_Writer):
    """A pcap file.

    `link_type` and `snaplen` go into its header; records are cut to `snaplen` bytes (0: no limit).
    Times are in µs, rounded down, or in ns with `nanoseconds`; seconds must fit 32 bits (1970 to 2106).
    Raises UsageError where the file cannot be made, or writing fails.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        link_type: int = 1,
        *,
        snaplen: int = 262144,
        nanoseconds: bool = False,
        byte_order: ByteOrder = "little",
    ) -> None:
        magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
        _checked("the link type", link_type, 0xFFFF)
        self._snaplen = _checked("the snaplen", snaplen, _U32)
        super().__init__(target, byte_order)
        self._unit = 1 if nanoseconds else 1000
        self._record = struct.Struct(f"{self._order}IIII")
        self._put(struct.pack(f"{self._order}IHHiIII", magic, 2, 4, 0, 0, snaplen, link_type))

    def write(
        self,
        time_ns: int,
        data: bytes,
        length: int | None = None,
        interface: int = 0,
        direction: int = UNKNOWN,
    ) -> None:
        """Add a record: `time_ns` since the epoch, captured bytes, length on the wire (None: as captured).

        pcap has one interface, 0, and no room for a direction, which is left out.
        """
        _checked("the interface of a pcap record", interface, 0)
        seconds, rest = divmod(time_ns, 10**9)
        _checked("the time of a pcap record in seconds", seconds, _U32)
        data, length = _cut(data, length, self._snaplen)
        self._put(self._record.pack(seconds, rest // self._unit, len(data), length) + data)


class PcapngWriter(_Writer):
    """A pcapng file of one section.

    Interfaces are given as `interfaces`, or later with `add_interface`; each has its own link type, name,
    snaplen and time unit (`resolution`, `offset_seconds`). Raises UsageError where the file cannot be made,
    or writing fails.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        interfaces: tuple[Interface, ...] | list[Interface] = (),
        *,
        byte_order: ByteOrder = "little",
    ) -> None:
        super().__init__(target, byte_order)
        self._interfaces: list[Interface] = []
        self._packet = struct.Struct(f"{self._order}IIIII")
        self._word = struct.Struct(f"{self._order}I")
        self._option = struct.Struct(f"{self._order}HH")
        unknown_length = -1  # of the section: readers go by the blocks
        self._block(0x0A0D0D0A, struct.pack(f"{self._order}IHHq", 0x1A2B3C4D, 1, 0, unknown_length))
        for interface in interfaces:
            self.add_interface(interface)

    def add_interface(self, interface: Interface) -> int:
        """Describe an interface; the index to write its records with."""
        _checked("the link type", interface.link_type, 0xFFFF)
        _checked("the snaplen", interface.snaplen, _U32)
        _checked("the time resolution", interface.resolution, 0xFF)
        options = []
        if interface.name is not None:
            options.append((2, interface.name.encode()[:MAX_TEXT]))
        options.append((9, bytes([interface.resolution])))
        if interface.offset_seconds:
            _checked("the time offset", interface.offset_seconds + (1 << 63), _U64)
            options.append((14, struct.pack(f"{self._order}q", interface.offset_seconds)))
        head = struct.pack(f"{self._order}HxxI", interface.link_type, interface.snaplen)
        self._block(1, head + self._options(options))
        self._interfaces.append(interface)
        return len(self._interfaces) - 1

    def write(
        self,
        time_ns: int,
        data: bytes,
        length: int | None = None,
        interface: int = 0,
        direction: int = UNKNOWN,
        comment: str | None = None,
    ) -> None:
        """Add a record: `time_ns` since the epoch, captured bytes, length on the wire (None: as captured).

        The time is rounded down to the interface's unit. `direction` is one of container.py's.
        """
        high, low = self._ticks(interface, time_ns)
        if direction not in _FLAGS:
            raise PacketError(f"the direction of a record is {direction}, expected 0 to {max(_FLAGS)}")
        data, length = _cut(data, length, self._interfaces[interface].snaplen)
        head = self._packet.pack(interface, high, low, len(data), length)
        options = []
        if comment is not None:
            text = comment.encode(errors="replace")
            _checked("the number of bytes of a comment", len(text), _U16)
            options.append((1, text))
        if direction:
            options.append((2, self._word.pack(_FLAGS[direction])))
        self._block(6, head + _padded(data) + self._options(options))

    def write_statistics(self, interface: int, time_ns: int, dropped: int) -> None:
        """Say how many packets the capture itself lost on an interface up to a time."""
        high, low = self._ticks(interface, time_ns)
        _checked("the number of dropped packets", dropped, _U64)
        options = self._options([(5, struct.pack(f"{self._order}Q", dropped))])
        self._block(5, struct.pack(f"{self._order}III", interface, high, low) + options)

    def write_names(self, names: Mapping[str, str]) -> None:
        """Say the names of addresses (IPv4 or IPv6, as text), for readers to show."""
        from ipaddress import ip_address

        records = []
        for address, name in names.items():
            try:
                packed = ip_address(address).packed
            except ValueError:
                raise PacketError(f"name {name!r} is for {address!r}, expected an IP address") from None
            records.append((1 if len(packed) == 4 else 2, packed + name.encode()[:MAX_TEXT] + b"\0"))
        self._block(4, self._options(records) or struct.pack("I", 0))

    def _ticks(self, interface: int, time_ns: int) -> tuple[int, int]:
        """High and low word of a time in the interface's unit."""
        if not 0 <= interface < len(self._interfaces):
            known = len(self._interfaces)
            raise PacketError(f"interface {interface} is not described, expected one of the {known} that are")
        described = self._interfaces[interface]
        exponent = described.resolution & 0x7F
        units = 1 << exponent if described.resolution & 0x80 else 10**exponent
        ticks = (time_ns - described.offset_seconds * 10**9) * units // 10**9
        _checked("the time of a record in its interface's unit", ticks, _U64)
        return ticks >> 32, ticks & _U32

    def _options(self, options: list[tuple[int, bytes]]) -> bytes:
        """Options, or records of names, which have the same shape, with their end; nothing for none."""
        if not options:
            return b""
        head = self._option.pack
        return b"".join([head(code, len(value)) + _padded(value) for code, value in options]) + bytes(4)

    def _block(self, kind: int, body: bytes) -> None:
        total = self._word.pack(len(body) + 12)
        self._put(b"".join((self._word.pack(kind), total, body, total)))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
