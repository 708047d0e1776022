"""The C codec gives what the plain one gives: values, payloads, problems, bytes and error lines."""

from __future__ import annotations

import sys

import pytest
from conftest import require_native
from hypothesis import given, settings
from hypothesis import strategies as st
from packet import packet_values as values

from vxtool.errors import UsageError
from vxtool.packet import PacketError, choice
from vxtool.packet.decoder import decode as pure_decode
from vxtool.packet.encoder import encode as pure_encode


@pytest.fixture(scope="module")
def native():
    require_native()
    return choice.native_codec()


def outcome(function, *arguments, **named):
    """What a call gives, or the line that it fails with; layers with their types, since tuples compare without."""
    try:
        result = function(*arguments, **named)
    except PacketError as error:
        return str(error)
    return repr(result)


@settings(max_examples=1000, deadline=None)
@given(values.records())
def test_both_decode_any_bytes_alike(native, record):
    link, data, length = record
    assert outcome(native[0], data, link, length) == outcome(pure_decode, data, link, length)


@settings(deadline=None)
@given(st.sampled_from([0, 1, 12, 108, 113, 228, 229, 276]), st.binary(max_size=200))
def test_both_decode_noise_alike(native, link, data):
    assert outcome(native[0], data, link) == outcome(pure_decode, data, link)


@settings(deadline=None)
@given(
    values.records(),
    st.dictionaries(
        st.integers(-1, 70000) | st.sampled_from([53, 443, 8472]), st.sampled_from(["vxlan", "geneve", "gre"])
    ),
)
def test_both_take_ports_alike(native, record, ports):
    link, data, _ = record
    assert outcome(native[0], data, link, ports=ports) == outcome(pure_decode, data, link, ports=ports)


@settings(deadline=None)
@given(values.packets())
def test_both_encode_alike(native, drawn):
    _, layers, payload, padding = drawn
    data = pure_encode(*layers, payload=payload, padding=padding)
    assert native[1](*layers, payload=payload, padding=padding) == data


@settings(deadline=None)
@given(values.records())
def test_both_encode_what_was_decoded_alike(native, record):
    link, data, length = record
    try:
        packet = native[0](data, link, length)
    except PacketError:
        return
    assert native[1](*packet.layers, payload=packet.payload, padding=packet.padding) == data


wrong = st.sampled_from(
    [
        None,
        -1,
        1 << 70,
        300,
        70000,
        1 << 24,
        "x",
        "10.0.0.1",
        "::1",
        "02:00:00:00:00:0g",
        "\ud800",
        b"abc",
        b"",
        1.5,
    ]
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(values.any_layer, min_size=1, max_size=5), st.data())
def test_both_refuse_wrong_values_with_one_line(native, layers, data):
    at = data.draw(st.integers(0, len(layers) - 1))
    field = data.draw(
        st.sampled_from([name for name in layers[at]._fields if name not in ("options", "extensions")])
    )
    layers[at] = layers[at]._replace(**{field: data.draw(wrong)})
    assert outcome(native[1], *layers) == outcome(pure_encode, *layers)


@settings(deadline=None)
@given(st.lists(values.any_layer, max_size=6), st.data())
def test_both_fill_in_alike_whatever_the_order(native, layers, data):
    fill = ("ethertype", "protocol", "checksum", "length", "total_length", "payload_length", "family")
    layers = [
        layer._replace(**{name: None for name in fill if name in layer._fields and data.draw(st.booleans())})
        for layer in layers
    ]
    assert outcome(native[1], *layers, payload=b"abc") == outcome(pure_encode, *layers, payload=b"abc")


@pytest.mark.parametrize("options", [b"abc", bytes(41), bytes(256), "x", None])
def test_both_refuse_wrong_options_with_one_line(native, options):
    for layer in (values.IPv4("10.0.0.1", "10.0.0.2", 6, options=options), values.Geneve(1, options=options)):
        assert outcome(native[1], layer) == outcome(pure_encode, layer)


def test_both_refuse_what_is_no_bytes(native):
    for function in (native[0], pure_decode):
        with pytest.raises(TypeError, match="bytes-like object is required"):
            function(5)
    for function in (native[1], pure_encode):
        with pytest.raises(TypeError, match="bytes-like object is required"):
            function(payload=5)


def test_the_c_codec_wants_its_classes(native):
    extension = pytest.importorskip("vxtool._native")
    for wrong_classes in ((), tuple(range(27)), None):
        with pytest.raises(TypeError, match=r"^codec: expected"):
            extension.codec(wrong_classes)


@pytest.mark.parametrize(("wanted", "expected"), [("pure", True), ("native", False), ("", False)])
def test_the_environment_chooses(native, monkeypatch, wanted, expected):
    monkeypatch.setenv("VXTOOL_ENGINE", wanted)
    assert (choice._chosen()[0] is pure_decode) == expected


def test_an_unknown_engine_is_refused(monkeypatch):
    monkeypatch.setenv("VXTOOL_ENGINE", "fast")
    with pytest.raises(UsageError, match="VXTOOL_ENGINE: expected 'pure' or 'native', found 'fast'"):
        choice._chosen()


def test_native_without_the_extension_is_refused(monkeypatch):
    monkeypatch.setenv("VXTOOL_ENGINE", "native")
    monkeypatch.setitem(sys.modules, "vxtool._native", None)
    with pytest.raises(UsageError, match="VXTOOL_ENGINE=native: the C extension was not built"):
        choice._chosen()
