"""`--inner`: scapy's layers with keyword arguments and literals, and nothing that could do anything."""

from __future__ import annotations

import builtins
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from conftest import require_module
from craft.crafting import NODES, PODS, complaints, craft, fields

from vxtool import cli
from vxtool.craft.expression import frame_layers
from vxtool.errors import UsageError

ENDS = 'src="172.20.0.107", dst="172.20.2.4"'


@pytest.fixture(autouse=True)
def _scapy() -> None:
    require_module("scapy")


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        (f'IP({ENDS})/TCP(dport=80, flags="S")', ("tcp.dstport", "tcp.flags"), ["80", "0x0002"]),
        (f'IP({ENDS}, ttl=7)/UDP(sport=1, dport=2)/"hello"', ("ip.ttl", "data.data"), ["64,7", "68656c6c6f"]),
        (f'IP({ENDS})/TCP(options=[("MSS", 1398), ("NOP", None), ("WScale", 7)])', ("tcp.options.mss_val",),
         ["1398"]),
        (f'IP({ENDS})/UDP(dport=53)/DNS(rd=1, id=7)', ("dns.id",), ["0x0007"]),
        ('IPv6(src="fd00::1", dst="fd00::2")/ICMPv6EchoRequest(seq=3)', ("icmpv6.echo.sequence_number",), ["3"]),
        (f'Ether(dst="02:00:00:00:00:09")/Dot1Q(vlan=5)/IP({ENDS})/ICMP()', ("vlan.id", "icmp.type"), ["5", "8"]),
        ('ARP(psrc="172.20.0.107", pdst="172.20.2.4", hwsrc="02:00:00:00:00:09")', ("arp.opcode",), ["1"]),
        (f'IP({ENDS})/SCTP(sport=1, dport=2)/SCTPChunkData(data=b"x")', ("sctp.dstport",), ["2"]),
    ],
)  # fmt: skip
def test_any_layer_goes_into_the_tunnel(
    tmp_path: Path, text: str, names: tuple[str, ...], values: list[str]
) -> None:
    path = tmp_path / "inner.pcap"
    craft(*NODES, "--inner", text, "-o", str(path))
    assert fields(path, "vxlan.vni", *names) == [["36705", *values]]
    assert complaints(path) == []


def test_fields_of_it_vary_and_checksums_follow(tmp_path: Path) -> None:
    path = tmp_path / "many.pcap"
    craft(*NODES, "--inner", f"IP({ENDS})/TCP(sport=1000, dport=80)", "--count", "4", "--vary", "from-port",
          "--through", "eth1,eth2", "-o", str(path))  # fmt: skip
    assert [row[0] for row in fields(path, "tcp.srcport")][::2] == ["1000", "1001", "1002", "1003"]
    assert complaints(path, besides=("_ws.expert.severity>=6291456",)) == []


def test_without_a_tunnel_the_frame_goes_out_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "plain.pcap"
    craft("--inner", f'Ether(src="02:00:00:00:00:07")/IP({ENDS})/ICMP()', "-o", str(path))
    assert fields(path, "eth.src", "ip.dst") == [["02:00:00:00:00:07", "172.20.2.4"]]


