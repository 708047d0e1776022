"""The terminal page. `golden/NAME.json` is a report written by hand, `golden/NAME.txt` its page at 80 columns."""

from __future__ import annotations

import copy
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from vxtool.report import RENDERERS, Target

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))


def report(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))


@pytest.fixture
def founding() -> Any:
    return report("founding")


def page(value: Any, **target: Any) -> str:
    return RENDERERS["text"](value, Target(**target))


def columns(line: str) -> int:
    marks = sum(unicodedata.category(char) in ("Mn", "Me") for char in line)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in line)
    return len(line) - marks + wide


def section(text: str, title: str) -> str:
    """The lines of one section, without its heading."""
    found = re.search(rf"^{title}.*\n((?:(?!\n[^ \n]).|\n)*?)(?=\n\n[^ ]|\Z)", text, re.MULTILINE)
    return found[1] if found else ""


@pytest.mark.parametrize("name", CASES)
def test_the_page_is_as_it_was_agreed(name: str) -> None:
    assert page(report(name)) == (GOLDEN / f"{name}.txt").read_text("utf-8")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("width", [72, 80, 97, 132, 250])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp437"])
def test_no_line_is_wider_than_the_target_or_ends_in_blanks(name: str, width: int, encoding: str) -> None:
    text = page(report(name), width=width, encoding=encoding)
    text.encode(encoding)
    for line in text.splitlines():
        assert columns(line) <= width, line
        assert line == line.rstrip()


