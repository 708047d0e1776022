"""Every scenario that comes with vxtool: tshark has no complaint, and a report says what its truth says."""

from __future__ import annotations

import json
from pathlib import Path

import dpkt
import pytest
from conftest import CAPTURES
from craft.crafting import complaints, craft, fields, part_of, truth_of, tshark

import vxtool
from vxtool import cli
from vxtool.craft.scenario import shipped

WARNINGS = (
    "_ws.expert.severity>=6291456"  # of tshark; a router shows each segment twice, which it calls a repetition
)
ASKED = (
    "big-tcp", "black-hole", "cilium-ping", "clustermesh", "drops", "ecmp-few-ports", "geneve-dsr",
    "identity-mismatch", "identity-truncated", "native-misroute", "stale-mtu",
)  # fmt: skip


def analyzed(path: Path) -> vxtool.analysis.model.Report:
    links, routes, cluster = ([str(path.with_suffix(f".{kind}.json"))] for kind in ("links", "routes", "cluster"))
    return vxtool.analyze([str(path)], links=links, routes=routes, cluster=cluster)


def only_in(path: Path) -> Path:
    """The records that came in: each datagram once."""
    kept = path.with_name("in.pcap")
    tshark(path, "-Y", "sll.pkttype==0", "-w", str(kept))
    return kept


def test_all_that_were_asked_for_are_there() -> None:
    assert set(ASKED) <= set(shipped())