REFUSED = [
    ("__import__('os').system('touch hacked')", "a layer"),
    ("().__class__.__bases__[0].__subclasses__()", "a layer"),
    (f"IP({ENDS}).show()", "a layer"),
    ("open('hacked', 'w')", "keyword arguments"),
    ("eval(x='1')", "'eval' is no layer"),
    ("exec(source='1')", "'exec' is no layer"),
    (f"IP({ENDS}, ttl=open('hacked', 'w'))", "a literal"),
    (f"IP({ENDS}, ttl=[x for x in (1, 2)])", "a literal"),
    (f"IP({ENDS}, ttl=2**9)", "a literal"),
    (f"IP({ENDS}, ttl=f'{{1}}')", "a literal"),
    (f"IP({ENDS}, ttl=RandByte())", "a literal"),
    (f"IP({ENDS}, ttl=lambda: 1)", "a literal"),
    (f"IP({ENDS}, ttl={{'a': 1}})", "a literal"),
    (f"IP({ENDS}, ttl=True and 1)", "a literal"),
    ("IP(*[1])", "keyword arguments"),
    ("IP(**{'src': '10.0.0.1'})", "named fields"),
    (f"IP({ENDS}, __class__=1)", "named fields"),
    ("IP('10.0.0.1')", "keyword arguments"),
    (f"IP({ENDS}) + TCP()", "a layer"),
    (f"IP({ENDS}) // TCP()", "a layer"),
    (f"[IP({ENDS})]", "a layer"),
    (f"x := IP({ENDS})", "is no expression of layers"),
    ("import os", "is no expression of layers"),
    (f"IP({ENDS}); TCP()", "is no expression of layers"),
    ("(" * 5000, "is no expression of layers"),
    ("IP(", "is no expression of layers"),
    ("", "is no expression of layers"),
    ("Packet()", "'Packet' is no layer"),
    ("PcapReader(filename='x')", "'PcapReader' is no layer"),
    ("Automaton()", "'Automaton' is no layer"),
    ("IP(dst='10.0.0.1')", "IP(src=...) is missing"),
    ("IP(src='10.0.0.1', dst='www.example.com')", "expected an IP address"),
    ("IP(src='10.0.0.1', dst='10.0.0.0/8')", "expected an IP address"),
    (f"IP({ENDS}, colour=3)", "IP: "),
    (f"IP({ENDS}, ttl='many')", "scapy cannot make this packet"),
    ("TCP(dport=80)", "a packet cannot begin with TCP"),
    ("'hello'", "begins with a payload"),
    ("/".join(["Raw()"] * 40), "more than 32 layers"),
    (f"IP({ENDS}, options=[{'0,' * 5000}])", "more than 4096 values"),
    (f"IP({ENDS})/'{'x' * 70000}'", "is longer than 65536 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), REFUSED, ids=[text[:40] for text, _ in REFUSED])
def test_all_else_is_refused_in_one_line_and_nothing_happens(
    text: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["craft", *NODES, "--inner", text, "-o", "x.pcap"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("vxtool: --inner: ")
    assert line in said
    assert said.count("\n") == 1
    assert len(said) < 400
    assert not list(tmp_path.iterdir())


def test_nothing_is_looked_up_sent_or_run(monkeypatch: pytest.MonkeyPatch) -> None:
    frame_layers(f"IP({ENDS})/ICMP()")  # scapy is imported, which looks at this machine's interfaces

    def forbidden(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("this must not be called")

    for owner, name in (
        (socket, "getaddrinfo"), (socket, "gethostbyname"), (socket.socket, "connect"), (socket.socket, "sendto"),
        (socket.socket, "send"), (subprocess, "Popen"), (builtins, "eval"), (builtins, "exec"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, forbidden)
    for text in (f"Ether()/IP({ENDS})/UDP(dport=53)/DNS()", f"IP({ENDS})/TCP()/'x'"):
        layers, _ = frame_layers(text)
        assert len(layers) > 1
    for text, _ in REFUSED:
        with pytest.raises(UsageError):
            frame_layers(text)


def test_it_goes_with_no_option_that_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["craft", *PODS, "--inner", f"IP({ENDS})", "-o", str(tmp_path / "x")]) == 2
    assert "--from says what --inner says already" in capsys.readouterr().err


def test_without_scapy_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name == "scapy" or name.startswith("scapy.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scapy", None)
    assert cli.run(["craft", *NODES, "--inner", f"IP({ENDS})", "-o", str(tmp_path / "x")]) == 2
    assert "scapy is not installed; install it: pip install 'vxtool[craft]'" in capsys.readouterr().err