@pytest.mark.parametrize("name", CASES)
def test_colour_is_only_laid_over_the_plain_page(name: str) -> None:
    coloured = page(report(name), color=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == page(report(name))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_nothing_that_a_terminal_obeys_gets_through(encoding: str) -> None:
    text = page(report("hostile"), encoding=encoding)
    bad = [char for char in text if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert not bad
    assert "\nOK  everything is fine" not in text


def test_a_line_feed_in_a_name_begins_no_line(founding: Any) -> None:
    forged = "eth1\nOK  everything is fine"
    founding["inputs"][0]["error"] = f"{forged}: cut short"
    founding["identities"][0]["pods"] = [forged]
    founding["findings"] = [
        {"id": "forwarding.dropped", "severity": "error", "title": f"by {forged}", "count": 1,
         "evidence": [{"input": forged, "record": 1, "time": None, "text": forged}],
         "remedy": "Look at it.", "unknown": None}
    ]  # fmt: skip
    text = page(founding)
    assert "eth1\\x0aOK" in text
    assert not [line for line in text.splitlines() if line.strip().startswith("OK  every")]


@pytest.mark.parametrize("width", [72, 80, 100, 200])
@pytest.mark.parametrize("blanks", [0, 1, 40, 75])
def test_no_name_begins_a_line_that_a_pipeline_obeys_however_it_is_wrapped(
    founding: Any, width: int, blanks: int
) -> None:
    for lead in ("x " * blanks, "x" * blanks):
        forged = f"{lead}::error file=x::pwned ##[error]a ##vso[task.setvariable variable=x]y"
        founding["inputs"][0]["error"] = forged
        founding["forwarding"]["paths"][0].update(ingress=forged, egress=forged)
        founding["identities"][0]["pods"] = [forged]
        founding["findings"] = [
            {"id": "forwarding.dropped", "severity": "error", "title": forged, "count": 1,
             "evidence": [{"input": forged, "record": 1, "time": None, "text": forged}],
             "remedy": f"Look at it.\n{forged}", "unknown": forged}
        ]  # fmt: skip
        text = page(founding, width=width)
        assert "pwned" in text
        assert not re.search(r"^ *::[a-zA-Z-]|##\[|##vso\[", text, re.MULTILINE)


def test_signs_that_the_encoding_lacks_are_written_in_ascii(founding: Any) -> None:
    assert "eth1 -> eth2   1 datagram   16 us" in page(founding, encoding="ascii")
    assert "eth1 -> eth2   1 datagram   16 µs" in page(founding, encoding="latin-1")
    assert "eth1 → eth2   1 datagram   16 µs" in page(founding, encoding="utf-8")


def test_the_verdict_is_the_first_line(founding: Any) -> None:
    assert page(founding).splitlines()[0] == "OK  2 datagrams, 2 forwarded, nothing dropped."


def test_a_drop_is_a_problem_even_without_a_finding(founding: Any) -> None:
    founding["forwarding"].update(datagrams=4, forwarded=3, dropped=1)
    assert page(founding).startswith("PROBLEM  4 datagrams, 3 forwarded, 1 dropped (25 % dropped).")


def test_with_unresolved_datagrams_no_more_is_said_than_was_seen(founding: Any) -> None:
    founding["forwarding"].update(datagrams=3, unresolved=1, unresolved_because={"the capture ended": 1})
    text = page(founding)
    assert text.startswith("OK  3 datagrams, 2 forwarded, 1 unresolved, nothing seen dropped.")
    assert "Unresolved, 1: the capture ended." in text


def test_where_nothing_can_be_told_the_verdict_is_not_ok(founding: Any) -> None:
    founding["forwarding"].update(forwarded=0, unresolved=2)
    assert page(founding).startswith("UNKNOWN  2 datagrams")


def test_a_capture_without_records_or_without_datagrams_is_said_to_be_empty(founding: Any) -> None:
    founding["forwarding"].update(datagrams=0, forwarded=0, paths=[])
    assert page(founding).startswith("EMPTY  Nothing to judge: no tunnel datagram in 4 records.")
    founding["forwarding"]["scope"] = "ip"
    assert page(founding).startswith("EMPTY  Nothing to judge: no IP datagram in 4 records.")
    founding["capture"].update(records=0, first_time=None, last_time=None, duration_ns=None)
    assert page(founding).startswith("EMPTY  The capture holds no records.")


def test_the_worst_finding_stands_under_the_verdict(founding: Any) -> None:
    warning = {"id": "a.b", "severity": "warning", "title": "Odd", "count": 1, "evidence": [], "remedy": "-"}
    error = dict(warning, id="c.d", severity="error", title="Broken.")
    founding["findings"] = [dict(warning, unknown=None), dict(error, unknown=None)]
    lines = page(founding).splitlines()
    assert lines[0].startswith("PROBLEM  ")
    assert lines[1].strip() == "Broken (and 1 more finding below)."


def test_findings_that_are_not_wanted_are_said_to_be_there(founding: Any) -> None:
    founding["findings_ignored"] = [{"id": "capture.clipped", "severity": "info", "count": 4}]
    assert page(founding).endswith("\nFindings\n  1 finding ignored: capture.clipped\n")
    founding["findings_ignored"].append({"id": "mtu.fragmented-at-source", "severity": "warning", "count": 2})
    assert page(founding).endswith("\n  2 findings ignored: capture.clipped, mtu.fragmented-at-source\n")


def test_a_cut_capture_is_told_of_before_anything_is_reported(founding: Any) -> None:
    founding["inputs"][0].update(truncated=True, error="cut inside record 5 at byte 700")
    assert page(founding).splitlines()[1] == "CUT  vxlan.pcap: cut inside record 5 at byte 700."


@pytest.mark.parametrize("end", ["", ".", ": is the path right?"])
def test_what_was_not_read_ends_in_one_sign(founding: Any, end: str) -> None:
    founding["inputs"][0].update(error=f"no such file{end}")
    line = next(line for line in page(founding).splitlines() if line.startswith("NOT READ"))
    assert line == f"NOT READ  {founding['inputs'][0]['path']}: no such file{end.rstrip('.') or '.'}"


def test_sections_with_nothing_to_say_are_left_out(founding: Any) -> None:
    for name in ("identities", "identity_pairs", "flows", "findings"):
        founding[name] = []
    founding["tunnel"]["tunnels"] = []
    founding["knowledge"]["sources"] = []
    founding["overhead"]["datagrams"] = 0
    founding["mtu"].update(underlay=None, underlay_at_most=None, overlay=None, largest_inner=None)
    headings = [line for line in page(founding).splitlines()[1:] if line and not line.startswith(" ")]
    assert headings == ["Capture", "Forwarding"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ({"ingress": None, "egress": None}, "in → out"),
        ({"ingress": None, "ingress_index": 3, "egress": None, "egress_index": 4}, "#3 → #4"),
        ({"via": ["br1", "bond0"]}, "eth1 → br1 → bond0 → eth2"),
        ({"egress": None, "latency_ns": None}, "eth1 → not seen"),
        ({"ingress": None, "latency_ns": None}, "not seen → eth2"),
        ({"ingress": None, "egress": None, "latency_ns": None}, "direction unknown"),
    ],
)
def test_a_path_is_named_by_what_was_seen_of_it(founding: Any, path: dict[str, Any], text: str) -> None:
    first = founding["forwarding"]["paths"][0]
    first.update(ingress_index=None, egress_index=None)
    first.update(path)
    assert re.search(rf"^  {re.escape(text)}(   |$)", page(founding), re.MULTILINE)


def test_latencies_of_several_datagrams_are_percentiles(founding: Any) -> None:
    founding["forwarding"]["paths"][0].update(
        datagrams=1_204_331,
        latency_ns={"min": 900, "p50": 16_000, "p90": 31_000, "p99": 48_000, "max": 1_200_000, "mean": 19_000},
    )
    assert "eth1 → eth2   1,204,331 datagrams   p50 16 µs   p99 48 µs   max 1.2 ms" in page(founding)


def test_estimates_are_called_estimates(founding: Any) -> None:
    founding["overhead"].update(wire_packets=9, wire_packets_estimated=True, wire_overhead_bytes=450)
    assert "on the wire about 9 packets for 2 datagrams" in page(founding)
    assert "(an estimate)" in page(founding)
    founding["overhead"].update(wire_packets_estimated=False)
    assert "on the wire 9 packets for 2 datagrams" in page(founding)
    assert "about" not in page(founding)


def test_the_rows_of_each_table_are_limited_and_the_rest_is_counted(founding: Any) -> None:
    founding["identities"] = [dict(founding["identities"][0], vni=vni, pods=[]) for vni in range(300, 325)]
    text = page(founding, rows=3)
    assert section(text, "Identities").count("webpod") == 3
    assert "  … and 22 more identities\n" in text


def test_flows_tell_of_drops_repeats_and_missing_answers(founding: Any) -> None:
    founding["flows"][0].update(dropped=2, retransmitted_bytes=1_500, answered=False, source_port=32788)
    text = page(founding)
    assert "curl-pod:32788 → webpod" in text
    assert "     2 dropped, 1.5 kB sent again, never answered\n" in text


def test_an_ipv6_address_with_a_port_is_bracketed(founding: Any) -> None:
    founding["flows"][0].update(source="fd00::1", source_name=None, source_port=80)
    assert "[fd00::1]:80 → " in page(founding)


def test_the_histogram_shows_where_the_limit_lies(founding: Any) -> None:
    founding["mtu"]["inner_sizes"] = [
        {"up_to": 64, "datagrams": 0},
        {"up_to": 128, "datagrams": 300},
        {"up_to": 1450, "datagrams": 1},
        {"up_to": 1500, "datagrams": 100},
        {"up_to": 9000, "datagrams": 0},
    ]
    lines = section(page(founding), "MTU").splitlines()[-4:]
    assert lines == [
        "    ≤  128  300  " + "█" * 30,
        "    ≤ 1450    1  █",
        "    ─── overlay MTU 1450",
        "    ≤ 1500  100  " + "█" * 10,
    ]
    founding["mtu"]["overlay"] = 1400
    assert "    ─── overlay MTU 1400 lies within the bar above\n" in page(founding)


def test_all_that_is_said_of_the_mtu_fits_a_screen() -> None:
    """A terminal of 80 columns and 24 lines, with everything that there may be."""
    value = report("big")
    edges = (64, 128, 256, 512, 768, 1024, 1280, 1350, 1400, 1450, 1500, 2048, 4096, 9000)
    value["mtu"]["inner_sizes"] = [{"up_to": edge, "datagrams": edge} for edge in edges]
    told = {"inner": 1, "bytes": 1, "percent_of_packets": 1, "percent_of_bytes": 1}
    value["what_if"] = [
        {"tunnel": mtu > 0, "underlay": mtu, "packets": 10_000_000 + mtu, **told} for mtu in (0, 1500, 9000, 1400)
    ]
    lines = section(page(value), "MTU").splitlines()
    assert len(lines) + 1 <= 24  # and the heading
    assert "    ─── overlay MTU 1350" in lines
    shown = [int(line.split()[2].replace(",", "")) for line in lines if line.startswith("    ≤")]
    assert sum(shown) == sum(edges)


def test_bins_without_any_are_put_together_up_to_the_limit(founding: Any) -> None:
    counts = [(64, 5), (128, 0), (256, 0), (1450, 0), (1500, 0), (2048, 0), (4096, 7)]
    founding["mtu"]["inner_sizes"] = [{"up_to": edge, "datagrams": number} for edge, number in counts]
    lines = section(page(founding), "MTU").splitlines()[-5:]
    assert [line.split()[:3] for line in lines] == [
        ["≤", "64", "5"],
        ["≤", "1450", "0"],
        ["───", "overlay", "MTU"],
        ["≤", "2048", "0"],
        ["≤", "4096", "7"],
    ]


def test_a_range_is_told_where_fragments_alone_tell_the_mtu(founding: Any) -> None:
    text = "fragments of 1396 bytes out by eth2: cut for 1396 to 1403"
    founding["mtu"].update(underlay=None, underlay_at_least=1396, underlay_at_most=1403)
    founding["mtu"]["evidence"] = [
        {"source": "fragments", "of": "underlay", "at_least": 1396, "at_most": 1403, "text": text}
    ]
    lines = section(page(founding), "MTU").splitlines()
    assert lines[0] == "  underlay        1396 to 1403  is the largest packet that the path carries"
    assert lines[1].strip() == f"({text})"


def test_a_finding_has_its_four_parts(founding: Any) -> None:
    evidence = {"input": "vxlan.pcap", "record": 3, "time": "2025-08-09T17:27:50.282860000Z", "text": "a SYN"}
    founding["findings"] = [
        {
            "id": "forwarding.dropped",
            "severity": "error",
            "title": "7 datagrams did not go out",
            "count": 7,
            "evidence": [evidence],
            "remedy": "Add the route:\nip route add 172.20.2.0/24 via 192.168.20.100",
            "unknown": "Which rule dropped them.",
        }
    ]
    assert section(page(founding), "Findings").splitlines() == [
        "  ERROR  7 datagrams did not go out. (forwarding.dropped)",
        "    evidence   record 3, 17:27:50.282860: a SYN",
        "               … 6 more",
        "    remedy     Add the route:",
        "               ip route add 172.20.2.0/24 via 192.168.20.100",
        "    not known  Which rule dropped them.",
    ]


def test_rendering_leaves_the_report_as_it_was(founding: Any) -> None:
    before = copy.deepcopy(founding)
    page(founding)
    assert founding == before


def test_where_the_capture_lost_packets_drops_are_a_bound(founding: Any) -> None:
    founding["forwarding"] |= {"datagrams": 10, "forwarded": 7, "dropped": 2, "missed": 1, "dropped_at_most": True}
    assert page(founding, width=120).startswith(
        "PROBLEM  10 datagrams, 7 forwarded, up to 2 dropped, 1 missed on the way in (up to 20 % dropped)."
    )
