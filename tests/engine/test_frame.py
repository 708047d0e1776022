"""The readers of `vxtool.engine.frame`: the quick one and the general ones give equal frames."""

from __future__ import annotations

import random

import pytest
from conftest import capture_files
from engine.generate import ethernet, ipv4, sll2, tcp, timestamps, udp, vxlan

from vxtool.capture import read_capture
from vxtool.capture.container import UNKNOWN
from vxtool.engine import frame as frames
from vxtool.engine.frame import EN10MB, LINUX_SLL2, TCP, UDP, Frame, key_budget, read_frame
from vxtool.engine.options import DEFAULT_PORTS


def _fields(frame: Frame) -> dict[str, object]:
    return {name: getattr(frame, name) for name in vars(Frame) if not name.startswith("__")}


def _usual(transport: bytes, protocol: int, link_type: int) -> bytes:
    inner = ethernet(ipv4("10.0.0.1", "10.0.0.2", protocol, transport, identification=7))
    outer = ipv4("192.168.0.1", "192.168.0.2", UDP, udp(40_000, 8472, vxlan(77, inner)), identification=9)
    return sll2(outer, 3, 4) if link_type == LINUX_SLL2 else ethernet(outer)


def _packets() -> list[tuple[bytes, int]]:
    """Packets and their link types: usual ones, and all that the sample captures hold."""
    transports = [
        (udp(5_000, 53, b"question"), UDP),
        (tcp(80, 40_000, 1_000, b"answer", acknowledgement=2_000), TCP),
        (tcp(80, 40_000, 1_000, options=timestamps(5, 6)), TCP),
    ]
    made = [(_usual(*transport, link), link) for transport in transports for link in (LINUX_SLL2, EN10MB)]
    captured = set()
    for path in capture_files():
        with read_capture(path) as capture:
            for record in capture:
                link_type = capture.container.interfaces[record.interface].link_type
                captured.add((record.data[:200], link_type))
    return made + sorted(captured)


def _mutated(data: bytes, chance: random.Random) -> bytes:
    octets = bytearray(data)
    for _ in range(chance.choice([0, 1, 1, 2])):
        values = [0, 1, 0x20, 0x40, 0x45, 0x46, 255, chance.randrange(256)]
        octets[chance.randrange(len(octets))] = chance.choice(values)
    return bytes(octets[: chance.choice([len(octets), chance.randrange(len(octets) + 1)])])


def test_the_quick_reader_reads_what_the_general_readers_read(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(472)
    packets = _packets()
    cases = []
    for _ in range(40):
        for data, link_type in packets:
            cut = _mutated(data, chance)
            length = len(cut) + chance.choice([0, 0, 0, 1, 40])
            direction = chance.choice([UNKNOWN, frames.IN])
            budget = key_budget(chance.choice([0, 0, 150, 120]))
            cases.append((cut, length, link_type, direction, DEFAULT_PORTS, budget))
    quick = [_fields(read_frame(*case)) for case in cases]
    monkeypatch.setattr(frames, "_read_usual", lambda *_: False)
    for case, frame in zip(cases, quick, strict=True):
        assert frame == _fields(read_frame(*case)), case


@pytest.mark.parametrize("link_type", [LINUX_SLL2, EN10MB])
@pytest.mark.parametrize(
    ("transport", "protocol"),
    [(udp(5_000, 53, b"question"), UDP), (tcp(80, 40_000, 1_000, b"answer", acknowledgement=2_000), TCP)],
)
def test_usual_frames_take_the_quick_reader(
    monkeypatch: pytest.MonkeyPatch, link_type: int, transport: bytes, protocol: int
) -> None:
    monkeypatch.setattr(frames, "_read_link", lambda *_: pytest.fail("read header by header"))
    data = _usual(transport, protocol, link_type)
    frame = read_frame(data, len(data), link_type, UNKNOWN, DEFAULT_PORTS, key_budget(0))
    assert (frame.vni, frame.flow[0]) == (77, protocol)
