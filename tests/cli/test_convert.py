"""`vxtool decap` and `vxtool encap` as commands: what they say, refuse and return."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from conftest import CAPTURES
from convert.frames import packets_of

from vxtool.cli import run

VXLAN = str(CAPTURES / "vxlan.pcap")
LINKS = ["--links", str(CAPTURES / "vxlan.links.json")]


def said(arguments: list[str], capfd: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert run(arguments) == code
    printed = capfd.readouterr()
    assert printed.out == ""
    return printed.err


def test_there_and_back(tmp_path: Path, capfd: pytest.CaptureFixture[str], engine: str) -> None:
    inner, outer = str(tmp_path / "inner.pcapng"), str(tmp_path / "outer.pcapng")
    assert said(["decap", VXLAN, *LINKS, "-o", inner], capfd) == "vxtool: 2 datagrams of 4 records.\n"
    assert said(["encap", inner, "-o", outer], capfd) == "vxtool: 2 packets, 2 by their comments.\n"
    assert [packet.interface for packet in packets_of(outer)] == ["eth1", "eth2"]


def test_what_is_left_out_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = str(CAPTURES / "native-misroute.pcap")
    assert said(["decap", path, "-o", str(tmp_path / "inner.pcapng")], capfd) == (
        "vxtool: 0 datagrams of 14 records; 7 left out: never seen in a tunnel.\n"
    )


def test_options_of_encap(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    inner, outer = str(tmp_path / "inner.pcapng"), str(tmp_path / "outer.pcapng")
    said(["decap", VXLAN, "-o", inner], capfd)
    ends = "[fd00::1]:51213,fd00::2"
    said(["encap", inner, "-o", outer, "--outer", ends, "--vni", "5", "--tunnel", "vxlan-gpe"], capfd)
    said(["decap", outer, "-o", inner], capfd)
    assert packets_of(inner)[0].comments[0].startswith(
        "vxtool tunnel=vxlan-gpe source=fd00::1 source_port=51213 destination=fd00::2 destination_port=4790 vni=5 "
    )


@pytest.mark.parametrize(
    "ends",
    [
        "1.1.1.1",
        "1.1.1.1,",
        "1.1.1.1:70000,2.2.2.2",
        "1.1.1.1:,2.2.2.2",
        "1.1.1.1,fd00::1",
        "[fd00::1,fd00::2",
        "a,b",
    ],
)
def test_ends_that_are_none(ends: str, capfd: pytest.CaptureFixture[str]) -> None:
    error = said(["encap", VXLAN, "-o", "/nowhere/x", "--outer", ends], capfd, code=2)
    assert repr(ends) in error
    assert error.count("\n") == 1


def test_standard_input_is_refused_by_what_reads_twice(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert said(["decap", "-", "-o", str(tmp_path / "inner.pcapng")], capfd, code=2) == (
        "vxtool: - (standard input) can be read once, and decap reads twice; write it to a file first.\n"
    )
    assert not (tmp_path / "inner.pcapng").exists()


def test_the_output_is_no_input(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy.pcap"
    copy.write_bytes(Path(VXLAN).read_bytes())
    for command in ("decap", "encap"):
        assert "is an input too" in said([command, str(copy), "-o", str(copy)], capfd, code=2)
    assert copy.read_bytes() == Path(VXLAN).read_bytes()


def test_a_file_that_is_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for command in ("decap", "encap"):
        error = said([command, str(tmp_path / "none.pcap"), "-o", str(tmp_path / "out.pcapng")], capfd, code=3)
        assert error.count("\n") == 1
        assert "none.pcap: cannot be read" in error
    assert not (tmp_path / "out.pcapng").exists()


def test_onto_standard_output(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["decap", VXLAN]) == 0
    written = capfdbinary.readouterr().out
    path = tmp_path / "inner.pcapng"
    path.write_bytes(written)
    assert len(packets_of(path)) == 2
    assert isinstance(written, bytes)
    assert io.BytesIO(written).read(4) == bytes.fromhex("0a0d0d0a")


def test_extract(tmp_path: Path, capfd: pytest.CaptureFixture[str], engine: str) -> None:
    out = str(tmp_path / "out.pcapng")
    line = said(["extract", VXLAN, *LINKS, "--path", "eth1,eth2", "-o", out], capfd)
    assert line == "vxtool: 2 records of 1 datagram.\n"
    assert packets_of(out)[1].comments == (
        f"vxtool outcome=forwarded in=eth1 out=eth2 input={VXLAN} record=2 first_record=1",
    )
    assert said(["extract", VXLAN, "--record", "2-3", "-o", out], capfd) == "vxtool: 2 records.\n"
    # The request came in and went out; so did the reply.
    cluster = ["--cluster", str(CAPTURES / "cluster" / "ciliumendpoints.json")]
    wanted = ["--address", "172.20.2.4", "--identity", "36705", "--pod", "curl", "--verdict", "forwarded"]
    line = said(["extract", VXLAN, *LINKS, *cluster, *wanted, "--path", "eth2,*", "-o", out], capfd)
    assert line == "vxtool: 2 records of 1 datagram.\n"
    assert [packet.interface for packet in packets_of(out)] == ["eth2", "eth1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing is chosen"),
        (["--path", "eth1"], "path 'eth1': expected two interfaces"),
        (["--record", "0"], "'0' are no numbers of records"),
        (["--record", "5-3"], "'5-3' are no numbers of records"),
        (["--outcome", "lost"], "'lost' is not one of"),
    ],
)
def test_wrong_choices(
    options: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    error = said(["extract", VXLAN, *options, "-o", str(tmp_path / "out.pcapng")], capfd, code=2)
    assert message in error
    assert error.count("\n") == 1
