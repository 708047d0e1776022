"""The time of decoding and of encoding one VXLAN packet with one library: `codec_loop.py vxtool|dpkt|scapy`.

Three things are measured, each from the same start to the same end with every library:

- decode: from the bytes of an SLL2 record to one field of each of its seven layers, read.
- encode: from plain values (addresses, ports, VNI) and the bytes of an inner frame to the VXLAN frame around it.
- layers: from plain values to the same frame, inner headers and their checksums too, through an object for each
  of the seven layers, which is made anew each time.

All libraries must come to the same values and bytes. Prints ns for each as JSON, the median of several batches.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

BATCHES, BATCH_SECONDS = 7, 0.05
ECHO = bytes(range(56))

INNER = bytes.fromhex(
    "02cc0000000202cc000000010800"  # Ethernet
    "45000054abcd40003f013544ac14006bac140204"  # IPv4
    "0800f5970b540001"  # ICMP echo request
)  # fmt: skip
FRAME = INNER + ECHO
PACKET = (
    bytes.fromhex(
        "080000000000000300010006" "02aa000000010000"  # SLL2
        "45000086123400004011c81ac0a80a64c0a81464"  # IPv4
        "c80d211800720000"  # UDP
        "08000000008f6100"  # VXLAN
    )
    + FRAME
)  # fmt: skip


def with_vxtool() -> tuple[Callable[[], object], Callable[[], bytes], Callable[[], bytes]]:
    from vxtool.packet import ICMP, UDP, VXLAN, Ethernet, IPv4, decode, encode, vxlan_packet

    def read() -> object:
        packet = decode(PACKET, 276)
        return (
            packet.interface,
            packet.outer_ttl,
            packet.outer_source_port,
            packet.vni,
            packet.ethertype,
            packet.ttl,
            packet.icmp_type,
        )

    def write() -> bytes:
        return vxlan_packet(
            FRAME,
            source="192.168.10.100",
            destination="192.168.20.100",
            vni=36705,
            source_port=51213,
            identification=0x1234,
            source_mac="02:aa:00:00:00:01",
            destination_mac="02:aa:00:00:00:02",
        )

    def write_layers() -> bytes:
        return encode(
            Ethernet(destination="02:aa:00:00:00:02", source="02:aa:00:00:00:01"),
            IPv4("192.168.10.100", "192.168.20.100", identification=0x1234),
            UDP(51213, 8472, checksum=0),
            VXLAN(36705),
            Ethernet(destination="02:cc:00:00:00:02", source="02:cc:00:00:00:01"),
            IPv4("172.20.0.107", "172.20.2.4", identification=0xABCD, flags=2, ttl=63),
            ICMP.echo(2900, 1),
            payload=ECHO,
        )

    return read, write, write_layers


def with_dpkt() -> tuple[Callable[[], object], Callable[[], bytes], Callable[[], bytes]]:
    import dpkt
    from dpkt.ethernet import Ethernet
    from dpkt.icmp import ICMP
    from dpkt.ip import IP
    from dpkt.sll2 import SLL2
    from dpkt.udp import UDP

    def read() -> object:
        link = SLL2(PACKET)
        ip = link.data
        udp = ip.data
        vni = int.from_bytes(udp.data[4:7], "big")
        ethernet = Ethernet(udp.data[8:])
        inner = ethernet.data
        return link.intindex, ip.ttl, udp.sport, vni, ethernet.type, inner.ttl, inner.data.type

    def around(frame: bytes) -> bytes:
        tunnel = b"\x08\x00\x00\x00" + (36705).to_bytes(3, "big") + b"\x00" + frame
        # As bytes, so that dpkt leaves the checksum 0, as it is over IPv4.
        udp = bytes(UDP(sport=51213, dport=8472, ulen=8 + len(tunnel), data=tunnel))
        ip = IP(
            src=b"\xc0\xa8\x0a\x64", dst=b"\xc0\xa8\x14\x64", p=dpkt.ip.IP_PROTO_UDP, id=0x1234, ttl=64, data=udp
        )
        return bytes(Ethernet(dst=b"\x02\xaa\x00\x00\x00\x02", src=b"\x02\xaa\x00\x00\x00\x01", data=ip))

    def write() -> bytes:
        return around(FRAME)

    def write_layers() -> bytes:
        echo = ICMP(type=8, data=ICMP.Echo(id=2900, seq=1, data=ECHO))
        inner = IP(
            src=b"\xac\x14\x00\x6b", dst=b"\xac\x14\x02\x04", p=dpkt.ip.IP_PROTO_ICMP, id=0xABCD, df=1, ttl=63,
            data=echo,
        )  # fmt: skip
        frame = Ethernet(dst=b"\x02\xcc\x00\x00\x00\x02", src=b"\x02\xcc\x00\x00\x00\x01", data=inner)
        return around(bytes(frame))

    return read, write, write_layers


def with_scapy() -> tuple[Callable[[], object], Callable[[], bytes], Callable[[], bytes]]:
    from scapy.layers.inet import ICMP, IP, UDP
    from scapy.layers.l2 import CookedLinuxV2, Ether
    from scapy.layers.vxlan import VXLAN

    def read() -> object:
        link = CookedLinuxV2(PACKET)
        ip = link.payload
        udp = ip.payload
        vxlan = udp.payload
        ethernet = vxlan.payload
        inner = ethernet.payload
        return link.ifindex, ip.ttl, udp.sport, vxlan.vni, ethernet.type, inner.ttl, inner.payload.type

    def write() -> bytes:
        return bytes(
            Ether(dst="02:aa:00:00:00:02", src="02:aa:00:00:00:01")
            / IP(src="192.168.10.100", dst="192.168.20.100", id=0x1234, ttl=64)
            / UDP(sport=51213, dport=8472, chksum=0)
            / VXLAN(flags=8, vni=36705)
            / FRAME
        )

    def write_layers() -> bytes:
        return bytes(
            Ether(dst="02:aa:00:00:00:02", src="02:aa:00:00:00:01")
            / IP(src="192.168.10.100", dst="192.168.20.100", id=0x1234, ttl=64)
            / UDP(sport=51213, dport=8472, chksum=0)
            / VXLAN(flags=8, vni=36705)
            / Ether(dst="02:cc:00:00:00:02", src="02:cc:00:00:00:01")
            / IP(src="172.20.0.107", dst="172.20.2.4", id=0xABCD, flags="DF", ttl=63)
            / ICMP(type=8, id=2900, seq=1)
            / ECHO
        )

    return read, write, write_layers


def nanoseconds(function: Callable[[], object]) -> float:
    function()
    calls = 1
    while (took := _batch(function, calls)) < BATCH_SECONDS:
        calls = max(calls * 2, int(calls * BATCH_SECONDS / max(took, 1e-9)))
    return statistics.median(_batch(function, calls) for _ in range(BATCHES)) / calls * 1e9


def _batch(function: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - start


def main(library: str) -> None:
    read, write, write_layers = {"vxtool": with_vxtool, "dpkt": with_dpkt, "scapy": with_scapy}[library]()
    expected = (3, 64, 51213, 36705, 0x0800, 63, 8)
    if read() != expected:
        raise SystemExit(f"{library} read {read()}, expected {expected}")
    for found in (write(), write_layers()):
        if found[14:] != PACKET[20:]:
            raise SystemExit(f"{library} wrote {found.hex()}, expected {PACKET[20:].hex()} behind the link header")
    work = {"decode": read, "encode": write, "layers": write_layers}
    print(json.dumps({what: nanoseconds(function) for what, function in work.items()}))


if __name__ == "__main__":
    main(sys.argv[1])
