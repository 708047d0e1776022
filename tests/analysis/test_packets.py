"""Packets one by one: each datagram once, with its own verdict, flags and record."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from analysis.scenes import (
    ETH1,
    ETH2,
    MS,
    POD_A,
    POD_B,
    US,
    VNI_A,
    VNI_B,
    Seen,
    back,
    came,
    datagram,
    endpoints_file,
    passed,
    pcap,
    ping,
    router_links,
    segment,
    tunnel,
)
from captures.samples import Sample, samples
from conftest import require_module, require_tool

from vxtool import api, flows
from vxtool.analysis.model import FlowList
from vxtool.analysis.times import rfc3339
from vxtool.report.json import render_flows

A, B = (POD_A, 32788), (POD_B, 80)
SYN, SYN_ACK, ACK, PSH_ACK, FIN_ACK = 0x02, 0x12, 0x10, 0x18, 0x11  # RFC 9293, section 3.1
NODES = "192.168.10.100", "192.168.20.100"


def run(tmp_path: Path, records: list[Seen], **options: Any) -> FlowList:
    return flows([pcap(tmp_path / "capture.pcap", records)], packets=True, **options)


def connection(lost: bool = False) -> list[Seen]:
    """A connection's packets 1 ms apart; the fourth does not leave if it is `lost`."""
    data = tunnel(segment(2, 100, flags=PSH_ACK))
    return [
        *passed(0, tunnel(segment(1, flags=SYN))),
        *passed(MS, back(segment(9, 0, B, A, flags=SYN_ACK)), 3 * US, ETH2, ETH1),
        *passed(2 * MS, tunnel(segment(2, flags=ACK))),
        *([came(3 * MS, data)] if lost else passed(3 * MS, data)),
        *passed(4 * MS, tunnel(segment(102, flags=FIN_ACK))),
    ]


def test_each_packet_tells_its_own_flags_length_time_and_record(tmp_path: Path, engine: str) -> None:
    found = run(tmp_path, connection())
    first = found["flows"][0]["first_time"]
    assert [
        (packet["tcp_flags"], packet["inner_bytes"], packet["record"], packet["is_reply"], packet["datagrams"])
        for packet in found["flows"]
    ] == [
        (flags, length, {"input": str(tmp_path / "capture.pcap"), "record": record}, reply, 1)
        for flags, length, record, reply in [
            (["SYN"], 40, 1, False),
            (["SYN", "ACK"], 40, 3, True),
            (["ACK"], 40, 5, False),
            (["ACK", "PSH"], 140, 7, False),
            (["ACK", "FIN"], 40, 9, False),
        ]
    ]
    assert first.endswith(".000000000Z")
    assert [packet["first_time"] for packet in found["flows"]] == [
        first.replace(".000000000Z", f".00{at}000000Z") for at in range(5)
    ]
    assert found["packets"] == {"shown": 5, "matching": 5, "unlisted": 0}
    assert (found["flows_matching"], found["flows_total"]) == (2, 2)


def test_a_lost_packet_has_its_own_verdict(tmp_path: Path, engine: str) -> None:
    links = [router_links(tmp_path / "links.json")]
    found = run(tmp_path, [*connection(lost=True), *passed(2_000 * MS, tunnel(ping()))], links=links)
    verdicts = [(packet["verdict"], packet["tcp_flags"], packet["egress"]) for packet in found["flows"]]
    assert verdicts[3] == ("DROPPED", ["ACK", "PSH"], None)
    assert {verdict for verdict, *_ in verdicts[:3] + verdicts[4:]} == {"FORWARDED"}
    dropped = run(tmp_path, connection(lost=True), links=links, verdicts=["DROPPED"])
    assert [packet["record"]["record"] for packet in dropped["flows"] if packet["record"]] == [7]


def test_icmp_tells_type_and_code(tmp_path: Path, engine: str) -> None:
    (packet,) = run(tmp_path, passed(0, tunnel(ping())))["flows"]
    assert (packet["icmp"], packet["icmp_echo"], packet["is_reply"]) == ({"type": 8, "code": 0}, "request", False)
    assert packet["tcp_flags"] == []


def test_a_tunnel_tells_its_source_port_and_plain_ip_has_none(tmp_path: Path, engine: str) -> None:
    (packet,) = run(tmp_path, passed(0, tunnel(datagram(100, 1, A), port=51213)))["flows"]
    assert packet["tunnel"] is not None
    assert packet["tunnel"]["source_port"] == 51213
    (plain,) = run(tmp_path, passed(0, ping()))["flows"]
    assert plain["tunnel"] is None


