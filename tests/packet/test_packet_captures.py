"""The repository's captures, which a real kernel wrote: every record decodes without complaint, and back."""

from __future__ import annotations

import struct

import pytest
from conftest import capture_files

from vxtool.packet import IPv4, choice
from vxtool.packet.decoder import decode as pure_decode
from vxtool.packet.encoder import encode as pure_encode

PCAPS = [path for path in capture_files() if path.suffix == ".pcap"]


def records(path):
    """Each record of a pcap file: link type, bytes, original length. dpkt does not tell the last, so by struct."""
    data = path.read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    (link,) = struct.unpack_from(order + "I", data, 20)
    at = 24
    while at < len(data):
        kept, length = struct.unpack_from(order + "II", data, at + 8)
        yield link & 0xFFFF, data[at + 16 : at + 16 + kept], length
        at += 16 + kept


@pytest.mark.parametrize("path", PCAPS, ids=lambda path: path.stem)
def test_every_record_decodes_and_encodes_to_itself_and_both_codecs_agree(path):
    codecs = [(pure_decode, pure_encode), (choice.native_codec() or (pure_decode, pure_encode))[:2]]
    for link, data, length in records(path):
        packets = [decode(data, link, length) for decode, _ in codecs]
        assert repr(packets[0]) == repr(packets[1])
        for packet, (_, encode) in zip(packets, codecs, strict=True):
            assert encode(*packet.layers, payload=packet.payload, padding=packet.padding) == data


@pytest.mark.parametrize("path", PCAPS, ids=lambda path: path.stem)
def test_nothing_is_wrong_with_what_a_kernel_sent_but_the_capture_s_cut(path):
    for link, data, length in records(path):
        problems = pure_decode(data, link, length).problems
        cut = f"record at offset 0: expected {length} bytes, found {len(data)}"
        assert problems == (() if len(data) == length else (cut,))


@pytest.mark.parametrize("path", PCAPS, ids=lambda path: path.stem)
def test_the_outer_ipv4_checksum_is_the_kernel_s(path):
    for link, data, length in records(path):
        ip = pure_decode(data, link, length).outer_ip
        if isinstance(ip, IPv4):
            assert ip._replace(checksum=None).emit() == ip.emit()
