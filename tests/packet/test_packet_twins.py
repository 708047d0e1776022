"""The C codec gives what the plain one gives: values, payloads, problems, bytes and error lines."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
import tracemalloc
import typing

import pytest
from conftest import require_native
from hypothesis import given, settings
from hypothesis import strategies as st
from packet import packet_values as values

from vxtool.errors import UsageError
from vxtool.packet import Packet, PacketError, build, choice, decoder, repeater
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
    for wrong_classes in ((), tuple(range(28)), None):
        with pytest.raises(TypeError, match=r"^codec: expected"):
            extension.codec(wrong_classes)


@pytest.mark.parametrize(("wanted", "expected"), [("pure", True), ("native", False), ("", False)])
def test_the_environment_chooses(native, monkeypatch, wanted, expected):
    monkeypatch.setenv("VXTOOL_ENGINE", wanted)
    assert (choice._chosen()[0] is pure_decode) == expected


def test_an_unknown_engine_is_refused(monkeypatch):
    monkeypatch.setenv("VXTOOL_ENGINE", "fast")
    with pytest.raises(UsageError, match="VXTOOL_ENGINE=fast: expected 'pure' or 'native'"):
        choice._chosen()


def test_native_without_the_extension_is_refused(monkeypatch):
    monkeypatch.setenv("VXTOOL_ENGINE", "native")
    monkeypatch.setitem(sys.modules, "vxtool._native", None)
    with pytest.raises(UsageError, match="VXTOOL_ENGINE=native: the C extension was not built"):
        choice._chosen()


FIELDS = sorted(name for name, value in vars(Packet).items() if isinstance(value, property) and name[0] != "_")
KINDS = (*typing.get_args(decoder.Layer), tuple, int)


@settings(max_examples=300, deadline=None)
@given(values.records(), st.permutations([*FIELDS, "layers", "payload", "padding", "problems"]))
def test_both_answer_alike_whatever_is_asked_first(native, record, names):
    link, data, length = record
    try:
        lazy, plain = native[0](data, link, length), pure_decode(data, link, length)
    except PacketError:
        return
    for name in names:
        assert (name, repr(getattr(lazy, name))) == (name, repr(getattr(plain, name)))
    again = native[0](data, link, length)
    for kind in KINDS:
        assert repr(again.get(kind)) == repr(plain.get(kind))
        assert (kind in again) == (kind in plain)
        assert outcome_of_item(again, kind) == outcome_of_item(plain, kind)


def outcome_of_item(packet, kind):
    try:
        return repr(packet[kind])
    except KeyError as error:
        return error.args


FRAME = pure_encode(
    values.Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"), values.IPv4("10.0.0.1", "10.0.0.2", 1)
)


def test_packets_of_both_are_equal_and_hash_alike(native):
    lazy, plain = native[0](FRAME), pure_decode(FRAME)
    assert lazy == plain
    assert plain == lazy
    assert lazy == native[0](FRAME)
    assert len({lazy, plain}) == 1
    assert lazy != native[0](FRAME + b"more")
    assert lazy != FRAME


def test_packets_of_both_can_be_copied_pickled_and_replaced(native):
    for packet in (native[0](FRAME), pure_decode(FRAME)):
        assert isinstance(packet, Packet)
        assert copy.deepcopy(packet) == pickle.loads(pickle.dumps(packet)) == packet
        changed = dataclasses.replace(packet, payload=b"other")
        assert (changed.layers, changed.payload) == (packet.layers, b"other")
        with pytest.raises(dataclasses.FrozenInstanceError):
            packet.payload = b"other"


def test_a_packet_keeps_its_bytes_when_the_buffer_they_came_from_changes(native):
    for decode in (native[0], pure_decode):
        buffer = bytearray(FRAME)
        packet = decode(buffer)
        buffer[:] = bytes(len(buffer))
        assert packet == pure_decode(FRAME)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((), {}), ((FRAME, 1, None, None, 5), {}), ((FRAME,), {"data": FRAME}), ((FRAME,), {"snaplen": 5})],
)
def test_both_refuse_a_wrong_call_of_decode(native, arguments, named):
    for function in (native[0], pure_decode):
        with pytest.raises(TypeError, match="decode"):
            function(*arguments, **named)


def test_both_refuse_a_wrong_call_of_encode(native):
    for function in (native[1], pure_encode):
        with pytest.raises(TypeError, match="encode"):
            function(snaplen=5)


def test_more_layers_and_bytes_than_usual(native):
    tags = [values.Vlan(number, ethertype=0x8100) for number in range(40)]
    layers = (values.Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"), *tags)
    data = pure_encode(*layers, payload=bytes(5000))
    assert native[1](*layers, payload=bytes(5000)) == data
    assert repr(native[0](data)) == repr(pure_decode(data))
    long = values.Geneve(1, options=bytes(252))
    assert native[1](*[long] * 20, payload=bytes(700)) == pure_encode(*[long] * 20, payload=bytes(700))


def test_nothing_leaks_where_packets_come_and_go(native):
    data = pure_encode(*[values.Vlan(number, ethertype=0x8100) for number in range(20)], payload=b"x")
    before = sys.getrefcount(FRAME)
    packets = [native[0](FRAME) for _ in range(100)]
    assert sys.getrefcount(FRAME) == before + 100
    assert all(packet.layers and packet[values.IPv4] for packet in packets)
    del packets
    assert sys.getrefcount(FRAME) == before
    tracemalloc.start()
    try:
        for _ in range(2):
            start = tracemalloc.get_traced_memory()[0]
            for _ in range(2000):
                packet = native[0](data, "EN10MB", 5000)
                assert packet.problems
                assert packet.layers
            del packet
        assert tracemalloc.get_traced_memory()[0] - start < 10_000
    finally:
        tracemalloc.stop()


addresses = st.sampled_from(["10.0.0.1", "fd00::1", "x", "::ffff:10.0.0.1", "01.2.3.4"])
arguments = st.fixed_dictionaries(
    {"source": addresses, "destination": addresses, "vni": st.integers(-1, 1 << 24)},
    optional={
        "source_port": st.none() | st.integers(-1, 65536),
        "destination_port": st.integers(-1, 65536),
        "source_mac": st.sampled_from(["02:00:00:00:00:0A", "x"]),
        "destination_mac": st.sampled_from(["02:00:00:00:00:0b", ""]),
        "identification": st.integers(-1, 65536),
        "ttl": st.integers(-1, 256) | st.booleans(),
    },
)


@settings(max_examples=500, deadline=None)
@given(values.records(), arguments)
def test_both_make_the_same_vxlan_packet(native, record, named):
    _, inner, _ = record
    assert outcome(native[3], inner, **named) == outcome(build.vxlan_packet, inner, **named)


@settings(deadline=None)
@given(values.packets(), st.sampled_from([("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")]))
def test_both_choose_the_same_port_for_a_flow(native, drawn, ends):
    _, layers, payload, padding = drawn
    inner = pure_encode(*layers, payload=payload, padding=padding)
    named = {"source": ends[0], "destination": ends[1], "vni": 5}
    assert outcome(native[3], inner, **named) == outcome(build.vxlan_packet, inner, **named)


def test_both_refuse_a_wrong_call_of_vxlan_packet(native):
    for function in (native[3], build.vxlan_packet):
        for positional, named in (((), {}), ((FRAME, 1), {}), ((FRAME,), {"vni": 1}), ((FRAME,), {"colour": 1})):
            with pytest.raises(TypeError, match="vxlan_packet"):
                function(*positional, **named)
        for inner in (FRAME, bytearray(FRAME)):
            assert function(inner, source="10.0.0.1", destination="10.0.0.2", vni=1)[50:] == FRAME


@settings(max_examples=300, deadline=None)
@given(values.packets(), st.data())
def test_both_repeat_alike(native, drawn, data):
    _, layers, payload, padding = drawn
    layers = tuple(
        layer._replace(checksum=None) if "checksum" in layer._fields and data.draw(st.booleans()) else layer
        for layer in layers
    )
    fields = [
        (index, *place)
        for index, layer in enumerate(layers)
        for place in repeater.PLACES.get(type(layer), {}).values()
    ]
    chosen = data.draw(st.lists(st.sampled_from(fields), unique=True, max_size=6)) if fields else []
    steps = [
        (index, bit, bits, *(data.draw(st.integers(0, (1 << bits) - 1)).to_bytes(16, "big") for _ in range(2)))
        for index, bit, bits in chosen
    ]
    given_ = (layers, payload, padding, steps, 4, 10**9 - 2, 1)
    assert outcome(native[2], *given_) == outcome(repeater.repeat, *given_)


def test_a_step_outside_the_packet_is_refused_by_c(native):
    layers = (values.UDP(1, 2, checksum=0),)
    good = bytes(16)
    for step in ((1, 0, 16), (-1, 0, 16), (0, 64, 16), (0, -8, 16), (0, 0, 0), (0, 0, 49), (0, 0, 128)):
        with pytest.raises(ValueError, match="a step outside the packet"):
            native[2](layers, b"", b"", [(*step, good, good)], 1, 0, 0)
    with pytest.raises(ValueError, match="a step outside the packet"):
        native[2](layers, b"", b"", [(0, 0, 16, b"", good)], 1, 0, 0)
    with pytest.raises(ValueError, match="a negative count"):
        native[2](layers, b"", b"", [], -1, 0, 0)
