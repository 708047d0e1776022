"""What vxtool says of each sample capture equals what the kernel counted while it was taken."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from captures.samples import Sample, sample, samples, truths
from conftest import CAPTURES, capture_files

import vxtool
from vxtool.analysis.model import Counts, Finding, Report

pytestmark = pytest.mark.usefixtures("engine")

OUTCOMES = ("forwarded", "delivered", "dropped", "originated", "missed", "unresolved")
every_sample = pytest.mark.parametrize("one", samples(), ids=lambda one: one.name)
# Truth files whose captures show the same traffic, taken at once.
TAKEN_AT_ONCE = [truth["name"] for truth in truths() if len(truth["captures"]) > 1]


def paths(counts: Counts) -> dict[tuple[str | None, str | None], int]:
    total: Counter[tuple[str | None, str | None]] = Counter()
    for path in counts["paths"]:
        total[path["ingress"], path["egress"]] += path["datagrams"]
    return dict(total)


def expected_paths(rows: Iterable[list[Any]]) -> dict[tuple[str | None, str | None], int]:
    return {(ingress, egress): datagrams for ingress, egress, datagrams in rows}


# How to find in a report what a truth file states; all that it states is compared.
OF_COUNTS: Mapping[str, Callable[[Counts], Any]] = {
    **{
        key: itemgetter(key)
        for key in (
            "scope", "datagrams", *OUTCOMES,
            "wire_packets_lost", "fragmented_at_source", "fragmented_by_router", "translated",
        )
    },
    "paths": lambda counts: sorted(([*hop, datagrams] for hop, datagrams in paths(counts).items()), key=repr),
    "via": lambda counts: sorted({name for path in counts["paths"] for name in path["via"]}),
    "latency_ns": lambda counts: [
        [path["ingress"], path["egress"], *sorted(set((path["latency_ns"] or {}).values()))]
        for path in counts["paths"]
    ],
}  # fmt: skip
OF_REPORT: Mapping[str, Callable[[Report], Any]] = {
    "largest_inner": lambda report: report["mtu"]["largest_inner"],
    # The truth names the smallest MSS of the SYNs: it is what both sides obey.
    "mss": lambda report: min((row["value"] for row in report["mtu"]["mss"]), default=None),
    "icmp_errors": lambda report: report["mtu"]["packet_too_big"],
    "wire_packets": lambda report: report["overhead"]["wire_packets"],
    "overhead_bytes": lambda report: report["overhead"]["overhead_bytes"],
    "inner_bytes": lambda report: report["overhead"]["inner_bytes"],
    "outer_bytes": lambda report: report["overhead"]["outer_bytes"],
    "egress_records": lambda report: sum(
        row["records_out"] for row in report["capture"]["interfaces"] if row["name"] == "eth2"
    ),
    # The truth names the pod behind each VNI. An identity may be that of several pods, its flows are of one.
    "identities": lambda report: {str(flow["vni"]): flow["source_name"] for flow in report["flows"]},
}


def found_in(report: Report, expect: Mapping[str, Any]) -> dict[str, Any]:
    """The report's side of all that `expect` states."""
    found: dict[str, Any] = {}
    for key, value in expect.items():
        if key == "other":
            found[key] = counts_in(report["forwarding"]["other"], value)
        elif key in OF_COUNTS:
            found[key] = OF_COUNTS[key](report["forwarding"])
        else:
            found[key] = OF_REPORT[key](report)
    return found


def counts_in(counts: Counts | None, expect: Mapping[str, Any]) -> dict[str, Any] | None:
    return None if counts is None else {key: OF_COUNTS[key](counts) for key in expect}


def in_order(expect: Mapping[str, Any]) -> dict[str, Any]:
    """What is expected, with paths in the order in which they are compared."""
    ordered = dict(expect)
    if "paths" in ordered:
        ordered["paths"] = sorted(ordered["paths"], key=repr)
    if isinstance(ordered.get("other"), dict):
        ordered["other"] = in_order(ordered["other"])
    return ordered


def named(findings: Iterable[Finding], id: str) -> list[Finding]:
    return [finding for finding in findings if finding["id"] == id]


def test_every_capture_has_a_truth() -> None:
    told = {name for one in samples() for name in one.entry["files"]}
    assert {path.name for path in capture_files()} == told


