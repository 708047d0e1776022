"""Sending: what leaves this machine is what was crafted, when it was due, and only where it may go."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from craft.crafting import PODS, craft

import vxtool
from vxtool import cli
from vxtool.craft.private import is_private
from vxtool.packet import ICMP, UDP, VXLAN, IPv4, encode

HERE = ("--vni", "36705", "--outer", "127.0.0.1,127.0.0.1")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def vtep() -> Iterator[socket.socket]:
    """A UDP socket of this machine that stands for a VTEP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


def inside(data: bytes) -> vxtool.Packet:
    """What a tunnel packet's UDP payload holds."""
    return vxtool.decode(encode(IPv4("127.0.0.1", "127.0.0.1"), UDP(1, 8472, checksum=0), payload=data), "RAW")


def to(vtep: socket.socket) -> tuple[str, ...]:
    return (*PODS, *HERE, "--tunnel-port", str(vtep.getsockname()[1]), "--send")


def test_a_udp_socket_sends_the_tunnel_s_payload_from_the_chosen_port(
    vtep: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    outer = f"127.0.0.1:{port},127.0.0.1:{vtep.getsockname()[1]}"
    craft(*PODS, "--vni", "36705", "--outer", outer, "--icmp", "echo", "--icmp-id", "7",
          "--count", "3", "--rate", "1000", "--send")  # fmt: skip
    for sequence in (1, 2, 3):
        data, sender = vtep.recvfrom(4096)
        assert sender == ("127.0.0.1", port)
        packet = inside(data)
        assert [packet.get(VXLAN).vni, packet.get(ICMP).rest] == [36705, 7 << 16 | sequence]
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("sending 3 packets by UDP sockets, ")
    assert said[1].startswith(
        f"  3 x 127.0.0.1:{port} → 127.0.0.1:{vtep.getsockname()[1]}  vxlan 36705  172.20.0.107"
    )
    assert said[2].startswith("sent 3, failed 0 in ")


def test_source_ports_may_differ_from_packet_to_packet(vtep: socket.socket) -> None:
    craft(*to(vtep), "--udp", "1:2", "--count", "6", "--rate", "1000", "--vary", "source-port=1x3")
    ports = [vtep.recvfrom(4096)[1][1] for _ in range(6)]
    assert ports[:3] == [ports[0], ports[0] + 1, ports[0] + 2]
    assert ports[3:] == ports[:3]


def test_packets_leave_at_the_rate(vtep: socket.socket) -> None:
    began = time.monotonic()
    craft(*to(vtep), "--udp", "1:2", "--count", "11", "--rate", "50")
    assert 0.2 <= time.monotonic() - began < 2  # ten intervals of 20 ms


def test_replies_are_shown_decoded(capsys: pytest.CaptureFixture[str]) -> None:
    # The VTEP's port is the same at both ends, so the far end is another address of this machine.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.2", 0))
        far.settimeout(5)
        port = far.getsockname()[1]

        def answer() -> None:
            data, _ = far.recvfrom(4096)
            echo = inside(data).get(ICMP)
            assert echo is not None
            frame = inside(data).layers[3:4]
            reply = encode(
                VXLAN(17701), *frame, IPv4("172.20.2.4", "172.20.0.107"), ICMP(0, 0, echo.rest), payload=b"x"
            )
            far.sendto(b"nonsense", ("127.0.0.1", port))
            far.sendto(reply, ("127.0.0.1", port))

        thread = threading.Thread(target=answer)
        thread.start()
        craft(*PODS, "--vni", "36705", "--outer", "127.0.0.1,127.0.0.2", "--tunnel-port", str(port),
              "--icmp", "echo", "--icmp-id", "2900", "--send", "--listen", "0.5")  # fmt: skip
        thread.join()
    said = capsys.readouterr().out
    assert f"127.0.0.2:{port} → 127.0.0.1:{port}  vxlan 17701  172.20.2.4 → 172.20.0.107  " in said
    assert "icmp echo reply, id 2900, seq 1" in said


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--outer", "127.0.0.1,8.8.8.8"), "8.8.8.8 is neither private nor loopback; --anywhere"),
        (("--outer", "127.0.0.1,127.0.0.1", "--to", "9.9.9.9"), "9.9.9.9 is neither private nor loopback"),
        (("--outer", "127.0.0.1,10.255.255.255", "--vary", "outer-to", "--count", "2"), "11.0.0.0 is neither"),
        (
            ("--outer", "127.0.0.1,127.0.0.1", "--vary", "outer-to", "--count", "100k"),
            "more than 65536 destinations",
        ),
        (("--outer", "192.0.2.1,127.0.0.1"), "192.0.2.1 is no address of this machine"),
        (("--outer", "127.0.0.1,127.0.0.1", "--vlan", "5"), "--vlan: the kernel makes the outer headers"),
        (("--outer", "127.0.0.1,127.0.0.1", "--wrong", "outer-checksum"), "use --interface"),
        (("--outer", "127.0.0.1,127.0.0.1", "--through", "eth1,eth2"), "--through is of captures"),
        (("--outer", "127.0.0.1,127.0.0.1", "--interface", "nosuch0"), "this machine has no interface 'nosuch0'"),
    ],
)
def test_what_cannot_or_must_not_be_sent_is_refused_before_anything_is(
    options: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["craft", *PODS, "--vni", "5", "--udp", "1:2", *options, "--send"]) == 2
    said = capsys.readouterr()
    assert line in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize("name", ["--listen=3", "--interface=lo", "--anywhere"])
def test_what_needs_sending_says_so(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["craft", *PODS, "--udp", "1:2", name, "-o", str(tmp_path / "x")]) == 2
    assert "needs --send" in capsys.readouterr().err


def test_plain_packets_need_an_interface(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["craft", *PODS, "--udp", "1:2", "--send"]) == 2
    assert "a UDP socket sends tunnel packets only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("10.0.0.1", True), ("172.31.255.255", True), ("172.32.0.0", False), ("192.168.1.1", True),
        ("192.169.0.0", False), ("127.0.0.1", True), ("169.254.1.1", True), ("100.64.0.1", False),
        ("192.0.2.1", False), ("224.0.0.1", False), ("0.0.0.0", False), ("255.255.255.255", False),
        ("::1", True), ("fd00::1", True), ("fe80::1", True), ("2001:db8::1", False), ("ff02::1", False),
        ("::ffff:8.8.8.8", False),
    ],
)  # fmt: skip
def test_private_are_only_networks_that_nobody_else_is_on(address: str, private: bool) -> None:
    assert is_private(address) is private


def test_what_fails_is_counted_and_the_rest_is_sent(
    vtep: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    # 70,000 bytes are more than a UDP datagram holds.
    code = cli.run(["craft", *to(vtep), "--udp", "1:2", "--size", "100", "--vary", "size=70000x2", "--count", "4",
                    "--rate", "1000"])  # fmt: skip
    assert code == 1
    assert "sent 2, failed 2 (Message too long) in" in capsys.readouterr().out
    assert len(vtep.recvfrom(4096)[0]) == 8 + 14 + 100


def test_ctrl_c_stops_it_and_the_count_is_told(vtep: socket.socket) -> None:
    command = [Path(sys.executable).with_name("vxtool"), "craft", *to(vtep), "--udp", "1:2", "--count", "1M",
               "--rate", "100"]  # fmt: skip
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(5):
            vtep.recvfrom(4096)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err == ""
    last = out.splitlines()[-1]
    assert last.startswith("stopped: sent ")
    assert int(last.split()[2].rstrip(",")) >= 5
