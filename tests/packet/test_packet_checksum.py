"""The Internet checksum against the example of RFC 1071, its own properties, and scapy."""

from __future__ import annotations

from conftest import require_module
from hypothesis import given
from hypothesis import strategies as st

from vxtool.packet.checksum import internet_checksum, ones_complement_sum


def test_the_example_of_rfc_1071():
    assert ones_complement_sum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2


def test_zeros_sum_to_zero_and_all_else_does_not():
    assert ones_complement_sum(bytes(8)) == 0
    assert ones_complement_sum(b"\xff\xff") == 0xFFFF
    assert ones_complement_sum(b"\xff\xfe\x00\x01") == 0xFFFF


@given(st.binary(max_size=100))
def test_data_with_its_checksum_sums_to_ones(data):
    data += bytes(len(data) % 2)
    assert ones_complement_sum(data + internet_checksum(data).to_bytes(2, "big")) == 0xFFFF


@given(st.binary(max_size=3000))
def test_scapy_computes_the_same(data):
    require_module("scapy")
    from scapy.utils import checksum

    assert internet_checksum(data) == checksum(data)
