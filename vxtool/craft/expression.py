"""Packets in scapy's notation, `IP(src="172.20.0.107", dst="172.20.2.4")/TCP(dport=80, flags="S")`, read without
running anything.

The text is parsed, not evaluated: layers of the modules named here, called with keyword arguments whose values are
literals, and `/` between them. There are no names but layers, no attributes, no arithmetic, no calls of anything
else, so that a line from a stranger can do nothing but make a packet. scapy would also look up what is left out,
by asking this machine's routes, or its neighbours by ARP: such fields have to be said, or get fixed values.
"""

from __future__ import annotations

import ast
from typing import Any

from vxtool.errors import UsageError, VxtoolError
from vxtool.packet import Ethernet, Layer, decode, encode

_MODULES = ("l2", "inet", "inet6", "vxlan", "dns", "dhcp", "dhcp6", "ntp", "sctp", "rtp", "snmp", "vrrp", "tftp")
_LONGEST = 1 << 16
_MOST_LAYERS = 32
_MOST_VALUES = 4096
_MACS = ("02:00:00:00:01:01", "02:00:00:00:01:02")
# What scapy would take from the machine it runs on.
_NEEDED = {"IP": ("src", "dst"), "IPv6": ("src", "dst"), "ARP": ("hwsrc", "psrc", "pdst")}
_ADDRESSES = ("src", "dst", "psrc", "pdst")
_EXAMPLE = 'IP(src="10.0.0.1", dst="10.0.0.2")/UDP(dport=53)'


def frame_layers(text: str) -> tuple[tuple[Layer, ...], bytes]:
    """The layers and the payload of the packet that `text` describes.

    They begin with Ethernet where it does, or is ARP, else with the IP header. Raises UsageError for all that is
    not such an expression, with the place in it, and where scapy is missing.
    """
    packet = _built(_parsed(text))
    first = type(packet).__name__
    if first not in ("Ether", "IP", "IPv6", "ARP"):
        raise UsageError(f"a packet cannot begin with {first}; begin with Ether, IP, IPv6 or ARP")
    try:
        data = bytes(packet)
    except Exception as error:
        raise UsageError(f"scapy cannot make this packet: {_said(error)}") from None
    if first == "ARP":
        data = encode(Ethernet(_MACS[0], "ff:ff:ff:ff:ff:ff", 0x0806)) + data
    return layers_of(data, "RAW" if first in ("IP", "IPv6") else "EN10MB")


def layers_of(data: bytes, link_type: str) -> tuple[tuple[Layer, ...], bytes]:
    """Bytes as layers that encode to them again; checksums that are right are left to be computed."""
    packet = decode(data, link_type)
    layers, payload = tuple(packet.layers), packet.payload
    if packet.padding or encode(*layers, payload=payload) != data:
        if link_type != "EN10MB":
            raise UsageError("the packet's lengths do not fit it; make them wrong with --wrong instead")
        return (Ethernet.parse(data)[0],), data[14:]
    for index, layer in enumerate(layers):
        if getattr(layer, "checksum", None) is None:
            continue
        open_: tuple[Layer, ...] = (*layers[:index], layer._replace(checksum=None), *layers[index + 1 :])  # type: ignore[call-arg]
        if encode(*open_, payload=payload) == data:
            layers = open_
    return layers, payload


def _parsed(text: str) -> list[tuple[str, dict[str, Any]] | bytes]:
    """The layers as (name, fields), and payloads as bytes."""
    if len(text) > _LONGEST:
        raise UsageError(f"is longer than {_LONGEST} characters")
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        what = error.msg if isinstance(error, SyntaxError) else "nested too deep"
        raise UsageError(f"is no expression of layers ({what}); write one such as {_EXAMPLE}") from None
    parts: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        parts.append(node.right)
        node = node.left
        if len(parts) > _MOST_LAYERS:
            raise UsageError(f"has more than {_MOST_LAYERS} layers")
    parts.append(node)
    return [_layer(part, text) for part in reversed(parts)]


def _layer(node: ast.expr, text: str) -> tuple[str, dict[str, Any]] | bytes:
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
        return node.value.encode() if isinstance(node.value, str) else node.value
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise _refused(node, text, "a layer, as in TCP(dport=80)")
    if node.args:
        raise _refused(node.args[0], text, "keyword arguments, as in TCP(dport=80)")
    fields: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg.startswith("_"):
            raise _refused(keyword.value, text, "named fields")
        fields[keyword.arg] = _literal(keyword.value, text, [_MOST_VALUES])
    return node.func.id, fields


def _literal(node: ast.expr, text: str, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise UsageError(f"has a field with more than {_MOST_VALUES} values")
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes, int, float, type(None))):
        return node.value
    if (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.Constant)
        and isinstance(node.operand.value, (int, float))
    ):
        return -node.operand.value
    if isinstance(node, ast.List):
        return [_literal(each, text, left) for each in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_literal(each, text, left) for each in node.elts)
    raise _refused(node, text, "a literal: a number, text, bytes, a list or a tuple")


def _refused(node: ast.expr, text: str, expected: str) -> UsageError:
    source = ast.get_source_segment(text.strip(), node) or ""
    shown = source if len(source) <= 40 else source[:39] + "…"
    return UsageError(f"{shown!r} at character {node.col_offset + 1} is not allowed; expected {expected}")


def _built(parts: list[tuple[str, dict[str, Any]] | bytes]) -> Any:
    raw = load_scapy("packet").Raw
    packet: Any = None
    for part in parts:
        if isinstance(part, bytes):
            layer = raw(load=part)
            if packet is None:
                raise UsageError(f"begins with a payload; begin with a layer, as in {_EXAMPLE}")
        else:
            layer = _made(*part)
        packet = layer if packet is None else packet / layer
    return packet


def _made(name: str, fields: dict[str, Any]) -> Any:
    kind = _kind(name)
    for key in _NEEDED.get(name, ()):
        if key not in fields:
            raise UsageError(f"{name}({key}=...) is missing: it would depend on this machine")
    if name == "Ether":
        fields = {"src": _MACS[0], "dst": _MACS[1], **fields}
    else:
        for key in _ADDRESSES:
            if key in fields:
                _check_address(name, key, fields[key])
    try:
        return kind(**fields)
    except Exception as error:
        raise UsageError(f"{name}: {_said(error)}") from None


def _check_address(layer: str, key: str, value: object) -> None:
    """scapy would look a name up, and make many packets of a network."""
    from ipaddress import ip_address

    try:
        ip_address(str(value))
    except ValueError:
        raise UsageError(f"{layer}({key}={value!r}): expected an IP address") from None


def _kind(name: str) -> Any:
    base = load_scapy("packet").Packet
    for module in ("packet", *(f"layers.{each}" for each in _MODULES)):
        kind = getattr(load_scapy(module), name, None)
        if isinstance(kind, type) and issubclass(kind, base) and kind is not base:
            return kind
    raise UsageError(f"{name!r} is no layer that is allowed; those of scapy's {', '.join(_MODULES)} are")


def load_scapy(module: str) -> Any:
    """A module of scapy, imported only here. Raises UsageError where scapy is not installed."""
    from importlib import import_module
    from logging import ERROR, getLogger

    getLogger("scapy").setLevel(ERROR)  # it warns of interfaces without addresses, which matters to nothing here
    try:
        return import_module(f"scapy.{module}")
    except ImportError as error:
        if error.name and not error.name.startswith("scapy"):
            raise VxtoolError(f"scapy cannot be loaded: {error}") from None
        raise UsageError("scapy is not installed; install it: pip install 'vxtool[craft]'") from None


def _said(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else text[:119] + "…"
