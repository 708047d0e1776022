"""The codec against scapy and dpkt: they see the same fields in our packets, and call the same checksums right."""

from __future__ import annotations

import ipaddress
import logging
import os
from collections import Counter
from importlib import import_module
from types import ModuleType

import pytest
from hypothesis import HealthCheck, assume, given, settings
from packet import packet_values as values

from vxtool.packet import ARP, ICMP, TCP, UDP, VXLAN, Ethernet, Geneve, ICMPv6, IPv4, IPv6, Vlan, decode, encode

logging.getLogger("scapy").setLevel(logging.ERROR)


def peer(name: str) -> ModuleType:
    """The module `name`; without it this file is skipped, or fails in the full run."""
    return import_module(name) if os.environ.get("VXTOOL_TEST_ALL") == "1" else pytest.importorskip(name)


scapy = peer("scapy.all")
dpkt = peer("dpkt")
slow = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)


def scapy_fields(layer):
    """What scapy should show for a layer of ours: its class and the fields that both name."""
    match layer:
        case Ethernet():
            return scapy.Ether, {"src": layer.source, "dst": layer.destination, "type": layer.ethertype}
        case Vlan():
            return scapy.Dot1Q, {"vlan": layer.vid, "prio": layer.pcp, "type": layer.ethertype}
        case IPv4():
            return scapy.IP, {
                "src": layer.source, "dst": layer.destination, "proto": layer.protocol, "ttl": layer.ttl,
                "tos": layer.tos, "id": layer.identification, "flags": layer.flags,
                "frag": layer.fragment_offset // 8, "len": layer.total_length, "chksum": layer.checksum,
                "ihl": layer.header_length // 4,
            }  # fmt: skip
        case IPv6():
            return scapy.IPv6, {
                "src": str(ipaddress.IPv6Address(layer.source)), "hlim": layer.hop_limit, "fl": layer.flow_label,
                "tc": layer.traffic_class, "plen": layer.payload_length,
            }  # fmt: skip
        case UDP():
            return scapy.UDP, {
                "sport": layer.source_port, "dport": layer.destination_port, "len": layer.length,
                "chksum": layer.checksum,
            }  # fmt: skip
        case TCP():
            return scapy.TCP, {
                "sport": layer.source_port, "dport": layer.destination_port, "seq": layer.sequence,
                "ack": layer.acknowledgement, "window": layer.window, "chksum": layer.checksum,
                "urgptr": layer.urgent, "flags": layer.flags & 0x1FF,
            }  # fmt: skip
        case ICMP():
            return scapy.ICMP, {"type": layer.type, "code": layer.code, "chksum": layer.checksum}
        case ARP():
            return scapy.ARP, {
                "op": layer.operation, "hwsrc": layer.sender_mac, "psrc": layer.sender_ip,
                "hwdst": layer.target_mac, "pdst": layer.target_ip,
            }  # fmt: skip
        case VXLAN():
            return scapy.VXLAN, {"vni": layer.vni, "flags": layer.flags, "reserved2": layer.reserved_low}
    return None, {}


@slow
@given(values.frame_stacks(1), values.payloads)
def test_scapy_reads_the_same_layers_and_fields(layers, payload):
    data = encode(*plain(layers), payload=payload)
    theirs = scapy.Ether(data)
    seen: Counter[type] = Counter()
    for layer in decode(data).layers:
        kind, fields = scapy_fields(layer)
        if kind is None:
            continue
        seen[kind] += 1
        # scapy calls service tags Dot1AD, a kind of Dot1Q.
        found = theirs.getlayer(kind, seen[kind], _subclass=kind is scapy.Dot1Q)
        assert found is not None, f"{layer} is missing in {theirs!r}"
        assert {name: getattr(found, name) for name in fields} == fields


