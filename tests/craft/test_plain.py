"""Packets from plain options are what tshark reads in them, and wrong only where they were asked to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from craft.crafting import NODES, NODES6, PODS, PODS6, complaints, craft, fields, tshark

from vxtool import cli


def test_one_echo_request_is_that_of_the_founding_case(tmp_path: Path) -> None:
    path = tmp_path / "ping.pcap"
    craft(*PODS, *NODES, "--icmp", "echo", "--icmp-id", "2900", "-o", str(path))
    assert fields(path, "ip.src", "ip.dst", "udp.srcport", "udp.dstport", "vxlan.vni", "icmp.type", "icmp.ident",
                  "icmp.seq", "ip.len", "vxlan.flags") == [
        ["192.168.10.100,172.20.0.107", "192.168.20.100,172.20.2.4", "51213", "8472", "36705", "8", "2900",
         "1", "134,84", "0x0800"]
    ]  # fmt: skip


# An IPv4 header and eight bytes of UDP, as an ICMP error quotes them: 10.0.0.2:1 to 10.0.0.1:2.
QUOTED = "4500001c00000000401166cf0a0000020a000001" + "0001000200080000"


@pytest.mark.parametrize(
    ("options", "names", "values"),
    [
        (("--tcp", "32788:80", "--mss", "1410"),
         ("tcp.srcport", "tcp.dstport", "tcp.flags.str", "tcp.options.mss_val"),
         ["32788", "80", "··········S·", "1410"]),
        (("--tcp", "1:2", "--flags", "PA", "--seq", "7", "--ack", "9", "--window", "512", "--payload", "hello"),
         ("tcp.seq_raw", "tcp.ack_raw", "tcp.window_size_value", "tcp.len"), ["7", "9", "512", "5"]),
        (("--tcp", "1:2", "--timestamps", "5:6", "--sack", "--window-scale", "7", "--mss", "1398"),
         ("tcp.options.timestamp.tsval", "tcp.options.sack_perm", "tcp.options.wscale.shift", "tcp.hdr_len"),
         ["5", "0402", "7", "40"]),
        (("--udp", "7001:7002", "--payload", "hex:deadbeef"), ("data.data", "udp.length"), ["deadbeef", "62,12"]),
        (("--icmp", "too-big:1400", "--payload", "hex:" + QUOTED), ("icmp.type", "icmp.code", "icmp.mtu"),
         ["3", "4", "1400"]),
        (("--icmp", "13:0"), ("icmp.type",), ["13"]),
        (("--udp", "1:2", "--size", "1450"), ("ip.len",), ["1500,1450"]),
        (("--udp", "1:2", "--inner-ttl", "3", "--ttl", "9", "--inner-tos", "0x10", "--tos", "0xb8"),
         ("ip.ttl", "ip.dsfield"), ["9,3", "0xb8,0x10"]),
        (("--udp", "1:2", "--df", "--id", "77", "--inner-id", "78"), ("ip.flags.df", "ip.id"),
         ["1,0", "0x004d,0x004e"]),
        (("--udp", "1:2", "--vlan", "5", "--vlan", "6", "--inner-vlan", "7"), ("ieee8021ad.id", "vlan.id"),
         ["5", "6,7"]),
        (("--udp", "1:2", "--mac", "02:00:00:00:00:0a,02:00:00:00:00:0b", "--inner-mac",
          "02:00:00:00:00:0c,02:00:00:00:00:0d"), ("eth.src", "eth.dst"),
         ["02:00:00:00:00:0a,02:00:00:00:00:0c", "02:00:00:00:00:0b,02:00:00:00:00:0d"]),
        (("--udp", "1:2", "--group-policy", "99"), ("vxlan.gbp", "vxlan.flags"), ["99", "0x8800"]),
        (("--udp", "1:2", "--vxlan-flags", "0"), ("vxlan.flags",), ["0x0000"]),
        (("--udp", "1:2", "--tunnel", "geneve"), ("geneve.vni", "udp.dstport"), ["0x008f61", "6081,2"]),
        (("--udp", "1:2", "--outer-checksum"), ("udp.checksum.status",), ["1,1"]),
    ],
)  # fmt: skip
def test_what_options_say_is_in_the_packet(
    tmp_path: Path, options: tuple[str, ...], names: tuple[str, ...], values: list[str]
) -> None:
    path = tmp_path / "one.pcap"
    craft(*PODS, *NODES, *options, "-o", str(path))
    assert fields(path, *names) == [values]
    assert complaints(path) == []


@pytest.mark.parametrize("outer", [NODES, NODES6], ids=["over IPv4", "over IPv6"])
@pytest.mark.parametrize("inner", [PODS, PODS6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("kind", [("--icmp", "echo"), ("--tcp", "1:2"), ("--udp", "1:2"), ("--icmp", "too-big")])
@pytest.mark.parametrize("tunnel", ["vxlan", "geneve"])
def test_both_families_go_inside_both(
    tmp_path: Path, outer: tuple[str, ...], inner: tuple[str, ...], kind: tuple[str, ...], tunnel: str
) -> None:
    path = tmp_path / "one.pcap"
    craft(*inner, *outer, *kind, "--tunnel", tunnel, "--size", "200", "--count", "3", "-o", str(path))
    # An ICMP error of zeros quotes no packet: that is the user's business, and no malformed frame of ours.
    besides = ("_ws.malformed", "_ws.expert.severity>=6291456") if "too-big" in kind else ()
    assert complaints(path, besides=besides) == []
    assert len(tshark(path)) == 3


def test_without_a_tunnel_the_packet_is_plain(tmp_path: Path) -> None:
    path = tmp_path / "plain.pcap"
    craft(*PODS, "--icmp", "echo", "--ttl", "9", "--id", "5", "-o", str(path))
    assert fields(path, "frame.protocols", "ip.ttl", "ip.id") == [["eth:ethertype:ip:icmp:data", "9", "0x0005"]]


def test_cilium_s_service_address_is_in_geneve_s_option(tmp_path: Path) -> None:
    path = tmp_path / "dsr.pcap"
    dsr = ("--tunnel", "geneve", "--geneve-dsr", "10.96.0.10:80", "--geneve-option", "01020301aabbccdd")
    craft(*PODS, *NODES, "--tcp", "1:2", *dsr, "-o", str(path))
    assert fields(path, "geneve.option.class", "geneve.option.type", "geneve.flags.critical") == [
        ["0x0102,0x014b", "0x03,0x81", "1"]
    ]
    # 10.96.0.10, port 80, two bytes of filling.
    assert bytes.fromhex("0a60000a00500000") in path.read_bytes()
    assert complaints(path) == []


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ("ip-checksum", "ip.checksum.status==0"),
        ("checksum", "udp.checksum.status==0"),
        ("outer-ip-checksum", "ip.checksum.status==0"),
        ("outer-checksum", "udp.checksum.status==0"),
        ("outer-udp-length=9000", "udp.length.bad"),
    ],
)
@pytest.mark.parametrize("count", ["1", "40"])
def test_what_is_wrong_on_purpose_is_all_that_is_wrong(tmp_path: Path, wrong: str, fault: str, count: str) -> None:
    path = tmp_path / "wrong.pcap"
    craft(*PODS, *NODES, "--udp", "1:2", "--payload", "x", "--wrong", wrong, "--count", count, "-o", str(path))
    assert len(tshark(path, "-Y", fault)) == int(count)
    if "length" not in wrong:
        assert complaints(path, besides=(fault, "_ws.expert.severity>=6291456")) == []


def test_lengths_can_lie(tmp_path: Path) -> None:
    path = tmp_path / "lies.pcap"
    lies = ("--wrong", "ip-length=40", "--wrong", "udp-length=12", "--wrong", "outer-ip-length=99")
    craft(*PODS, *NODES, "--udp", "1:2", "--payload", "hello", *lies, "-o", str(path))
    assert fields(path, "ip.len")[0] == ["99,40"]
    data = path.read_bytes()
    assert int.from_bytes(data[-9:-7], "big") == 12  # the inner UDP header's length, before checksum and payload


def test_a_truncated_packet_was_short_on_the_wire_and_a_snapped_one_was_not(tmp_path: Path) -> None:
    path = tmp_path / "short.pcap"
    base = (*PODS, *NODES, "--icmp", "echo", "-o", str(path))
    craft(*base, "--truncate", "100")
    assert fields(path, "frame.len", "frame.cap_len") == [["114", "114"]]
    craft(*base, "--snaplen", "100")
    assert fields(path, "frame.len", "frame.cap_len") == [["148", "100"]]


def test_fields_vary_from_packet_to_packet(tmp_path: Path) -> None:
    path = tmp_path / "many.pcap"
    vary = ("source-port=1x2", "vni=256", "from", "to=256", "from-port=3x3", "size=10x2")
    craft(*PODS, *NODES, "--udp", "10:20", "--size", "60", "--count", "6",
          *(word for each in vary for word in ("--vary", each)), "-o", str(path))  # fmt: skip
    assert fields(path, "udp.srcport", "vxlan.vni", "ip.src", "ip.dst", "ip.len", "ip.id") == [
        [
            f"{51213 + n % 2},{10 + n % 3 * 3}",
            str(36705 + 256 * n),
            f"192.168.10.100,172.20.0.{107 + n}",
            f"192.168.20.100,172.20.{2 + n}.4",
            f"{110 + n % 2 * 10},{60 + n % 2 * 10}",
            f"0x000{1 + n},0x000{1 + n}",
        ]
        for n in range(6)
    ]
    assert complaints(path) == []


def test_echoes_count_up_and_the_identifier_can(tmp_path: Path) -> None:
    path = tmp_path / "echoes.pcap"
    craft(*PODS, *NODES, "--icmp", "echo", "--count", "3", "--icmp-seq", "65535", "--vary", "id=0", "-o", str(path))
    assert fields(path, "icmp.ident", "icmp.seq", "ip.id") == [
        ["0", "65535", "0x0001,0x0001"], ["1", "0", "0x0001,0x0002"], ["1", "1", "0x0001,0x0003"]
    ]  # fmt: skip


def test_packets_come_at_the_rate(tmp_path: Path) -> None:
    path = tmp_path / "rate.pcap"
    craft(
        *PODS,
        "--udp",
        "1:2",
        "--count",
        "3",
        "--rate",
        "2k",
        "--start",
        "2025-08-09T17:27:50.282388Z",
        "-o",
        str(path),
    )
    assert fields(path, "frame.time_epoch") == [
        ["1754760470.282388000"], ["1754760470.282888000"], ["1754760470.283388000"]
    ]  # fmt: skip


def test_the_sender_fragments_at_its_mtu(tmp_path: Path) -> None:
    for outer, lengths in ((NODES, ["1500", "70"]), (NODES6, ["1496", "130"])):
        path = tmp_path / "fragments.pcap"
        craft(*PODS, *outer, "--udp", "1:2", "--size", "1500", "--fragment", "1500", "-o", str(path))
        sizes = fields(path, "ip.len", "ipv6.plen", reassemble=False)
        outermost = [(row[0].split(",")[0] if outer is NODES else str(int(row[1]) + 40)) for row in sizes]
        assert outermost == lengths
        assert fields(path, "vxlan.vni")[-1] == ["36705"]  # put together again by tshark
        assert complaints(path) == []


@pytest.mark.parametrize("format", ["ethernet", "sll2", "sll", "pcapng"])
def test_every_format_shows_the_same_packet(tmp_path: Path, format: str) -> None:
    path = tmp_path / "one.cap"
    craft(*PODS, *NODES, "--icmp", "echo", "--format", format, "--count", "2", "-o", str(path))
    assert fields(path, "vxlan.vni", "icmp.seq") == [["36705", "1"], ["36705", "2"]]
    assert complaints(path) == []


def test_equal_options_make_equal_files(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pcap", tmp_path / "b.pcap"
    for path in (first, second):
        craft(*PODS, *NODES, "--udp", "1:2", "--count", "100", "--vary", "from-port", "-o", str(path))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "nothing to do with the packets; give -o FILE"),
        (("-o", "x.pcap"), "--from and --to are missing"),
        ((*PODS, "--tcp", "1:2", "--udp", "1:2", "-o", "x.pcap"), "--tcp and --udp cannot be one packet"),
        ((*PODS, "--udp", "1", "-o", "x.pcap"), "--udp: '1' is not two ports"),
        (("--from", "10.0.0.1", "--to", "fd00::1", "-o", "x.pcap"), "--from and --to mix IPv4 and IPv6"),
        (("--from", "10.0.0.300", "--to", "10.0.0.1", "-o", "x.pcap"), "--from: '10.0.0.300' is not an IP address"),
        ((*PODS, "--vni", "5", "-o", "x.pcap"), "--vni needs --outer"),
        ((*PODS, "--outer", "10.0.0.1,10.0.0.2", "-o", "x.pcap"), "--vni is missing"),
        ((*PODS, *NODES, "--vni", "16777216", "-o", "x.pcap"),
         "--vni: '16777216' is not a whole number from 0 to 16777215"),
        ((*PODS, "--flags", "S", "-o", "x.pcap"), "--flags needs --tcp"),
        ((*PODS, "--tcp", "1:2", "--flags", "Q", "-o", "x.pcap"), "--flags: 'Q' are not TCP flags"),
        ((*PODS, *NODES, "--geneve-dsr", "1.2.3.4:5", "-o", "x.pcap"), "--geneve-dsr needs --tunnel geneve"),
        ((*PODS, "--udp", "1:2", "--vary", "colour", "-o", "x.pcap"), "--vary: 'colour' cannot vary"),
        ((*PODS, "--udp", "1:2", "--vary", "size", "-o", "x.pcap"), "--vary: size needs a number of values"),
        ((*PODS, "--udp", "1:2", "--vary", "vni", "-o", "x.pcap"), "--vary: vni needs --outer"),
        ((*PODS, "--udp", "1:2", "--size", "20", "-o", "x.pcap"), "--size: 20 bytes are too few"),
        ((*PODS, "--udp", "1:2", "--wrong", "mood", "-o", "x.pcap"), "--wrong: 'mood' cannot be made wrong"),
        ((*PODS, "--udp", "1:2", "--payload", "@missing", "-o", "x.pcap"), "--payload: missing: cannot be read"),
        ((*PODS, "--icmp", "shout", "-o", "x.pcap"), "--icmp: 'shout' is no kind of ICMP"),
        ((*PODS, "--udp", "1:2", "--rate", "0", "-o", "x.pcap"), "--rate: '0' is not a rate"),
        ((*PODS, "--udp", "1:2", "--drop", "3%", "-o", "x.pcap"), "--drop needs --through"),
        ((*PODS, "--udp", "1:2", "--through", "eth1", "-o", "x.pcap"), "--through: 'eth1' is not two interfaces"),
        ((*PODS, "--udp", "1:2", "-o", "missing/x.pcap"), "no directory missing"),
        ((*PODS, "--udp", "1:2", "--count", "5000M", "-o", "x.pcap"),
         "--count: '5000M' is not a number from 1"),
        ((*PODS, "--udp", "1:2", "--count", "10M", "--rate", "0.001", "-o", "x.pcap"),
         "beyond the years 1970 to 2106"),
        ((*PODS, "--udp", "1:2", "--start", "1960-01-01", "-o", "x.pcap"), "beyond the years 1970 to 2106"),
        ((*PODS, *NODES, "--udp", "1:2", "--size", "262000", "-o", "x.pcap"), "larger than the 262,000"),
        ((*PODS, *NODES, "--udp", "1:2", "--tunnel", "geneve", "--geneve-option", "aabbcc", "-o", "x.pcap"),
         "Geneve.options: expected a multiple of 4"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said_in_one_line(
    options: tuple[str, ...],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["craft", *options]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for count in ("1", "100k"):
        assert cli.run(["craft", *PODS, "--udp", "1:2", "--count", count, "-o", "/dev/full"]) == 2
        said = capsys.readouterr().err
        assert "writing failed: No space left on device" in said
        assert said.count("\n") == 1


def test_what_was_written_is_said_in_lines_that_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = tmp_path / "a\x1b[31m::error::\udcff\u202e.pcap"
    assert cli.run(["craft", *PODS, "--icmp", "echo", "-o", str(name)]) == 0
    assert capsys.readouterr().out == (
        rf"{tmp_path}/a\x1b[31m\x3a:error::\udcff\u202e.pcap: 1 record" + "\n"
    )