def test_filters_and_top_choose_packets(tmp_path: Path, engine: str) -> None:
    rows = [("curl-pod", VNI_A, POD_A, NODES[0]), ("webpod-6f5cdb7788-xk2vq", VNI_B, POD_B, NODES[1])]
    options: dict[str, Any] = {"cluster": [endpoints_file(tmp_path / "endpoints.json", rows)]}
    records = [*connection(), *passed(5 * MS, tunnel(ping()))]
    found = run(tmp_path, records, protocols=["tcp"], top=3, **options)
    assert [packet["record"]["record"] for packet in found["flows"] if packet["record"]] == [1, 3, 5]
    assert found["packets"] == {"shown": 3, "matching": 5, "unlisted": 0}
    assert (found["flows_matching"], found["flows_total"]) == (2, 3)
    assert run(tmp_path, records, pods=["nobody"], **options)["packets"] == {
        "shown": 0, "matching": 0, "unlisted": 0,
    }  # fmt: skip


def test_what_is_beyond_as_many_as_are_kept_is_told(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MOST_PACKETS", 2)
    found = run(tmp_path, connection())
    assert found["packets"] == {"shown": 2, "matching": 5, "unlisted": 3}


def test_packets_can_be_looked_at_like_a_list(tmp_path: Path, engine: str) -> None:
    packets = run(tmp_path, connection())["flows"]
    assert len(packets) == 5
    assert packets[1] == list(packets)[1]
    assert packets[-1]["tcp_flags"] == ["ACK", "FIN"]
    assert [packet["tcp_flags"] for packet in packets[1:3]] == [["SYN", "ACK"], ["ACK"]]
    with pytest.raises(IndexError):
        packets[5]


def test_they_follow_the_schema(tmp_path: Path, engine: str) -> None:
    require_module("jsonschema")
    import jsonschema
    from test_schema import SCHEMA

    text = "".join(render_flows(run(tmp_path, [*connection(lost=True), *passed(5 * MS, tunnel(ping()))])))
    jsonschema.validate(json.loads(text), {**SCHEMA, **SCHEMA["$defs"]["FlowList"]})


@pytest.mark.parametrize("one", samples(), ids=lambda one: one.name)
def test_there_are_as_many_as_flows_count(one: Sample, engine: str) -> None:
    packets = flows(one.paths, packets=True, links=one.links)["flows"]
    counted: Counter[tuple[object, ...]] = Counter()
    for flow in flows(one.paths, links=one.links)["flows"]:
        counted[flow["verdict"], flow["observation"], flow["protocol"], *_ends(flow)] += flow["datagrams"]
    listed = ((each["verdict"], each["observation"], each["protocol"], *_ends(each)) for each in packets)
    assert Counter(listed) == counted


def _ends(flow: Any) -> tuple[object, ...]:
    return (
        flow["source"]["address"],
        flow["source"]["port"],
        flow["destination"]["address"],
        flow["destination"]["port"],
        flow["icmp_id"],
    )


def test_flags_and_lengths_are_those_that_tshark_reads(engine: str) -> None:
    require_tool("tshark")
    (one,) = (sample for sample in samples() if sample.name == "ping-http.pcap")
    fields = ("frame.number", "frame.time_epoch", "ip.len", "tcp.flags", "icmp.type")
    done = subprocess.run(
        ["tshark", "-r", one.paths[0], "-d", "udp.port==8472,vxlan", "-Y", "sll.pkttype != 4", "-T", "fields"]
        + [option for name in fields for option in ("-e", name)]
        + ["-E", "occurrence=l"],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = []
    for line in done.stdout.splitlines():
        number, time, length, flags, icmp = line.split("\t")
        seconds, _, fraction = time.partition(".")
        nanoseconds = int(seconds) * 1_000_000_000 + int(fraction)
        theirs.append((int(number), rfc3339(nanoseconds), int(length), _names(flags), int(icmp) if icmp else None))
    ours = [
        (
            packet["record"]["record"],
            packet["first_time"],
            packet["inner_bytes"],
            sorted(packet["tcp_flags"]),
            packet["icmp"]["type"] if packet["icmp"] else None,
        )
        for packet in flows(one.paths, packets=True)["flows"]
        if packet["record"]
    ]
    assert len(theirs) > 20
    assert ours == theirs


def _names(flags: str) -> list[str]:
    """Of tshark's hexadecimal flags, by RFC 9293, section 3.1."""
    bits = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
    return sorted(name for at, name in enumerate(bits) if flags and int(flags, 16) >> at & 1)