@slow
@given(values.frame_stacks(1), values.payloads)
def test_scapy_computes_the_checksums_that_encode_filled_in(layers, payload):
    # Bytes behind ARP are padding, which scapy moves when it builds the packet again.
    payload = b"" if any(isinstance(layer, ARP) for layer in layers) else payload
    data = encode(*plain(layers), payload=payload)
    theirs = scapy.Ether(data)
    filled = scapy.Ether(data)
    layer = filled
    while layer:
        if isinstance(layer, scapy.IP | scapy.UDP | scapy.TCP | scapy.ICMP):
            del layer.chksum
        layer = layer.payload
    rebuilt = bytes(filled)
    # An option that is malformed by its own rules, scapy writes as another one: then sums differ with reason.
    assume(len(rebuilt) == len(data))
    filled = scapy.Ether(rebuilt)
    for kind in (scapy.IP, scapy.UDP, scapy.TCP, scapy.ICMP):
        index = 1
        while (found := theirs.getlayer(kind, index)) is not None:
            assert filled.getlayer(kind, index).chksum == found.chksum, f"{kind.__name__} {index}"
            index += 1


def plain(layers):
    """The layers without what scapy dissects in ways of its own: Geneve, GPE, extension headers, unusual ARP."""
    kept = []
    for layer in layers:
        match layer:
            case Geneve():
                layer = VXLAN(layer.vni)
            case VXLAN():
                # Flag 0x04 makes the reserved bits VXLAN-GPE's next protocol to scapy.
                layer = layer._replace(flags=layer.flags & ~0x04)
            case UDP(destination_port=6081):
                layer = layer._replace(destination_port=4789)
            case IPv6():
                fragment = layer.fragment
                layer = layer._replace(extensions=(fragment,) if fragment and fragment.offset else ())
            case ARP():
                layer = layer._replace(hardware_type=1, protocol_type=0x0800)
        kept.append(layer)
    return kept


def test_scapy_accepts_an_icmpv6_checksum():
    data = encode(Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"), IPv6("fd00::1", "fd00::2"), ICMPv6.echo(1, 2))
    theirs = scapy.Ether(data)
    before = theirs[scapy.ICMPv6EchoRequest].cksum
    del theirs[scapy.ICMPv6EchoRequest].cksum
    assert scapy.Ether(bytes(theirs))[scapy.ICMPv6EchoRequest].cksum == before


def test_scapy_names_the_tcp_options_alike():
    built = scapy.IP(src="10.0.0.1", dst="10.0.0.2") / scapy.TCP(
        flags="S",
        options=[("MSS", 1410), ("SAckOK", b""), ("Timestamp", (5, 6)), ("NOP", None), ("WScale", 7)],
    )
    packet = decode(bytes(built), "RAW")
    assert [type(option).__name__ for option in packet[TCP].options] == [
        "MSS",
        "SackPermitted",
        "Timestamps",
        "Nop",
        "WindowScale",
    ]
    assert packet[TCP].options[0].value == 1410
    assert encode(*packet.layers) == bytes(built)


@slow
@given(values.frame_stacks(0), values.payloads)
def test_dpkt_reads_the_same_frame(layers, payload):
    # dpkt keeps tags in a list of its own and parses ARP and IPv6 extensions only in part.
    layers = [layer for layer in layers if not isinstance(layer, Vlan)]
    layers = [layer._replace(extensions=()) if isinstance(layer, IPv6) else layer for layer in layers]
    if not isinstance(layers[-1], UDP | TCP):
        return
    data = encode(*layers, payload=payload)
    ours = decode(data)
    theirs = dpkt.ethernet.Ethernet(data)
    assert theirs.src.hex(":") == ours[Ethernet].source
    ip = theirs.data
    assert ipaddress.ip_address(ip.src) == ipaddress.ip_address(ours.ip.source)
    assert ipaddress.ip_address(ip.dst) == ipaddress.ip_address(ours.ip.destination)
    if isinstance(ours.ip, IPv4):
        assert (ip.len, ip.id, ip.ttl, ip.sum) == (
            ours.ip.total_length,
            ours.ip.identification,
            ours.ip.ttl,
            ours.ip.checksum,
        )
        if ours.ip.more_fragments:
            return
    transport = ip.data
    assert (transport.sport, transport.dport, transport.sum) == (
        ours.transport.source_port,
        ours.transport.destination_port,
        ours.transport.checksum,
    )
    assert bytes(transport.data) == payload