def test_they_are_listed_with_what_they_show(capsys: pytest.CaptureFixture[str]) -> None:
    craft("--list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == shipped()
    assert all(len(line.split()) > 4 and len(line) < 120 for line in lines)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("name", shipped())
def test_a_report_says_what_the_truth_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.pcap"
    craft("--scenario", name, "-o", str(path))
    truth = truth_of(path)
    wanted = {finding["id"] for finding in truth.pop("findings")}
    report = analyzed(path)
    assert part_of(report, truth) == truth
    found = {finding["id"]: finding["severity"] for finding in report["findings"]}
    assert wanted <= set(found)
    if not wanted:
        assert set(found.values()) <= {"info"}
    # Every pod, node and interface has its name.
    assert not [row for row in report["tunnel"]["tunnels"] if row["source_node"] is None]
    assert all(row["name"] for row in report["capture"]["interfaces"])


@pytest.mark.parametrize("name", shipped())
def test_tshark_finds_nothing_malformed_and_every_checksum_right(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.pcap"
    craft("--scenario", name, "-o", str(path))
    if name == "big-tcp":
        # tshark gives up on lengths of 0, so the super-frames themselves are not for it.
        path = path.with_name("small.pcap")
        tshark(tmp_path / "big-tcp.pcap", "-Y", "frame.len<65535", "-w", str(path))
    assert complaints(path, besides=(WARNINGS,)) == []


@pytest.mark.parametrize(
    "name", ["http", "clustermesh", "ipv6", "stale-mtu", "identity-mismatch", "ecmp-few-ports"]
)
def test_a_whole_connection_gives_wireshark_nothing_to_complain_of(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.pcap"
    craft("--scenario", name, "-o", str(path))
    once = only_in(path)
    assert complaints(once, "tcp.analysis.flags") == []
    assert tshark(once, "-Y", "tcp.flags.syn==1 && tcp.options.mss_val")
    assert tshark(once, "-Y", "tcp.flags.fin==1")


@pytest.mark.parametrize("name", ["drops", "black-hole"])
def test_what_is_lost_is_repeated_and_nothing_else_is_odd(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.pcap"
    craft("--scenario", name, "-o", str(path))
    once = only_in(path)
    repeated = ("tcp.analysis.retransmission", "tcp.analysis.duplicate_ack", "tcp.analysis.fast_retransmission")
    seen = " || ".join((*repeated, "tcp.analysis.spurious_retransmission", "tcp.analysis.out_of_order"))
    assert tshark(once, "-Y", f"tcp.analysis.flags && !({seen})") == []
    lost = truth_of(path)["forwarding"]["dropped"]
    again = len(tshark(once, "-Y", "tcp.analysis.retransmission || tcp.analysis.out_of_order"))
    # Each lost segment is sent again; in a black hole, the first one again and again, and no other.
    assert again == (lost if name == "drops" else 4)


def test_the_founding_case_is_its_capture_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "ping.pcap"
    craft("--scenario", "cilium-ping", "-o", str(path))
    assert path.read_bytes() == (CAPTURES / "vxlan.pcap").read_bytes()


def test_a_ping_of_two_families_at_once_is_seen_as_such(tmp_path: Path) -> None:
    path = tmp_path / "six.pcap"
    craft("--scenario", "ipv6", "-o", str(path))
    assert fields(path, "ipv6.src", "vxlan.vni", "icmpv6.type")[0] == [
        "fd00:10::100,fd00:172:20::107",
        "36705",
        "128",
    ]


def test_big_tcp_says_zero_where_it_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "big.pcap"
    craft("--scenario", "big-tcp", "-o", str(path))
    # Read from the bytes: tshark shows the length of the record instead. The headers before the total lengths are
    # SLL2 (20), IPv4 (20), UDP (8), VXLAN (8) and Ethernet (14).
    with path.open("rb") as file:
        large = [data for _, data in dpkt.pcap.Reader(file) if len(data) > 65_600]
    assert large
    assert {(data[22:24], data[44:46], data[72:74]) for data in large} == {(bytes(2), bytes(2), bytes(2))}


def test_a_scenario_repeats_with_ports_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "many.pcap"
    craft("--scenario", "http", "--repeat", "50", "-o", str(path))
    once = only_in(path)
    assert complaints(once, "tcp.analysis.flags") == []
    streams = {row[0] for row in fields(once, "tcp.stream")}
    assert len(streams) == 50
    truth = truth_of(path)
    assert part_of(analyzed(path), truth) == truth


def test_thousands_are_written_short(tmp_path: Path) -> None:
    path = tmp_path / "pings.pcap"
    craft("--scenario", "cilium-ping", "--repeat", "1k", "-o", str(path))
    truth = truth_of(path)
    assert truth["capture"]["records"] == 4000
    assert part_of(analyzed(path), truth) == truth


def test_files_go_where_they_are_wanted_and_other_formats_too(tmp_path: Path) -> None:
    path = tmp_path / "http.pcapng"
    craft("--scenario", "http", "-o", str(path), "--beside", str(tmp_path / "known"))
    assert sorted(each.name for each in (tmp_path / "known").iterdir()) == [
        "http.cluster.json", "http.links.json", "http.routes.json", "http.truth.json"
    ]  # fmt: skip
    assert {row[0] for row in fields(path, "frame.interface_name")} == {"eth1", "eth2"}


OWN = """
title = "mine"
findings = ["forwarding.dropped"]

[[node]]
name = "a"
address = "10.0.1.1"
interface = "lan"
mac = "02:00:00:00:00:0a"
overlay-mac = "02:00:00:00:01:0a"

[[node]]
name = "b"
address = "10.0.2.1"
interface = "wan"
mac = "02:00:00:00:00:0b"
overlay-mac = "02:00:00:00:01:0b"

[[pod]]
name = "one"
node = "a"
address = "10.244.1.5"
identity = 5000

[[pod]]
name = "two"
node = "b"
address = "10.244.2.6"
identity = 6000

[[interface]]
name = "lan"
index = 2
mac = "02:00:00:00:ff:02"
addresses = ["10.0.1.254/24"]

[[interface]]
name = "wan"
index = 5
mac = "02:00:00:00:ff:05"
addresses = ["10.0.2.254/24"]

[[traffic]]
kind = "udp"
from = "one"
to = "two"
port = [4000, 5000]
count = 100
response = 64
drop = "10%"

[[packets]]
at-all = 1
"""


def test_users_write_their_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    packets = 'from = "10.244.1.5"\nto = "10.244.2.6"\nudp = "7:8"\nouter = "10.0.1.1,10.0.2.1"\nvni = 5000\n'
    file.write_text(OWN.replace("at-all = 1\n", packets + 'through = "lan,wan"\ncount = 10\nvary = "from-port"\n'))
    path = tmp_path / "mine.pcap"
    craft("--scenario", str(file), "-o", str(path), "--seed", "3")
    truth = truth_of(path)
    # 100 requests, the answers to those that were not lost, and 10 plain ones.
    counts = truth["forwarding"]
    assert counts["datagrams"] == 210 - counts["dropped"] - counts["unresolved"]
    assert counts["dropped"] > 0
    truth.pop("findings")
    report = analyzed(path)
    assert part_of(report, truth) == truth
    assert {flow["source_name"] for flow in report["flows"]} == {"default/one", "default/two"}


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    "traffic",
    [
        'kind = "ping"\ncount = 300\ninterval = "3ms"\ndrop = "10%"',
        'kind = "ping"\ncount = 300\ninterval = "3ms"\nlatency = ["2ms", "1ms"]',
        'kind = "ping"\ncount = 20\nsize = 1450\nmtu = 1400\nsilent = true',
        'kind = "ping"\ncount = 20\nsize = 1450\nmtu = 1400\ndf = true\nfamily = 6',
        'kind = "ping"\ncount = 20\nsize = 1450\nmtu = 1400',
        'kind = "udp"\ncount = 5000\nresponse = 100\nmisroute = "eth0=5%"',
        'kind = "udp"\nport = [40000, 50000]\nrepeat = 400\nevery = "1ms"\ntunnel = "geneve"\nsource-ports = 3',
        'kind = "tcp"\nresponse = 200_000\ndrop = "10%"\nrepeat = 3\nevery = "60s"',
        'kind = "tcp"\nresponse = 60_000\nmtu = 1400',
        'kind = "tcp"\nrequest = 60_000\nmtu = 1400\ndf = true',
        'kind = "tcp"\nrequest = 60_000\nmtu = 1400\nunderlay = 6\nmss = 1390',
        'kind = "tcp"\nresponse = 60_000\ntunnel = "none"\nfamily = 6\nmss = 1440',
        'kind = "tcp"\nresponse = 60_000\nlose = [2, 3, 9, 20, 21, 22]\nfamily = 6',
        'kind = "tcp"\nmss = [1410, 536]\nrequest = 9_000\nresponse = 9_000\nvlan = 7',
    ],
)
@pytest.mark.parametrize("format", ["sll2", "pcapng"])
def test_whatever_happens_the_report_says_so(tmp_path: Path, traffic: str, format: str) -> None:
    file = tmp_path / "one.toml"
    file.write_text(f'world = "lab"\n[[traffic]]\nfrom = "curl-pod"\nto = "webpod"\n{traffic}\n')
    path = tmp_path / "one.pcap"
    craft("--scenario", str(file), "-o", str(path), "--format", format)
    truth = truth_of(path)
    assert part_of(analyzed(path), truth) == truth
    if format != "sll2":
        return  # the same packets
    # An ICMP error quotes the beginning of a packet, and tshark sums up the segment in it as if it were whole.
    kept = path.with_name("kept.pcapng")
    tshark(path, "-Y", "!(icmp.type==3 || icmpv6.type==2)", "-w", str(kept))
    assert complaints(kept, besides=(WARNINGS,)) == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("at-all = 1", "at-all = 1", "packets 1: at-all: there is no such option"),
        ('kind = "udp"', 'kind = "smoke"', "traffic 1: kind: 'smoke' is none of ping, tcp, udp"),
        ('to = "two"', 'to = "three"', "there is no pod 'three' in this world; the nearest are one, two"),
        ('node = "b"', 'node = "c"', "there is no node 'c'"),
        ("identity = 5000", "", "pod 1: identity is missing"),
        ("count = 100", "count = -1", "traffic 1: count: -1 is not a number from 1"),
        ("count = 100", 'payload = "@/etc/passwd"', "a scenario takes no files"),
        ("count = 100", "exec = 1", "traffic 1: there is no key 'exec'"),
        ('title = "mine"', "title = [", "is not TOML"),
        ('title = "mine"', 'world = "lab"', "world and node cannot be both"),
        ('title = "mine"', 'titel = "mine"', "there is no key 'titel'; the nearest is title"),
        ("at-all = 1", "inner = \"__import__('os').system('true')\"", "inner: "),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_in_one_line(
    old: str, new: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(OWN.replace(old, new, 1))
    assert cli.run(["craft", "--scenario", str(file), "-o", str(tmp_path / "x.pcap")]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not (tmp_path / "x.pcap").exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--scenario", "cilium-pin"), "there is no scenario 'cilium-pin'; the nearest is cilium-ping"),
        (("--scenario", "missing.toml"), "missing.toml: cannot be read"),
        (("--scenario", "http", "--count", "3"), "--count and --scenario cannot go together"),
        (("--repeat", "3"), "--repeat needs --scenario"),
        (("--scenario", "http", "--repeat", "0"), "--repeat: '0' is not a number from 1"),
    ],
)
def test_options_that_do_not_go_with_a_scenario(
    options: tuple[str, ...], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["craft", *options, "-o", str(tmp_path / "x.pcap")]) == 2
    assert line in capsys.readouterr().err


def test_the_truth_has_no_key_that_the_report_has_not(tmp_path: Path) -> None:
    path = tmp_path / "http.pcap"
    craft("--scenario", "http", "-o", str(path))

    def paths(value: object, at: str = "") -> set[str]:
        if isinstance(value, dict):
            return {at} | {found for key, each in value.items() for found in paths(each, f"{at}.{key}")}
        if isinstance(value, list) and value:
            return {at} | {found for each in value for found in paths(each, f"{at}[]")}
        return {at}

    report = json.loads(json.dumps(analyzed(path)))
    assert paths(truth_of(path)) <= paths(report)
