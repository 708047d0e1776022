"""The comparison of two packet lists: what counts as a difference, what is set aside, what Wireshark is asked."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import CAPTURES, require_module, require_tool

from vxtool import api
from vxtool.cli import run
from vxtool.errors import InputError, UsageError
from vxtool.listing.crosscheck import Crosscheck, compare, crosscheck, rows_of_tsv, same_end, shares
from vxtool.listing.notes import without_notes
from vxtool.listing.wireshark import Row, Wireshark
from vxtool.report import CROSSCHECK_RENDERERS, Target

PORTS = {8472: "vxlan", 4789: "vxlan", 4790: "vxlan-gpe", 6081: "geneve"}
PING = "Echo (ping) request  id=0x0b54, seq=1/256, ttl=63"
ACK = "43538 → 5201 [ACK] Seq=1 Ack=1 Win=64512 Len=0"


@pytest.fixture
def wireshark() -> None:
    require_tool("tshark")
    require_module("pyshark")


@pytest.mark.parametrize(
    ("info", "told"),
    [
        (ACK, ACK),
        ("43538 → 5201 [SYN, ECE, CWR] Seq=0", "43538 → 5201 [SYN, ECE, CWR] Seq=0"),
        ("1 → 2 [<None>] Seq=0", "1 → 2 [<None>] Seq=0"),
        (f"[TCP Retransmission] {ACK}", ACK),
        (f"[TCP Previous segment not captured] [TCP Dup ACK 12#1] {ACK}", ACK),
        (f"{ACK} [Packet size limited during capture]", ACK),
        (f"{PING} (reply in 3)", PING),
        (f"{PING} (no response found!)", PING),
        ("Client Hello (SNI=example.com)", "Client Hello"),
        ("HTTP/1.1 200 OK  (text/html)", "HTTP/1.1 200 OK  (text/html)"),
        ("Destination unreachable (Fragmentation needed)", "Destination unreachable (Fragmentation needed)"),
    ],
)
def test_what_is_set_aside_of_info(info: str, told: str) -> None:
    assert without_notes(info) == told


@pytest.mark.parametrize(
    ("mine", "other", "same"),
    [
        ("08:00:27:42:a3:c1", "PcsCompu_42:a3:c1", True),
        ("IPv6mcast_00:00:00:01", "33:33:00:00:00:01", True),
        ("ff:ff:ff:ff:ff:ff", "Broadcast", True),
        ("LLDP_Multicast", "01:80:c2:00:00:0e", True),
        ("Slow-Protocols", "01:80:c2:00:00:0e", False),
        ("08:00:27:42:a3:c1", "PcsCompu_42:a3:c2", False),
        ("08:00:27:42:a3:c1", "08:00:27:42:a3:c2", False),
        ("08:00:27:42:a3:c1", "a3:c1", False),
        ("08:00:27:42:a3:c1", "PcsCompu_", False),
        ("08:00:27:42:a3:c1", "Broadcast", False),
        ("10.0.0.1", "10.0.0.2", False),
    ],
)
def test_a_mac_may_name_its_maker(mine: str, other: str, same: bool) -> None:
    assert same_end(mine, other) == same_end(other, mine) == same


class TestComparison:
    ROWS = (
        Row(1, "10.0.0.1", "10.0.0.2", "TCP", 130, ACK),
        Row(2, "10.0.0.2", "10.0.0.1", "TCP", 130, f"[TCP Dup ACK 1#1] {ACK}"),
        Row(3, "10.0.0.1", "10.0.0.2", "HTTP", 200, "GET / HTTP/1.1 "),
    )

    def test_of_equal_lists_finds_nothing(self) -> None:
        found = compare(self.ROWS, self.ROWS)
        assert (found.compared, found.differences_total, found.differences) == (3, 0, [])
        assert all(count["percent_same"] == 100 for count in found.columns().values())

    def test_tells_both_values_of_each_difference(self) -> None:
        other = [self.ROWS[0], self.ROWS[1]._replace(info=ACK), self.ROWS[2]._replace(source="10.0.0.9", length=7)]
        found = compare(self.ROWS, other, numbers=[10, 20, 30])
        assert found.differences == [
            {"record": 30, "column": "source", "protocol": "HTTP", "vxtool": "10.0.0.1", "wireshark": "10.0.0.9"},
            {"record": 30, "column": "length", "protocol": "HTTP", "vxtool": "200", "wireshark": "7"},
        ]
        assert found.columns()["source"] == {"same": 2, "differing": 1, "percent_same": 66.66}
        assert found.columns()["info"]["percent_same"] == 100
        assert list(found.info()) == ["TCP", "HTTP"]

    def test_keeps_as_many_as_are_wanted(self) -> None:
        other = [row._replace(source="") for row in self.ROWS]
        found = compare(self.ROWS, other, most=1)
        assert (len(found.differences), found.differences_total) == (1, 3)

    def test_needs_equally_long_lists(self) -> None:
        with pytest.raises(InputError, match="record 3: vxtool lists it, and Wireshark does not"):
            compare(self.ROWS, self.ROWS[:2])
        with pytest.raises(InputError, match="record 1: Wireshark lists it, and vxtool does not"):
            compare((), self.ROWS)
        with pytest.raises(InputError, match="record 2: vxtool lists number 3 and Wireshark 2"):
            compare((self.ROWS[0], self.ROWS[2]), self.ROWS)

    def test_a_share_is_never_rounded_up_to_all(self) -> None:
        rows = [self.ROWS[0]._replace(number=number) for number in range(1, 20_002)]
        found = compare([rows[0]._replace(protocol="UDP"), *rows[1:]], rows)
        assert found.columns()["protocol"] == {"same": 20_000, "differing": 1, "percent_same": 99.99}


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_lines_are_read_however_they_were_cut(size: int) -> None:
    text = "number\tsource\tdestination\tprotocol\tlength\tinfo\n1\ta\tb\tTCP\t60\t1 → 2\n2\t\t\t\t0\tx\ty\n"
    octets = text.encode()
    pieces = [octets[at : at + size] for at in range(0, len(octets), size)]
    assert list(rows_of_tsv(pieces)) == [Row(1, "a", "b", "TCP", 60, "1 → 2"), Row(2, "", "", "", 0, "x\ty")]


@pytest.mark.usefixtures("wireshark")
class TestWireshark:
    def test_rows_are_what_tshark_prints(self) -> None:
        rows = list(Wireshark().rows(str(CAPTURES / "vxlan.pcap"), PORTS))
        ping = "id=0x0b54, seq=1/256, ttl="
        assert [row[:5] for row in rows] == [
            (1, "172.20.0.107", "172.20.2.4", "ICMP", 154),
            (2, "172.20.0.107", "172.20.2.4", "ICMP", 154),
            (3, "172.20.2.4", "172.20.0.107", "ICMP", 154),
            (4, "172.20.2.4", "172.20.0.107", "ICMP", 154),
        ]
        assert without_notes(rows[0].info) == f"Echo (ping) request  {ping}63"
        assert without_notes(rows[2].info) == f"Echo (ping) reply    {ping}63"

    def test_two_at_once(self) -> None:
        """As where what is held against tshark comes from tshark too."""
        mine, other = (Wireshark().rows(str(CAPTURES / name), PORTS) for name in ("drops.pcap", "drops.pcap"))
        assert compare(mine, other).compared == 766

    def test_stopping_early_leaves_nothing_behind(self) -> None:
        rows = Wireshark().rows(str(CAPTURES / "drops.pcap"), PORTS)
        assert next(rows).number == 1
        rows.close()  # type: ignore[attr-defined]

    def test_what_tshark_cannot_read_is_one_line(self, tmp_path: Path) -> None:
        path = tmp_path / "x.pcap"
        path.write_bytes(b"no capture at all")
        with pytest.raises(InputError, match=r"x\.pcap: tshark stopped behind record 0: exit code \d+: ") as caught:
            list(Wireshark().rows(str(path), PORTS))
        assert "\n" not in str(caught.value)

    def test_records_that_went_out_are_left_to_their_first(self) -> None:
        result = self.result("ping-http.pcap")
        assert (result["records"], result["left_out"], result["compared"]) == (56, 28, 28)
        assert {one["record"] for one in result["differences"]} == {1}
        assert result["wireshark"].count(".") == 2

    def test_all_records(self) -> None:
        result = self.result("ping-http.pcap", all_records=True)
        assert (result["records"], result["left_out"], result["compared"]) == (56, 0, 56)
        # Half of all TCP segments are the router's own copies.
        assert result["notes_set_aside"] >= 16

    def test_pages(self) -> None:
        result = self.result("ping-http.pcap")
        text = CROSSCHECK_RENDERERS["text"](result, Target(80))
        assert "28 records, 1 difference to Wireshark" in " ".join(text.split())
        assert "vxtool     a\\x1b" in text
        assert json.loads(CROSSCHECK_RENDERERS["json"](result, Target())) == result
        assert dict(shares(result)) == {
            "source": 96.42, "destination": 100, "protocol": 100, "length": 100, "info": 100,
        }  # fmt: skip

    def result(self, name: str, all_records: bool = False) -> Crosscheck:
        """A comparison with a list that differs from tshark's in the first record alone."""

        def lister(path: str) -> Iterator[Row]:
            for row in Wireshark().rows(path, PORTS):
                yield row._replace(source="a\x1b") if row.number == 1 else row

        path = str(CAPTURES / name)
        return crosscheck(path, lister, PORTS, {"version": "0", "engine": "pure"}, all_records=all_records)

    def test_the_command_fails_under_what_is_asked_for(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(api, "crosscheck", lambda *_args, **_options: self.result("ping-http.pcap"))
        assert run(["crosscheck", str(CAPTURES / "ping-http.pcap")]) == 0
        assert run(["crosscheck", str(CAPTURES / "ping-http.pcap"), "--fail-under", "96"]) == 0
        assert run(["crosscheck", str(CAPTURES / "ping-http.pcap"), "--fail-under", "98"]) == 1
        nothing = {**self.result("ping-http.pcap"), "compared": 0}
        monkeypatch.setattr(api, "crosscheck", lambda *_args, **_options: nothing)
        assert run(["crosscheck", str(CAPTURES / "ping-http.pcap"), "--fail-under", "0"]) == 1
        assert "\x1b" not in capfd.readouterr().out

    def test_without_tshark_it_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from pyshark.tshark import tshark

        def missing(*_: object) -> str:
            raise tshark.TSharkNotFoundException("nowhere")

        monkeypatch.setattr(tshark, "get_process_path", missing)
        with pytest.raises(UsageError, match="needs tshark, which is not in PATH: install it"):
            Wireshark()


def test_without_pyshark_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "pyshark":
            raise ImportError("No module named 'pyshark'", name="pyshark")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"needs pyshark, which is not installed: pip install 'vxtool\["):
        Wireshark()