@every_sample
def test_the_report_equals_what_the_kernel_counted(one: Sample) -> None:
    assert found_in(one.analyze(), one.stated) == in_order(one.stated)


@every_sample
def test_without_a_links_file_only_the_names_differ(one: Sample) -> None:
    def nameless(expect: Mapping[str, Any]) -> dict[str, Any]:
        changed = dict(expect)
        for key in ("paths", "latency_ns"):
            if key in changed:
                changed[key] = [[*map(one.nameless, row[:2]), row[2]] for row in changed[key]]
        if "via" in changed:
            changed["via"] = [one.nameless(name) for name in changed["via"]]
        if "other" in changed:
            changed["other"] = nameless(changed["other"])
        # Which interface is eth2 is not known, so its records are not told apart here.
        changed.pop("egress_records", None)
        return in_order(changed)

    expect = nameless(one.stated)
    assert found_in(one.analyze(links=False), expect) == expect


@every_sample
def test_the_outcomes_add_up_and_what_is_unresolved_has_its_reasons(one: Sample) -> None:
    forwarding = one.analyze()["forwarding"]
    for counts in (forwarding, forwarding["other"]):
        if counts is not None:
            assert sum(counts[outcome] for outcome in OUTCOMES) == counts["datagrams"]
            assert sum(counts["unresolved_because"].values()) == counts["unresolved"]
            assert sum(drop["datagrams"] for drop in counts["drops"]) == counts["dropped"]
            assert sum(path["datagrams"] for path in counts["paths"]) == counts["forwarded"]


@every_sample
def test_the_records_of_each_interface_are_those_that_tshark_counted(one: Sample) -> None:
    told: Counter[tuple[str, str]] = Counter()
    tunnel = 0
    for name in one.entry["files"]:
        for key, records in one.truth["records"][name].items():
            interface, direction, kind = key.split()
            # A file of one interface says neither its index nor its direction.
            told["-" if "interfaces" in one.entry else interface, direction] += records
            tunnel += records if kind in ("tunnel", "tail") else 0
    capture = one.analyze(links=False)["capture"]
    seen: Counter[tuple[str, str]] = Counter()
    for row in capture["interfaces"]:
        label = str(row["index"] or row["name"] or "-")
        where = "-" if "interfaces" in one.entry else label
        # What MACs and TTLs tell, tshark does not count: see the next test.
        told_by_header = row["records_in"], row["records_out"]
        if row["records_inferred"]:
            assert sum(told_by_header) == row["records_inferred"]
            told_by_header = (0, 0)
        seen[where, "in"] += told_by_header[0]
        seen[where, "out"] += told_by_header[1]
        seen[where, "-"] += row["records_unknown"] + row["records_inferred"]
    assert +seen == told
    assert capture["records"] == sum(told.values())
    assert capture["tunnel_records"] == tunnel
    assert capture["malformed_records"] == 0


def records_by_direction(one: Sample, interface: str) -> tuple[int, int]:
    """In and out by that interface, as tshark counted them in the SLL2 capture that was taken at the same time."""
    (path,) = one.links
    indexes = {link["ifname"]: link["ifindex"] for link in json.loads(Path(path).read_text("utf-8"))}
    counts = one.truth["records"][f"{one.truth['name']}-sll2.pcap"]
    came_in, went_out = (
        sum(records for key, records in counts.items() if key.split()[:2] == [str(indexes[interface]), direction])
        for direction in ("in", "out")
    )
    return came_in, went_out


@pytest.mark.parametrize("links", [False, True], ids=["without links", "with links"])
@pytest.mark.parametrize("files", ["{0}-eth1.pcap+{0}-eth2.pcap", "{0}.pcapng"])
@pytest.mark.parametrize("name", ["four-ways", "four-ways-drops"])
def test_records_of_ethernet_captures_have_the_directions_that_the_kernel_told(
    name: str, files: str, links: bool
) -> None:
    one = sample(files.format(name))
    rows = one.analyze(links=links)["capture"]["interfaces"]
    assert len(rows) == 2
    for row in rows:
        came_in, went_out = records_by_direction(one, (row["name"] or "")[-4:])
        assert (row["records_in"], row["records_out"], row["records_unknown"]) == (came_in, went_out, 0)
        assert row["records_inferred"] == came_in + went_out


