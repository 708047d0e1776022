"""Packets onto a wire: by an ordinary UDP socket to a VTEP, or as whole frames out of an interface.

By a UDP socket the kernel makes the outer headers, and no privilege is needed; the source port may be chosen, since
each has a socket of its own. Whole frames go through scapy's sender, which needs root. Both are paced by the times
at which the trains say that their packets are sent.
"""

from __future__ import annotations

import errno
import signal
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from heapq import merge
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any, NamedTuple, Protocol

from vxtool.craft.pieces import fragments
from vxtool.craft.plan import Item
from vxtool.craft.train import Train
from vxtool.errors import UsageError
from vxtool.packet import UDP, Ethernet, IPv4, IPv6
from vxtool.packet.ipv4 import DONT_FRAGMENT
from vxtool.packet.repeater import advanced

_PATIENCE = 0.1  # seconds after which Ctrl-C is noticed
_SOCKETS = 128  # source ports in use at once
_IP_MTU_DISCOVER, _IP_PMTUDISC_DO = 10, 2  # linux/in.h; Python has no names for them


class Sender(Protocol):
    """Something that packets leave by."""

    def ready(self, item: Item) -> Iterator[tuple[int, Callable[[], None]]]:
        """The packets of a train: when each is due, in ns from the train's first, and what sends it."""
        ...

    def close(self) -> None: ...


class UdpSender:
    """Tunnel packets through UDP sockets: the kernel makes what is before their tunnel header."""

    def __init__(self) -> None:
        self._sockets: OrderedDict[tuple[str, int], socket.socket] = OrderedDict()

    def ready(self, item: Item) -> Iterator[tuple[int, Callable[[], None]]]:
        train = item.train
        tunnel = train.tunnel
        assert tunnel is not None
        ip, udp = train.layers[tunnel - 2 : tunnel]
        assert isinstance(ip, IPv4 | IPv6)
        assert isinstance(udp, UDP)
        behind = replace(
            train,
            layers=train.layers[tunnel:],
            steps={(at - tunnel, name): step for (at, name), step in train.steps.items() if at >= tunnel},
        )
        outer = {(at, name): step for (at, name), step in train.steps.items() if at < tunnel}
        moves = {key: step for key, step in outer.items() if key[1] != "identification"}
        for number, (due, data) in enumerate(behind.one_by_one(())):
            here, there = ip, udp
            if moves:
                changed = advanced(train.layers[:tunnel], moves, number)
                here, there = changed[tunnel - 2], changed[tunnel - 1]  # type: ignore[assignment]
            yield due, self._sending(here, there, data)

    def _sending(self, ip: IPv4 | IPv6, udp: UDP, data: bytes) -> Callable[[], None]:
        def send() -> None:
            self._socket(ip, udp.source_port).sendto(data, (ip.destination, udp.destination_port))

        return send

    def check(self, train: Train) -> None:
        """See that the first packet's socket can be had. Raises UsageError."""
        tunnel = train.tunnel
        if tunnel is None or tunnel < 2:
            raise UsageError("a UDP socket sends tunnel packets only; give --outer and --vni, or --interface NAME")
        ip, udp = train.layers[tunnel - 2 : tunnel]
        assert isinstance(ip, IPv4 | IPv6)
        assert isinstance(udp, UDP)
        self._socket(ip, udp.source_port)

    def _socket(self, ip: IPv4 | IPv6, port: int) -> socket.socket:
        key = (ip.source, port)
        found = self._sockets.get(key)
        if found is None:
            found = self._sockets[key] = bound(ip.source, port)
            _set_header(found, ip)
            if len(self._sockets) > _SOCKETS:
                self._sockets.popitem(last=False)[1].close()
        else:
            self._sockets.move_to_end(key)
        return found

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()


def bound(address: str, port: int) -> socket.socket:
    """A UDP socket at an address of this machine. UsageError where it has none such, or the port is taken."""
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.bind((address, port))
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(
                f"{address} is no address of this machine; give its own in --outer, or send by --interface"
            ) from None
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"UDP port {port} is taken on this machine; give another, or use --interface NAME"
            ) from None
        raise UsageError(f"{address} port {port}: cannot be used: {error.strerror or error}") from None
    return made


def _set_header(made: socket.socket, ip: IPv4 | IPv6) -> None:
    """What of the outer header an ordinary socket can set."""
    if isinstance(ip, IPv4):
        made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, max(1, ip.ttl))
        made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, ip.tos)
        if ip.flags & DONT_FRAGMENT:
            made.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
    else:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, max(1, ip.hop_limit))
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, ip.traffic_class)


