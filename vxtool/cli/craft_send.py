"""`vxtool craft --send`: says what it will send, sends it, and tells what came back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vxtool.cli import EXIT_INTERRUPTED
from vxtool.cli.output import say
from vxtool.craft.describe import describe
from vxtool.craft.inject import FrameSender, Sender, Tally, UdpSender, send_all, with_macs
from vxtool.craft.listen import FrameSource, Listener, Source, UdpSource
from vxtool.craft.plan import Item, Plan
from vxtool.craft.private import check_private, destinations
from vxtool.errors import UsageError
from vxtool.packet import DEFAULT_PORTS, UDP, Geneve, IPv4, IPv6, Packet

if TYPE_CHECKING:
    from vxtool.craft.train import Train

EXIT_NOT_SENT = 1
_SHOWN = 5  # kinds of packets that are told of one by one
_EXPECTED = 1 << 12  # destinations that replies are expected from


@dataclass(frozen=True)
class Sending:
    """How the user wants packets to be sent."""

    interface: str | None = None  # None: by UDP sockets
    anywhere: bool = False
    listen: float = 0  # seconds
    own_macs: bool = False  # those of the packets are what the user said


def run_send(plan: Plan, sending: Sending) -> int:
    """Send what is planned. The exit code: 0, 1 where something could not be sent, 130 after Ctrl-C."""
    items = list(plan.items)
    if not sending.anywhere:
        check_private(item.train for item in items)
    with ExitStack() as stack:
        sender: Sender
        if sending.interface is None:
            udp = UdpSender()
            stack.callback(udp.close)
            for item in items:
                udp.check(item.train)
            sender = udp
        else:
            sender = frames = FrameSender(sending.interface)
            stack.callback(frames.close)
            if not sending.own_macs:
                items = [item._replace(train=with_macs(item.train, sending.interface)) for item in items]
        listener = None
        if sending.listen:
            source = _source(items, sending)
            stack.callback(source.close)
            listener = Listener(source, _tell)
        _announce(items, sending)
        tally = send_all(
            items, sender, listener.wait if listener is not None else None, linger=sending.listen
        )
        _report(tally, listener)
    if tally.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_NOT_SENT if tally.failed else 0


def _source(items: Sequence[Item], sending: Sending) -> Source:
    ports = dict(DEFAULT_PORTS)
    first: tuple[str, int] | None = None
    expected: set[str] = set()
    for item in items:
        train = item.train
        tunnel = train.tunnel
        if tunnel is not None and tunnel >= 2:
            ip, udp = train.layers[tunnel - 2 : tunnel]
            assert isinstance(ip, IPv4 | IPv6)
            assert isinstance(udp, UDP)
            ports[udp.destination_port] = "geneve" if isinstance(train.layers[tunnel], Geneve) else "vxlan"
            first = first or (ip.source, udp.destination_port)
        if len(expected) < _EXPECTED:
            expected.update(destinations(train))
    if sending.interface is not None:
        return FrameSource(sending.interface, expected, ports)
    assert first is not None
    return UdpSource(*first, ports)


def _announce(items: Sequence[Item], sending: Sending) -> None:
    """What will be sent, where to, and how fast: before anything is."""
    total = sum(item.train.count for item in items)
    start = min(item.train.time_ns for item in items)
    seconds = (max(item.train.last_ns for item in items) - start) / 1e9
    pace = f", {total / seconds:,.0f} a second, {seconds:,.1f} s" if seconds else ""
    how = "by UDP sockets" if sending.interface is None else f"as frames out of {sending.interface}"
    say(f"sending {_packets(total)} {how}{pace}:")
    for item in items[:_SHOWN]:
        count = f"{item.train.count:,} x " if item.train.count > 1 else ""
        say(f"  {count}{describe(item.train.layers)}  {_size(item.train)} bytes")
    if len(items) > _SHOWN:
        say(f"  and {_packets(sum(item.train.count for item in items[_SHOWN:]))} more")


def _size(train: Train) -> int:
    return len(train.packet)


def _tell(when: float, packet: Packet) -> None:
    clock = time.strftime("%H:%M:%S", time.localtime(when)) + f"{when % 1:.6f}"[1:]
    say(f"reply {clock}  {describe(packet.layers)}")


def _report(tally: Tally, listener: Listener | None) -> None:
    replies = "" if listener is None else f", {listener.replies} repl{'y' if listener.replies == 1 else 'ies'}"
    stopped = "stopped: " if tally.interrupted else ""
    why = f" ({tally.why})" if tally.why else ""
    say(f"{stopped}sent {tally.sent:,}, failed {tally.failed:,}{why} in {tally.seconds:.1f} s{replies}")


def _packets(count: int) -> str:
    return f"{count:,} packet{'' if count == 1 else 's'}"


def check_for_udp(given: dict[str, object]) -> None:
    """Refuse what an ordinary UDP socket cannot send, since the kernel makes the outer headers."""
    for name in ("mac", "vlan", "id", "truncate", "fragment", "outer_checksum"):
        if name in given:
            option = name.replace("_", "-")
            raise UsageError(f"--{option}: the kernel makes the outer headers of a UDP socket; use --interface")
    wrong = given.get("wrong", ())
    assert isinstance(wrong, tuple)
    if any(str(each).startswith("outer-") for each in wrong):
        raise UsageError("--wrong outer-...: the kernel makes the outer headers; use --interface")