@every_sample
def test_findings_say_no_more_and_no_less_than_the_kernel(one: Sample) -> None:
    findings = one.analyze()["findings"]
    if one.clean:
        assert [finding for finding in findings if finding["severity"] == "error"] == []
        assert named(findings, "forwarding.dropped") == []
    else:
        (dropped,) = named(findings, "forwarding.dropped")
        # Unless one of the findings on sizes tells all of them, and why.
        why = [each for each in findings if f"(see {each['id']})" in dropped["title"]]
        assert dropped["severity"] == ("info" if why else "error")
        assert all(each["severity"] != "info" and each["count"] >= dropped["count"] for each in why)
        assert dropped["count"] == one.stated.get("dropped", dropped["count"])
    for key, id in (
        ("fragmented_at_source", "mtu.fragmented-at-source"),
        ("fragmented_by_router", "mtu.fragmented-by-router"),
    ):
        assert [finding["count"] for finding in named(findings, id)] == [one.expect[key]][: one.expect[key]]
    assert named(findings, "capture.truncated") == []
    assert named(findings, "capture.one-sided") == []


@every_sample
def test_evidence_names_records_that_are_there(one: Sample) -> None:
    report = one.analyze()
    records = {row["path"]: row["records"] for row in report["inputs"]}
    for finding in report["findings"]:
        assert finding["remedy"]
        assert finding["evidence"], finding["id"]
        for evidence in finding["evidence"]:
            if evidence["record"] is not None:
                assert evidence["input"] is not None
                assert 1 <= evidence["record"] <= records[evidence["input"]]


@pytest.mark.parametrize("name", TAKEN_AT_ONCE)
def test_captures_of_the_same_traffic_agree(name: str) -> None:
    """Apart from paths, which SLL version 1 cannot name, and times, which each tap stamps for itself."""

    def told(report: Report) -> dict[str, Any]:
        forwarding, overhead, mtu = report["forwarding"], report["overhead"], report["mtu"]
        return {
            "outcomes": {key: forwarding[key] for key in ("scope", "datagrams", *OUTCOMES)},
            "fragments": (forwarding["fragmented_at_source"], forwarding["fragmented_by_router"]),
            "drops": sorted(
                (drop["source"], drop["destination"], drop["datagrams"], drop["smallest"], drop["largest"])
                for drop in forwarding["drops"]
            ),
            "tunnels": report["tunnel"],
            "identities": report["identities"],
            "pairs": report["identity_pairs"],
            "flows": sorted(
                (
                    [
                        flow["vni"], flow["source"], flow["source_port"], flow["destination"],
                        flow["destination_port"], flow["protocol"], flow["source_name"], flow["destination_name"],
                        flow["datagrams"], flow["inner_bytes"], flow["forwarded"], flow["dropped"],
                        flow["retransmitted_bytes"], flow["answered"],
                    ]
                    for flow in report["flows"]
                ),
                key=repr,
            ),
            "bytes": (overhead["inner_bytes"], overhead["outer_bytes"], overhead["bytes_per_packet"]),
            "sizes": (mtu["largest_inner"], mtu["mss"], mtu["super_frames"], mtu["packet_too_big"]),
        }  # fmt: skip

    first, *others = [told(one.analyze()) for one in samples() if one.truth["name"] == name]
    for other in others:
        assert other == first


@pytest.mark.parametrize("links", [True, False], ids=["with links", "without links"])
@pytest.mark.parametrize("interface", ["eth1", "eth2"])
@pytest.mark.parametrize("name", ["four-ways", "four-ways-drops"])
def test_one_side_alone_proves_nothing_and_says_so(name: str, interface: str, links: bool) -> None:
    file = f"{name}-{interface}.pcap"
    one = sample(f"{name}-eth1.pcap+{name}-eth2.pcap")
    report = vxtool.analyze([str(CAPTURES / file)], links=one.links if links else [])
    forwarding = report["forwarding"]
    # Every datagram crosses an interface once here, so tshark's records are datagrams.
    seen = sum(one.truth["records"][file].values())
    expected = {**dict.fromkeys(OUTCOMES, 0), "unresolved": seen}
    assert {outcome: forwarding[outcome] for outcome in OUTCOMES} == expected
    assert sum(forwarding["unresolved_because"].values()) == seen
    assert [finding["severity"] for finding in named(report["findings"], "capture.one-sided")] == ["info"]
    assert [finding["id"] for finding in report["findings"] if finding["severity"] != "info"] == []
    row = report["capture"]["interfaces"][0]
    counted = row["records_in"], row["records_out"], row["records_unknown"], row["records_inferred"]
    assert counted == ((*records_by_direction(one, interface), 0, seen) if links else (0, 0, seen, 0))
    assert named(report["findings"], "forwarding.dropped") == []