class FrameSender:
    """Whole frames out of an interface, through scapy's sender."""

    def __init__(self, interface: str) -> None:
        from vxtool.craft.expression import load_scapy

        if not Path("/sys/class/net", interface).exists() or "/" in interface:
            raise UsageError(f"--interface: this machine has no interface {interface!r}; `ip link` lists them")
        self.interface = interface
        load_scapy("arch")
        conf = load_scapy("config").conf
        try:
            self._socket: Any = conf.L2socket(iface=interface)
        except PermissionError:
            raise UsageError(
                "--interface needs root, or CAP_NET_RAW; without it, tunnel packets go by a UDP socket"
            ) from None
        except OSError as error:
            raise UsageError(f"--interface {interface}: cannot be used: {error.strerror or error}") from None

    def ready(self, item: Item) -> Iterator[tuple[int, Callable[[], None]]]:
        size = len(item.train.link) and 14 + 4 * (len(item.train.link) - 1)
        for due, data in item.train.one_by_one(item.train.link):
            pieces = [data]
            if item.mtu is not None:
                pieces = [data[:size] + piece for piece in fragments(data[size:], item.mtu)]
            yield due, self._sending(pieces)

    def _sending(self, pieces: Sequence[bytes]) -> Callable[[], None]:
        def send() -> None:
            for piece in pieces:
                self._socket.send(piece)

        return send

    def close(self) -> None:
        self._socket.close()


def with_macs(train: Train, interface: str) -> Train:
    """The train with the interface's own MAC as source and the next hop's as destination.

    Raises UsageError where the next hop does not tell it.
    """
    from vxtool.craft.expression import load_scapy

    first = train.layers[0] if train.layers else None
    link = train.link[0]
    if not isinstance(link, Ethernet) or not isinstance(first, IPv4 | IPv6):
        return train
    own = Path("/sys/class/net", interface, "address").read_text().strip()
    found = None
    with suppress(Exception):  # whatever scapy may stumble over, it is that the address was not found
        if isinstance(first, IPv6):
            found = load_scapy("layers.inet6").getmacbyip6(first.destination)
        else:
            found = load_scapy("layers.l2").getmacbyip(first.destination)
    if not found:
        raise UsageError(
            f"the MAC address of the next hop to {first.destination} is not known; give --mac {own},MAC"
        )
    return replace(train, link=(link._replace(source=own, destination=found), *train.link[1:]))


class Tally(NamedTuple):
    """What became of what was to be sent."""

    sent: int
    failed: int
    why: str | None  # the first failure
    seconds: float
    interrupted: bool


@dataclass
class _Counts:
    sent: int = 0
    failed: int = 0
    why: str | None = None


def send_all(
    items: Sequence[Item], sender: Sender, meanwhile: Callable[[float], None] | None = None, linger: float = 0
) -> Tally:
    """Send all packets at their times, and stop at Ctrl-C.

    `meanwhile` is called with the seconds until the next one is due, and again for `linger` seconds after the last;
    it may use them up. What fails is counted, and the rest is sent.
    """
    wait = meanwhile or time.sleep
    start_ns = min(item.train.time_ns for item in items)
    due = merge(*(_timed(item, sender, start_ns) for item in items), key=lambda entry: entry[0])
    counts = _Counts()
    began = time.monotonic()
    with _interrupt() as interrupted:
        for when, send in due:
            while not interrupted.is_set() and (left := began + when / 1e9 - time.monotonic()) > 0:
                wait(min(left, _PATIENCE))
            if interrupted.is_set():
                break
            try:
                send()
                counts.sent += 1
            except OSError as error:
                counts.failed += 1
                counts.why = counts.why or error.strerror or str(error)
            except UsageError as error:  # a socket for its port cannot be had
                counts.failed += 1
                counts.why = counts.why or str(error)
        end = time.monotonic() + linger
        while not interrupted.is_set() and (left := end - time.monotonic()) > 0:
            wait(min(left, _PATIENCE))
        return Tally(counts.sent, counts.failed, counts.why, time.monotonic() - began, interrupted.is_set())


@contextmanager
def _interrupt() -> Iterator[Event]:
    """An event that Ctrl-C sets, instead of ending what is under way: so no packet is sent and not counted."""
    event = Event()
    before = signal.getsignal(signal.SIGINT)
    # In another thread there is none to handle, and what a shell starts in the background is to ignore it.
    handled = current_thread() is main_thread() and before is not signal.SIG_IGN
    if handled:
        signal.signal(signal.SIGINT, lambda *_: event.set())
    try:
        yield event
    finally:
        if handled:
            signal.signal(signal.SIGINT, before)


def _timed(item: Item, sender: Sender, start_ns: int) -> Iterator[tuple[int, Callable[[], None]]]:
    first = item.train.time_ns - start_ns
    for due, send in sender.ready(item):
        yield first + due, send
