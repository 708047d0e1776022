"""Display filters choose what Wireshark's choose, where both have a name; what only vxtool knows is by hand.

tshark speaks of all layers of a record, vxtool of the innermost. So for tshark each name is tied to the layer that
is the innermost of its kind, by what a record wears.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import CAPTURES, REPOSITORY, require_tool
from summary.lines import PlainNote, PlainSeen, facts, ipv4, ipv6, lines_of

from vxtool.listing.facts import OUTCOMES, Facts
from vxtool.listing.filter import Field, Filter, Has
from vxtool.listing.filter_fields import BY_NAME, FILTER_FIELDS
from vxtool.listing.filter_text import FilterNames, compile_filter

# Of link type SLL2: underlays and pods of both families, ARP, drops, ICMP errors, real retransmissions.
_SAMPLES = ("ping-http", "ipv6-underlay", "ipv6-pods", "unfiltered", "native-misroute", "drops", "too-big-ignored")
_TSHARK = ("-n", "-d", "udp.port==8472,vxlan", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE")
_NOTES = {
    "retransmission": 1,
    "fast_retransmission": 2,
    "spurious_retransmission": 4,
    "out_of_order": 8,
    "lost_segment": 16,
    "ack_lost_segment": 32,
    "duplicate_ack": 64,
    "zero_window": 128,
    "zero_window_probe": 256,
    "zero_window_probe_ack": 512,
    "window_update": 1024,
    "window_full": 2048,
    "keep_alive": 4096,
    "keep_alive_ack": 8192,
    "reused_ports": 16384,
}
# An ICMP error quotes a packet, whose layers tshark shows as if it carried them.
_ERRORS = "(icmp.type in {3, 4, 5, 11, 12} || icmpv6.type < 128)"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filter") / "samples.pcap"
    samples = [str(CAPTURES / f"{name}.pcap") for name in _SAMPLES]
    subprocess.run(
        [require_tool("mergecap"), "-a", "-F", "pcap", "-w", str(path), *samples], check=True, capture_output=True
    )
    return path


@pytest.fixture(scope="module")
def lines(capture: Path) -> list[Facts]:
    """The records with what tshark knows of their streams, but for those that quote others."""
    names = ["tcp.stream", "tcp.seq", "tcp.ack", "tcp.window_size", "tcp.analysis.duplicate_ack_num"]
    names += ["tcp.analysis.duplicate_ack_frame", *(f"tcp.analysis.{name}" for name in _NOTES)]
    told = _tshark(capture, "-T", "fields", *(part for name in names for part in ("-e", name)))
    errors = _frames(capture, _ERRORS)
    return [*_noted(capture, told, errors)]


def _noted(capture: Path, told: list[str], errors: set[int]) -> Iterator[Facts]:
    for line, row in zip(lines_of(capture), told, strict=True):
        if line.record in errors:
            continue
        values = row.split("\t")
        if line.seen.transport == 6 and line.seen.header:
            numbers = [int(value or 0) for value in values[:6]]
            bits = sum(bit for bit, value in zip(_NOTES.values(), values[6:], strict=True) if value)
            # A fast or spurious one is a retransmission of its own kind here.
            line.note = PlainNote(numbers[0], bits & ~1 if bits & 6 else bits, *numbers[1:])
        yield line


def _tshark(path: Path, *options: str) -> list[str]:
    command = [require_tool("tshark"), "-r", str(path), *_TSHARK, *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _frames(path: Path, text: str) -> set[int]:
    return {int(line) for line in _tshark(path, "-Y", text, "-T", "fields", "-e", "frame.number")}


@pytest.fixture(scope="module")
def chosen_by_tshark(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[int]]:
    """The records that each of SHARED chooses."""
    if "without Lua" in " ".join(_tshark(capture, "-v")):
        return {text: _frames(capture, _of_innermost(text)) for text in SHARED}
    # All in one run, which takes a second where a run for each takes a minute.
    script = tmp_path_factory.mktemp("filter") / "filters.lua"
    with script.open("w") as file:
        for number, text in enumerate(SHARED):
            file.write(
                f'Listener.new("frame", [==[{_of_innermost(text)}]==]).packet = '
                f'function(packet) print("chosen", {number}, packet.number) end\n'
            )
    chosen: dict[str, set[int]] = {text: set() for text in SHARED}
    for line in _tshark(capture, "-q", "-X", f"lua_script:{script}"):
        if line.startswith("chosen"):
            _, number, record = line.split()
            chosen[SHARED[int(number)]].add(int(record))
    return chosen


def _of_innermost(text: str) -> str:
    """The filter for tshark, which holds by the innermost layers."""
    cases = ["(!vxlan && (" + _tied(text, 1, 1, 1) + "))"]
    for outer, outer_type in ((4, "0x0800"), (6, "0x86dd")):
        for inner, inner_type in ((4, "0x0800"), (6, "0x86dd")):
            # A layer that there is not stands for none.
            own = 2 if inner == outer else 1
            tied = _tied(text, own if inner == 4 else 9, own if inner == 6 else 9, 2)
            cases.append(f"(vxlan && sll.etype == {outer_type} && eth.type == {inner_type} && ({tied}))")
    return " || ".join(cases)


def _tied(text: str, ip: int, ipv6: int, udp: int) -> str:
    text = re.sub(r"\bip\b(\.[a-z_.]*[a-z_])?", rf"\g<0>#{ip}", text)
    text = re.sub(r"\bipv6\b(\.[a-z_.]*[a-z_])?", rf"\g<0>#{ipv6}", text)
    return re.sub(r"\budp\b(\.[a-z_.]*[a-z_])?", rf"\g<0>#{udp}", text)


SHARED = [
    "tcp", "udp", "icmp", "icmpv6", "arp", "ip", "ipv6", "vxlan",
    "!tcp", "not udp and not tcp", "tcp or icmp and ip.ttl == 63", "(tcp || icmp) && ip.ttl == 63", "!!arp",
    "vxlan.vni == 36705", "vxlan.vni==36705 && tcp.port==80", "vxlan.vni != 36705", "!(vxlan.vni == 36705)",
    "ip.addr == 172.20.0.0/16", "ip.addr == 172.20.0.107", "ip.addr != 172.20.0.107", "!(ip.addr == 172.20.0.107)",
    "ip.src == 172.20.2.4", "ip.dst == 172.20.2.4", "ip.src != 172.20.0.0/16", "ip.src ne 172.20.2.4",
    "ip.src < 172.20.1.0", "ip.dst >= 172.20.2.4", "ip.src in {172.20.0.107, 172.20.2.0..172.20.2.9}",
    "ipv6.addr == fd00::/8", "ipv6.src == fd00:172:20::/48", "ipv6.dst != fd00:172:20::/48", "ipv6.addr", "ip.addr",
    "frame.number == 7", "frame.number in {1, 5..9, 200}", "frame.number not in {1..100}", "frame.number >= 300",
    "frame.len > 1000", "frame.len <= 0x80", "frame.len lt 150", "frame.cap_len == 134",
    "frame.time_relative < 1.5", "frame.time_relative >= 0.01", "frame.time_relative == 0",
    "frame.time_epoch < 1700000000", 'frame.time >= "2024-01-01 00:00:00Z"',
    "tcp.port == 80", "tcp.port != 80", "!(tcp.port == 80)", "tcp.srcport == 80", "tcp.dstport eq 80",
    "tcp.port in {80, 443, 8000..8080}", "tcp.port < 1024", "tcp.port > 40000", "tcp.port",
    "udp.port == 53", "udp.dstport > 1000", "udp.srcport", "udp.length > 100",
    "tcp.len > 0", "tcp.len == 0", "tcp.flags == 0x012", "tcp.flags & 0x02", "tcp.flags & 0x12 == 0x10",
    "tcp.flags.syn == 1", "tcp.flags.syn == 0", "tcp.flags.syn", "tcp.flags.ack == 1 && tcp.flags.push == 1",
    "tcp.flags.fin == 1", "tcp.flags.reset == 1", "tcp.flags.urg == 1 || tcp.flags.ece == 1 || tcp.flags.cwr == 1",
    "tcp.flags.syn != 0", "tcp.window_size_value < 500", "tcp.seq_raw > 2000000000", "tcp.ack_raw == 0",
    "tcp.stream == 0", "tcp.stream > 2", "tcp.seq == 1", "tcp.seq > 100", "tcp.ack <= 1", "tcp.window_size > 64000",
    "tcp.analysis.retransmission", "tcp.analysis.spurious_retransmission || tcp.analysis.fast_retransmission",
    "tcp.analysis.out_of_order", "tcp.analysis.duplicate_ack", "tcp.analysis.flags", "tcp.analysis.lost_segment",
    "tcp.analysis.ack_lost_segment || tcp.analysis.keep_alive", "tcp && !tcp.analysis.flags",
    "tcp.analysis.duplicate_ack_num >= 1", "tcp.analysis.window_update",
    "icmp.type == 8", "icmp.type in {0, 8}", "icmp.code == 0", "icmpv6.type == 128", "icmpv6.type >= 129",
    "icmpv6.code == 0", "arp.opcode == 1", "arp.opcode != 1",
    "ip.ttl == 64", "ip.ttl < 64", "ip.ttl", "ipv6.hlim == 63", "ip.proto == 6", "ip.proto in {1, 17}",
    "ip.id == 0", "ip.id > 0x8000", "ip.len > 500", "ip.flags.df == 1", "ip.flags.df == 0", "ip.flags.mf == 1",
    "ip.frag_offset == 0", "ip.dsfield == 0", "ip.dsfield.dscp > 0", "ip.dsfield.ecn == 0", "ipv6.plen > 100",
    "ipv6.tclass == 0",
]  # fmt: skip


@pytest.mark.parametrize("text", SHARED)
def test_it_chooses_what_wireshark_chooses(
    text: str, lines: list[Facts], chosen_by_tshark: dict[str, set[int]]
) -> None:
    wanted = Filter(compile_filter(text))
    chosen = {line.record for line in lines if wanted.holds(line)}
    assert chosen == chosen_by_tshark[text] & {line.record for line in lines}


def test_most_filters_choose_some_and_not_all(lines: list[Facts], chosen_by_tshark: dict[str, set[int]]) -> None:
    sizes = [len(chosen & {line.record for line in lines}) for chosen in chosen_by_tshark.values()]
    assert sum(0 < size < len(lines) for size in sizes) > 0.8 * len(SHARED)


def test_a_filter_by_option_y_is_the_same(capture: Path, chosen_by_tshark: dict[str, set[int]]) -> None:
    text = "tcp.port in {80, 443, 8000..8080}"
    assert _frames(capture, _of_innermost(text)) == chosen_by_tshark[text]


# What Wireshark has no name for.


def _holds(text: str, line: Facts, names: FilterNames | None = None) -> bool:
    return Filter(compile_filter(text, names)).holds(line)


_CURL = {
    "source_pod": "default/curl-pod",
    "destination_pod": "shop/web-0",
    "source_node": "worker-1",
    "destination_node": "worker-2",
    "ingress": "eth1",
    "egress": "eth2",
    "source_identity": 36705,
    "destination_identity": 17701,
    "outcome": OUTCOMES.index("forwarded"),
    "latency_ns": 16_000,
    "protocol": "TLSv1.3",
    "time_ns": 1_754_760_470_282_388_000,  # 2025-08-09T17:27:50.282388Z by `date -u -d @1754760470`
    "relative_ns": 1_500_000_000,
    "input": 1,
    "record": 12,
}
_IDENTITIES = {"default/curl-pod": [36705], "web": [17701, 17702]}
_NAMES = FilterNames(lambda name: _IDENTITIES.get(name, []), ["a/eth1.pcap", "b.pcap"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "pod == default/curl-pod",
        'pod == "web-0"',
        "pod == 'shop/*'",
        "pod == curl-*",
        "pod == *r*p*d",
        "pod",
        "pod contains shop/",
        "source.pod == curl-pod && destination.pod == web-0",
        "source.pod != web-0",
        "pod in {other, web-0}",
        "namespace == shop",
        "source.namespace == default and destination.namespace ne default",
        "node == worker-1 && node == worker-2 && source.node != worker-2 && destination.node != worker-1",
        "interface == eth1 && interface == eth2 && ingress == eth1 && egress == eth2",
        "interface != eth3",
        "interface in {eth0, eth2}",
        "identity == 36705 && identity == 17701 && source.identity == 36705",
        "identity == default/curl-pod",
        'destination.identity == "web"',
        "source.identity != web",
        "identity in {web, 5}",
        "identity in {36700..36800}",
        "identity > 30000",
        "outcome == forwarded",
        "outcome != dropped",
        "outcome in {dropped, Forwarded}",
        "latency == 16us",
        "latency > 15.999µs && latency < 0.017ms",
        "latency in {1us..20us}",
        "protocol == TLSv1.3",
        "protocol == tlsv1.3",
        "protocol == TLS*",
        'protocol contains "LSv"',
        "tls",
        "!http",
        "time == 2025-08-09T17:27:50.282388Z",
        "frame.time >= 2025-08-09T17:27:50Z && time < 2025-08-09T17:27:51Z",
        "time == 2025-08-09T19:27:50.282388+02:00",
        'time == "2025-08-09 17:27:50.282388"',
        "time > 2025-08-09",
        "frame.time_epoch == 1754760470.282388",
        "frame.time_relative == 1.5 && frame.time_relative == 1500ms",
        "input == 2",
        "input == b.pcap",
        "input != eth1.pcap",
        "record == 12",
        "number == 12",
    ],
)
def test_what_only_vxtool_knows(text: str) -> None:
    assert _holds(text, facts(**_CURL), _NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "pod == curl",
        "pod == default/curl",
        "pod == default",
        "pod != web-0",  # one of the two is
        "pod contains Shop",
        "source.pod == web-0",
        "namespace == curl-pod",
        "node == worker-3",
        "node == worker",
        "interface == eth3",
        "interface != eth1",
        "ingress == eth2",
        "identity == 1",
        "identity != 17701",
        "destination.identity != web",
        "outcome == dropped",
        "outcome in {dropped, missed}",
        "latency > 16us",
        "latency < 16us",
        "protocol contains tls",
        "dns",
        "time > 2025-08-09T17:27:50.282388Z",
        "input == eth1.pcap",
        "frame.time_relative < 1.5",
        "frame.time_relative > 1.5",
    ],
)
def test_what_does_not_hold(text: str) -> None:
    assert not _holds(text, facts(**_CURL), _NAMES)


_ABSENT = [
    "latency",
    "outcome",
    "pod",
    "identity",
    "vni",
    "tcp.port",
    "ip.addr",
    "outer.addr",
    "ip.ttl",
    "tcp.stream",
]


@pytest.mark.parametrize("name", _ABSENT)
def test_of_what_a_record_does_not_have_no_comparison_holds(name: str) -> None:
    field = BY_NAME[name]
    value = field.example.split()[-1]
    for operator in ("==", "!="):
        assert not _holds(f"{name} {operator} {value}", facts(), _NAMES)
        assert _holds(f"!({name} {operator} {value})", facts(), _NAMES)
    assert not _holds(name, facts())
    assert _holds(f"not {name}", facts())


def test_a_pod_without_namespace_is_found_by_its_name_alone() -> None:
    line = facts(source_pod="curl-pod")
    assert _holds("pod == curl-pod", line)
    assert not _holds("pod == default/curl-pod", line)
    assert not _holds("namespace", line)


def test_outer_fields_are_the_underlay_s() -> None:
    seen = PlainSeen(
        source=ipv4("172.20.0.107"),
        destination=ipv4("172.20.2.4"),
        tunnel="vxlan",
        vni=36705,
        outer_source=ipv6("fd00:10::100"),
        outer_destination=ipv6("fd00:20::100"),
        outer_source_port=51213,
        outer_destination_port=8472,
    )
    line = facts(seen)
    assert _holds("outer.addr == fd00:10::/32 && outer.src == fd00:10::100 && outer.dst != fd00:10::100", line)
    assert _holds("outer.port == 8472 && outer.srcport == 51213 && outer.dstport in {8000..9000}", line)
    assert _holds("addr == 172.20.0.107 && src == 172.20.0.0/24 && dst == 172.20.2.4", line)
    assert _holds("vni == 36705 && vxlan && tunnel", line)
    assert not _holds("addr == fd00:10::100 || ipv6.addr || port == 8472 || geneve || geneve.vni == 36705", line)
    assert _holds("addr != 10.0.0.1 && addr != fd00::/16", line)
    assert not _holds("ip.addr > 172.20.2.4 or ip.addr < 172.20.0.107", line)


def test_mac_addresses_where_columns_show_them() -> None:
    line = facts(PlainSeen(source=(3, bytes.fromhex("020000000101")), destination=(3, b"\xff" * 6)))
    assert _holds("eth.addr == 02:00:00:00:01:01 && eth.dst == FF-FF-FF-FF-FF-FF && eth.src", line)
    assert not _holds("addr || eth.src == ff:ff:ff:ff:ff:ff", line)


def test_and_binds_tighter_than_or() -> None:
    line = facts(record=5)
    assert _holds("record == 5 || record == 6 && record == 7", line)
    assert not _holds("(record == 5 || record == 6) && record == 7", line)
    assert _holds("not record == 6 and record == 5", line)


def test_quoted_text_may_hold_anything() -> None:
    line = facts(ingress="a \"b\" \\ {c} && 'd'")
    assert _holds(r"""ingress == "a \"b\" \\ {c} && 'd'" """, line)
    assert _holds(r"""ingress == 'a "b" \\ {c} && \'d\'' """, line)


# The table.


def test_every_example_is_a_filter() -> None:
    names = FilterNames(lambda name: [1], ["eth1.pcap"])
    for field in FILTER_FIELDS:
        assert compile_filter(field.example, names).tests, field.name
        assert field.name in field.example or any(alias in field.example for alias in field.aliases)


def test_a_name_stands_for_one_field() -> None:
    names = [name for field in FILTER_FIELDS for name in (field.name, *field.aliases)]
    assert len(names) == len({*names}) == len(BY_NAME)


def _values(header: str, prefix: str, form: str = r"(\w+)[, ]") -> list[str]:
    text = (REPOSITORY / "vxtool/listing/native" / header).read_text("utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.findall(rf"\b{prefix}{form}", text)


def test_numbers_are_those_of_the_c_headers() -> None:
    fields = _values("filter.h", "VX_FIELD_", r"(\w+),\s")[: len(Field)]
    assert fields == [field.name for field in Field]
    assert _values("filter.h", "VX_HAS_", r"(\w+ = \d+)") == [f"{has.name} = {has.value}" for has in Has]
    assert _values("facts.h", "", r"VX_(FORWARDED.*UNRESOLVED)")[0].lower().replace(", vx_", " ").split() == [
        *OUTCOMES[1:]
    ]
    notes = {int(bit) for bit in _values("streams.h", "VX_", r"[A-Z_]+ = (\d+)")}
    assert sum(notes) == BY_NAME["tcp.analysis.flags"].mask
    assert {bit for name, bit in _NOTES.items() if BY_NAME[f"tcp.analysis.{name}"].mask & bit} == {*_NOTES.values()}
    assert notes == {*_NOTES.values()}
