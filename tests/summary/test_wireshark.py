"""The packet list against Wireshark's, on the ingress half of every sample capture.

The half is taken by tshark, since of the other one it says "retransmission": of link headers that tell directions,
`sll.pkttype != 4`. Of the others, all records are compared. Source, destination and length are equal for all
records, the protocol for 98 of 100, and info for 98 of 100 of those of ARP, ICMP, TCP and UDP. Each difference that
is left has one of the reasons that docs/summary.md lists.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import capture_files, require_tool

from vxtool import api
from vxtool.listing.crosscheck import BASIC, compare, rows_of_tsv
from vxtool.listing.wireshark import Row

every_capture = pytest.mark.parametrize("path", capture_files(), ids=lambda path: path.name)

FIELDS = ("number", "source", "destination", "protocol", "length", "info")
COLUMNS = (
    "frame.number", "_ws.col.Source", "_ws.col.Destination", "_ws.col.Protocol", "frame.len", "_ws.col.Info"
)  # fmt: skip
ENOUGH = 0.98


class Reason(NamedTuple):
    """Why the two may differ: patterns of what each says."""

    column: str
    vxtool: str
    wireshark: str
    why: str

    def fits(self, column: str, ours: str, theirs: str) -> bool:
        return (
            column == self.column
            and re.fullmatch(self.vxtool, ours) is not None
            and re.fullmatch(self.wireshark, theirs) is not None
        )


# Each stands in docs/summary.md, "Differences to Wireshark".
REASONS = (
    Reason("info", r"Server: Encrypted packet \(len=\d+\)", r"Encrypted packet \(len=\d+\)", "SSH that was cut"),
)


def ingress_half(path: Path, folder: Path) -> Path:
    half = folder / "half.pcapng"
    tshark = require_tool("tshark")
    command = [tshark, "-r", str(path), "-Y", "not sll or sll.pkttype != 4", "-w", str(half)]
    subprocess.run(command, check=True, capture_output=True)
    return half


def told_by_tshark(path: Path) -> Iterator[Row]:
    command = [require_tool("tshark"), "-r", str(path), "-d", "udp.port==8472,vxlan", "-T", "fields"]
    for column in COLUMNS:
        command += ["-e", column]
    done = subprocess.run(command, check=True, capture_output=True)
    # One line more than there are records: the first is taken for the names of the columns.
    return rows_of_tsv([b"\t".join([b""] * len(COLUMNS)) + b"\n", done.stdout])


def told_by_vxtool(path: Path) -> Iterator[Row]:
    return rows_of_tsv(api.summary([str(path)], format="tsv", fields=FIELDS, all_records=True).blocks())


@every_capture
def test_the_ingress_half_reads_as_in_wireshark(path: Path, tmp_path: Path, engine: str) -> None:
    half = ingress_half(path, tmp_path)
    found = compare(told_by_vxtool(half), told_by_tshark(half))
    columns = found.columns()
    assert found.compared > 0
    told = "\n".join(map(str, found.differences[:20]))
    for column in ("source", "destination", "length"):
        assert columns[column]["differing"] == 0, told  # type: ignore[index]
    assert columns["protocol"]["same"] >= ENOUGH * found.compared, told
    basic = [count for protocol, count in found.info().items() if protocol in BASIC]
    records = sum(count["same"] + count["differing"] for count in basic)
    assert sum(count["same"] for count in basic) >= ENOUGH * records, told


@every_capture
def test_every_difference_has_a_listed_reason(path: Path, tmp_path: Path) -> None:
    half = ingress_half(path, tmp_path)
    found = compare(told_by_vxtool(half), told_by_tshark(half))
    unexplained = [
        one
        for one in found.differences
        if not any(reason.fits(one["column"], one["vxtool"], one["wireshark"]) for reason in REASONS)
    ]
    assert unexplained == [], Counter((one["column"], one["protocol"]) for one in unexplained)