@pytest.mark.parametrize("name", ["four-ways", "four-ways-drops"])
def test_the_order_in_which_files_are_given_changes_nothing(name: str) -> None:
    one = sample(f"{name}-eth1.pcap+{name}-eth2.pcap")
    report = vxtool.analyze(one.paths[::-1], cluster=one.cluster, links=one.links)
    assert found_in(report, one.stated) == in_order(one.stated)


# A pcap record has a header of 16 bytes; byte 10 of LINUX_SLL2 behind it is the packet type, 4 for Out.
FILE_HEADER, RECORD_HEADER, PACKET_TYPE, PACKET_OUT = 24, 16, 10, 4
# Within this much of the capture's first or last record, its other half may lie outside the capture.
EDGE_SECONDS = 0.01


def split(data: bytes) -> list[tuple[float, bytes]]:
    """The records of a little-endian pcap, each with its time in seconds and the bytes it has in the file."""
    found = []
    at = FILE_HEADER
    while at < len(data):
        seconds, microseconds, captured = struct.unpack_from("<III", data, at)
        found.append((seconds + microseconds / 1e6, data[at : at + RECORD_HEADER + captured]))
        at += RECORD_HEADER + captured
    return found


# SLL2 20, outer IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14.
INNER = RECORD_HEADER + 70


def carries_tcp_data(record: bytes) -> bool:
    inner = record[INNER:]
    if inner[0] >> 4 == 4:
        size, protocol, header = struct.unpack_from(">H", inner, 2)[0], inner[9], (inner[0] & 15) * 4
    else:
        size, protocol, header = 40 + struct.unpack_from(">H", inner, 4)[0], inner[6], 40
    return protocol == 6 and size > header + (inner[header + 12] >> 4) * 4


@pytest.mark.parametrize(
    ("name", "every"), [("ping-http.pcap", 1), ("ipv6-pods.pcap", 7), ("iperf-offload-off.pcap", 41)]
)
def test_a_record_taken_away_is_one_datagram_dropped_or_missed(name: str, every: int, tmp_path: Path) -> None:
    one = sample(name)
    data = Path(one.paths[0]).read_bytes()
    records = split(data)
    path = tmp_path / name
    for number in range(0, len(records), every):
        time, record = records[number]
        rest = [kept for _, kept in records[:number] + records[number + 1 :]]
        path.write_bytes(data[:FILE_HEADER] + b"".join(rest))
        forwarding = vxtool.analyze([str(path)], links=one.links)["forwarding"]
        assert forwarding["datagrams"] == one.expect["datagrams"]
        assert forwarding["forwarded"] == one.expect["forwarded"] - 1
        went_out = record[RECORD_HEADER + PACKET_TYPE] == PACKET_OUT
        if forwarding["unresolved_because"] == {"acknowledged": 1}:
            assert went_out
            assert carries_tcp_data(record)
        elif forwarding["unresolved"]:
            assert (records[-1][0] - time if went_out else time - records[0][0]) < EDGE_SECONDS
            reason = "capture-ended" if went_out else "capture-began"
            assert forwarding["unresolved_because"] == {reason: 1}
        else:
            assert forwarding["dropped" if went_out else "missed"] == 1
            # Nothing was lost: TCP's receiver acknowledged all that arrived.
            assert not (went_out and carries_tcp_data(record))


def test_interface_options_name_what_a_links_file_would() -> None:
    one = sample("ping-http.pcap")
    interfaces = {index: name for name, index in one.indexes.items()}
    report = vxtool.analyze(one.paths, interfaces=interfaces)
    assert paths(report["forwarding"]) == expected_paths(one.expect["paths"])


def test_the_founding_case_is_told_as_it_was() -> None:
    report = sample("vxlan.pcap").analyze()
    there, back = report["forwarding"]["paths"]
    assert (there["ingress"], there["egress"], there["datagrams"]) == ("eth1", "eth2", 1)
    assert (back["ingress"], back["egress"], back["datagrams"]) == ("eth2", "eth1", 1)
    assert there["latency_ns"] == dict.fromkeys(("min", "p50", "p90", "p99", "max", "mean"), 16_000)
    assert back["latency_ns"] == dict.fromkeys(("min", "p50", "p90", "p99", "max", "mean"), 3_000)
    assert report["overhead"]["bytes_per_packet"] == {"50": 2}
    assert report["overhead"]["wire_packets"] == 2
    assert report["tunnel"]["overlay"] == "cilium"
    assert report["capture"]["vantage"] == "router"
    assert report["capture"]["first_time"] == "2025-08-09T17:27:50.282388000Z"
    assert report["capture"]["last_time"] == "2025-08-09T17:27:50.282863000Z"
    flows = {flow["vni"]: flow for flow in report["flows"]}
    assert {(flow["source"], flow["destination"]) for flow in flows.values()} == {
        ("172.20.0.107", "172.20.2.4"),
        ("172.20.2.4", "172.20.0.107"),
    }
    assert (flows[36705]["source_vtep"], flows[36705]["destination_vtep"]) == ("192.168.10.100", "192.168.20.100")
    assert (flows[17701]["source_vtep"], flows[17701]["destination_vtep"]) == ("192.168.20.100", "192.168.10.100")
    assert [flow["answered"] for flow in report["flows"]] == [True, True]
    assert report["identity_pairs"] == [
        {"source_vni": 17701, "destination_vni": 36705, "datagrams": 1, "inner_bytes": 84},
        {"source_vni": 36705, "destination_vni": 17701, "datagrams": 1, "inner_bytes": 84},
    ]
    names = {identity["vni"]: identity["name"] for identity in report["identities"]}
    assert names == {36705: "curl-pod", 17701: "webpod"}
    assert report["mtu"]["mss"] == []
    assert report["findings"] == []


def test_super_frames_that_came_in_tell_how_many_packets_left(tmp_path: Path) -> None:
    """Of the incoming side alone, nothing shows the segments: they are reckoned from the MSS of the two SYNs."""
    (one,) = (one for one in samples() if one.name == "iperf-resegmented.pcap")
    whole = Path(*one.paths).read_bytes()
    kept, at = whole[:24], 24
    while at < len(whole):
        (captured,) = struct.unpack_from("<I", whole, at + 8)
        record = whole[at : at + 16 + captured]
        if record[16 + 10] != 4:  # SLL2's packet type: outgoing
            kept += record
        at += len(record)
    capture = tmp_path / "in.pcap"
    capture.write_bytes(kept)
    for links in (one.links, []):
        report = vxtool.analyze([str(capture)], links=links)
        assert report["overhead"]["wire_packets"] == one.stated["wire_packets"]
        assert not report["overhead"]["wire_packets_estimated"]
        came_by = {flow["ingress"]: 0 for flow in report["flows"]}
        for flow in report["flows"]:
            came_by[flow["ingress"]] += flow["wire_packets"]
        assert came_by["eth1" if links else f"#{one.indexes['eth1']}"] == one.stated["egress_records"]


@pytest.mark.parametrize(
    "name", ["iperf-resegmented", "drops-offload-on", "drops-offload-on-ipv6", "router-mtu-1400-offload-on"]
)
def test_super_frames_are_counted_as_the_packets_that_tcp_sent(name: str) -> None:
    (one,) = (one for one in samples() if one.name == f"{name}.pcap")
    overhead = one.analyze()["overhead"]
    sent = [one.truth["counters"][pod]["snmp"] for pod in ("pod-a", "pod-b")]
    assert overhead["wire_packets"] == sum(row["TcpOutSegs"] + row.get("TcpRetransSegs", 0) for row in sent)
    each = 70 if name.endswith("ipv6") else 50
    assert overhead["wire_overhead_bytes"] == each * overhead["wire_packets"]
    # With the MTU that there was, what would have been sent is what was sent.
    (same,) = (row for row in one.analyze()["what_if"] if row["tunnel"] and row["underlay"] == 1500)
    assert same["packets"] <= overhead["wire_packets"]
    assert same["percent_of_packets"] > 90
