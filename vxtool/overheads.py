"""What tunnels cost, by sums alone: which MTU is left inside them, or which one the links beneath must have.

A packet of the pods is wrapped by one layer after the other, the innermost first; each layer adds its headers, and
some pad what they carry. An MTU counts the bytes of an IP packet: the Ethernet header around it, and VLAN tags of
the link, come on top of it. Only the Ethernet header *inside* VXLAN and Geneve, with its tags, is counted.

Sizes of headers that the codec writes are those that it writes. The others are from
- WireGuard: https://www.wireguard.com/protocol/ and section 5.4.6 of its paper,
- IPsec: RFC 4303 (ESP), RFC 4106 (AES-GCM in it), RFC 3948 (in UDP),
- Ethernet on the wire: IEEE 802.3, clauses 3 and 4,
- Cilium: `pkg/mtu` of its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple, TypedDict

from vxtool.errors import PacketError, UsageError
from vxtool.packet import TCP, UDP, VXLAN, Ethernet, Geneve, IPv4, IPv6, Nop, Timestamps, Vlan

SCHEMA = "vxtool.mtu/1"

Family = Literal["ipv4", "ipv6"]
Protocol = Literal["vxlan", "geneve", "wireguard", "ipsec"]

FAMILIES: Sequence[Family] = ("ipv4", "ipv6")
PROTOCOLS: Sequence[Protocol] = ("vxlan", "geneve", "wireguard", "ipsec")
NO_TUNNEL = "none"
USUAL_UNDERLAY = 1500

# The least that a link must carry in one piece: RFC 791, section 3.2, and RFC 8200, section 5.
LEAST_MTU: dict[Family, int] = {"ipv4": 68, "ipv6": 1280}
_RULES: dict[Family, str] = {
    "ipv4": "IPv4 needs an MTU of 68 at least (RFC 791, section 3.2)",
    "ipv6": "IPv6 needs an MTU of 1280 at least (RFC 8200, section 5)",
}
LARGEST_MTU = 65_535  # what the length in an IPv4 header can tell

PREAMBLE, CHECK_SEQUENCE, GAP, LEAST_FRAME = 8, 4, 12, 64  # preamble and start; the rest in bytes' times
COMMON_SIZES = (64, 128, 256, 512, 576, 1000, 1280, 1500, 4096, 8192)

_WIREGUARD_HEADER, _WIREGUARD_TAG, _WIREGUARD_BLOCK = 16, 16, 16
_ESP_HEADER, _ESP_VECTOR, _ESP_TRAILER, _ESP_TAG, _ESP_BLOCK = 8, 8, 2, 16, 4
_MOST_TAGS = 4

# What Cilium reserves, whatever the packets really cost. Its WireGuard figure has grown in 1.19.5, by the most
# that padding can take.
_CILIUM_TUNNEL: dict[Family, int] = {"ipv4": 50, "ipv6": 70}
_CILIUM_IPSEC = 77
_CILIUM_WIREGUARD = (("before 1.19.5", 80), ("1.19.5 and later", 95))


class Header(TypedDict):
    name: str
    bytes: int


class LayerCost(TypedDict):
    """One layer, as a packet of the overlay's MTU is wrapped by it."""

    protocol: Protocol
    family: Family | None  # of its outer IP header; None where it adds none (IPsec in transport mode)
    name: str
    mtu_below: int  # what its packets may have
    mtu: int  # what it leaves to what it carries
    bytes: int  # what it adds, padding included
    headers: list[Header]
    pads_to: int  # what it carries is filled up to a multiple of this; 1 where it is not


class Segment(TypedDict):
    mss: int
    data: int  # bytes of data in a full segment with time stamps


class Segments(TypedDict):
    ipv4: Segment | None  # None where it cannot be used, or was not asked for
    ipv6: Segment | None


class Cost(TypedDict):
    """One size of packet, natively and through the tunnel. Percent are of bytes."""

    inner: int  # bytes of the overlay's IP packet
    outer: int  # of the underlay's
    overhead: int
    overhead_percent: float  # of the underlay's
    wire_native: int  # on the wire, with Ethernet's framing, without any tunnel
    wire: int  # and through the tunnel
    wire_more_percent: float
    tcp_data: int | None  # bytes of TCP data in it, with time stamps; None where these headers do not fit
    tcp_native_percent: float | None  # of the wire's bytes
    tcp_percent: float | None


class Bulk(TypedDict):
    """TCP in packets as large as may be: natively those of the underlay's MTU, in the tunnel the overlay's, or what
    Cilium makes of it."""

    native: Cost
    tunnelled: Cost
    slower_percent: float  # TCP data in a second, on a link that is full
    packets_more_percent: float  # for the same data


class CiliumMtu(TypedDict):
    """What Cilium makes of it, and what it should be told."""

    versions: str | None  # those whose reserve this is; None: all
    reserved_tunnel: int
    reserved_encryption: int
    reserved: int
    underlay: int  # the MTU of the links
    device_mtu: int  # that of the nodes' devices, as Cilium finds it
    route_mtu_by_itself: int  # what it would put on routes to other nodes' pods
    fits: bool  # whether the packets that it then lets pods send fit
    helm_mtu: int  # the value to give it as `MTU`: that of the nodes' devices, of which it takes its reserve itself
    route_mtu: int  # what then is on the routes
    segments: Segments


class MtuPlan(TypedDict):
    schema: str
    given: Literal["underlay", "overlay"]
    underlay: int
    overlay: int
    overhead: int  # of a packet of the overlay's MTU
    unused: int  # bytes of the underlay's MTU that no packet can fill
    link_vlans: int
    layers: list[LayerCost]  # the outermost first
    segments: Segments
    inner: Family | None  # None: both; `sizes` and `bulk` are then of IPv4 packets
    sizes: list[Cost]
    bulk: Bulk
    cilium: list[CiliumMtu] | None


class Layer(NamedTuple):
    """One thing that wraps packets. `vlans` are tags on the frames inside, `options` bytes of Geneve options."""

    protocol: Protocol
    family: Family | None
    options: int = 0
    vlans: int = 0
    in_udp: bool = False

    @property
    def name(self) -> str:
        """As in `VXLAN over IPv6`."""
        name = {"vxlan": "VXLAN", "geneve": "Geneve", "wireguard": "WireGuard", "ipsec": "IPsec"}[self.protocol]
        if self.family is None:
            return f"{name} in transport mode"
        return f"{name} over {_header_name(self.family)}"

    @property
    def headers(self) -> list[Header]:
        """All that it adds but for padding, as the wire has them."""
        found: list[tuple[str, int]] = []
        if self.family:
            found.append((_header_name(self.family), _ip_header(self.family)))
        if self.protocol != "ipsec" or self.in_udp:
            found.append(("UDP", len(UDP(0, 0, checksum=0).emit())))
        if self.protocol == "wireguard":
            found += [("WireGuard", _WIREGUARD_HEADER), ("authentication tag", _WIREGUARD_TAG)]
        elif self.protocol == "ipsec":
            found += [("ESP", _ESP_HEADER), ("initialization vector", _ESP_VECTOR)]
            found += [("trailer", _ESP_TRAILER), ("authentication tag", _ESP_TAG)]
        else:
            if self.protocol == "vxlan":
                found.append(("VXLAN", len(VXLAN(0).emit())))
            else:
                found.append(("Geneve", len(Geneve(0).emit())))
                found.append(("Geneve options", self.options))
            found.append(("inner Ethernet", _ethernet_header()))
            found.append(("inner VLAN tags", self.vlans * _vlan_tag()))
        return [{"name": name, "bytes": size} for name, size in found if size]

    @property
    def pads_to(self) -> int:
        """The multiple to which what it carries is filled up."""
        return {"wireguard": _WIREGUARD_BLOCK, "ipsec": _ESP_BLOCK}.get(self.protocol, 1)

    @property
    def fixed(self) -> int:
        """Bytes of all headers."""
        return sum(header["bytes"] for header in self.headers)

    def carries(self, below: int) -> int:
        """The largest packet that it carries in one of `below` bytes."""
        if self.protocol == "ipsec":
            room = below - self.fixed + _ESP_TRAILER
            return room - room % _ESP_BLOCK - _ESP_TRAILER
        return below - self.fixed

    def size(self, inner: int, mtu: int) -> int:
        """The bytes that a packet of `inner` becomes. WireGuard pads, but not beyond the `mtu` of its device."""
        if self.protocol == "ipsec":
            return self.fixed - _ESP_TRAILER + _filled(inner + _ESP_TRAILER, _ESP_BLOCK)
        if self.protocol == "wireguard":
            return self.fixed + min(_filled(inner, _WIREGUARD_BLOCK), max(inner, mtu))
        return self.fixed + inner

    def needs(self, inner: int) -> int:
        """The least MTU below it that lets packets of `inner` bytes through."""
        return max(self.size(inner, inner), LEAST_MTU[self.family or "ipv4"])


def parse_layer(text: str, family: Family = "ipv4") -> Layer:
    """A layer from its name and, behind commas, details: `geneve,ipv6,options=12`.

    Details are ipv4 or ipv6 (else `family`), of vxlan and geneve `vlan=N` (tags on the frames inside), of geneve
    `options=N` (bytes), of ipsec `transport` and `nat-t`. Raises UsageError for any other.
    """
    name, *details = text.split(",")
    protocol = next((known for known in PROTOCOLS if known == name), None)
    if protocol is None:
        raise UsageError(
            f"{name!r}: is no layer known here; expected {', '.join(PROTOCOLS[:-1])} or {PROTOCOLS[-1]}."
        )
    layer = Layer(protocol, family)
    chosen: Family | None = None
    for detail in details:
        key, _, value = detail.partition("=")
        if (told := next((one for one in FAMILIES if one == detail), None)) is not None:
            chosen = told
            layer = layer._replace(family=told)
        elif key == "vlan" and protocol in ("vxlan", "geneve"):
            layer = layer._replace(vlans=_number(text, key, value, _MOST_TAGS))
        elif key == "options" and protocol == "geneve":
            layer = layer._replace(options=_geneve_options(text, value))
        elif detail == "nat-t" and protocol == "ipsec":
            layer = layer._replace(in_udp=True)
        elif detail != "transport" or protocol != "ipsec":
            raise UsageError(f"{text!r}: {detail!r} is no detail of {protocol}; it takes {_details_of(protocol)}.")
    if "transport" in details:
        if chosen:
            raise UsageError(f"{text!r}: transport mode adds no IP header; leave {chosen} out, or transport.")
        layer = layer._replace(family=None)
    return layer


def plan_mtu(
    *,
    underlay: int | None = None,
    overlay: int | None = None,
    tunnel: str = "vxlan",
    beneath: Sequence[str] = (),
    family: Family = "ipv4",
    inner: Family | None = None,
    link_vlans: int = 0,
    sizes: Sequence[int] = (),
    cilium: bool = False,
) -> MtuPlan:
    """Which MTU a tunnel leaves, or needs, and what it costs; `vxtool.mtu` says what the arguments are.

    Raises UsageError for what cannot be: MTUs that break a rule of their protocol, layers that are none.
    """
    if underlay is not None and overlay is not None:
        raise UsageError("underlay and overlay are both given; give one of them, the other is what is calculated.")
    for name, value in (("family", family), ("inner", inner)):
        if value not in (*FAMILIES, *([None] if name == "inner" else [])):
            raise UsageError(f"{name}={value!r}: expected ipv4 or ipv6.")
    if not 0 <= link_vlans <= _MOST_TAGS:
        raise UsageError(f"{link_vlans} VLAN tags on the links: expected 0 to {_MOST_TAGS}.")
    layers = [parse_layer(text, family) for text in ([] if tunnel == NO_TUNNEL else [tunnel]) + list(beneath)]
    if overlay is None:
        path = _leaving(layers, USUAL_UNDERLAY if underlay is None else underlay)
    else:
        path = _needing(layers, overlay)
    if path.overlay < LEAST_MTU[inner or "ipv4"]:
        raise UsageError(f"an overlay MTU of {path.overlay} is too small: {_RULES[inner or 'ipv4']}.")
    wire = _Wire(path, link_vlans, inner or "ipv4")
    found = _cilium(path, inner, to_overlay=overlay is not None) if cilium else None
    routes = [one["route_mtu"] for one in found or ()]
    return {
        "schema": SCHEMA,
        "given": "underlay" if overlay is None else "overlay",
        "underlay": path.underlay,
        "overlay": path.overlay,
        "overhead": path.size(path.overlay) - path.overlay,
        "unused": path.underlay - path.size(path.overlay),
        "link_vlans": link_vlans,
        "layers": path.costs(),
        "segments": _segments(path.overlay, inner),
        "inner": inner,
        "sizes": wire.costs([*sizes, *routes]),
        "bulk": wire.bulk(routes[-1] if routes else path.overlay),
        "cilium": found,
    }


class _Path(NamedTuple):
    """Layers, the innermost first, and the MTUs between them: the overlay's, that below each, the underlay's."""

    layers: Sequence[Layer]
    mtus: Sequence[int]

    @property
    def overlay(self) -> int:
        return self.mtus[0]

    @property
    def underlay(self) -> int:
        return self.mtus[-1]

    def sizes(self, inner: int) -> list[int]:
        """What a packet has before, between and behind the layers."""
        found = [inner]
        for layer, mtu in zip(self.layers, self.mtus, strict=False):
            found.append(layer.size(found[-1], mtu))
        return found

    def size(self, inner: int) -> int:
        return self.sizes(inner)[-1]

    def costs(self) -> list[LayerCost]:
        sizes = self.sizes(self.overlay)
        found: list[LayerCost] = []
        for at, layer in enumerate(self.layers):
            headers = layer.headers
            added = sizes[at + 1] - sizes[at]
            if padding := added - layer.fixed:
                headers.append({"name": "padding", "bytes": padding})
            found.append(
                {
                    "protocol": layer.protocol,
                    "family": layer.family,
                    "name": layer.name,
                    "mtu_below": self.mtus[at + 1],
                    "mtu": self.mtus[at],
                    "bytes": added,
                    "headers": headers,
                    "pads_to": layer.pads_to,
                }
            )
        return found[::-1]


def _leaving(layers: Sequence[Layer], underlay: int) -> _Path:
    """What an underlay leaves, layer by layer."""
    _check_largest(underlay, "underlay")
    mtus = [underlay]
    for layer in reversed(layers):
        least = layer.family or "ipv4"
        if mtus[0] < LEAST_MTU[least]:
            where = "an underlay MTU" if len(mtus) == 1 else "an MTU"
            raise UsageError(f"{where} of {mtus[0]} is too small for {layer.name}: {_RULES[least]}.")
        mtus.insert(0, layer.carries(mtus[0]))
    return _Path(layers, mtus)


def _needing(layers: Sequence[Layer], overlay: int) -> _Path:
    """What an overlay needs, layer by layer."""
    mtus = [overlay]
    for layer in layers:
        mtus.append(layer.needs(mtus[-1]))
    _check_largest(mtus[-1], "underlay")
    return _Path(layers, mtus)


def _check_largest(mtu: int, what: str) -> None:
    if mtu > LARGEST_MTU:
        raise UsageError(f"an {what} MTU of {mtu} is too large: an IP packet has up to {LARGEST_MTU} bytes.")


class _Wire:
    """The same packets with Ethernet's framing. `inner` is the family of the overlay's packets."""

    def __init__(self, path: _Path, vlans: int, inner: Family) -> None:
        self._path = path
        self._header = _ethernet_header() + vlans * _vlan_tag()
        self._tcp_headers = _ip_header(inner) + _tcp_header() + _timestamps()

    def costs(self, more: Sequence[int]) -> list[Cost]:
        """Of the common sizes, those that fit; the overlay's MTU, and those asked for."""
        overlay = self._path.overlay
        for size in more:
            if not 1 <= size <= overlay:
                raise UsageError(f"a packet of {size} bytes does not fit; give sizes from 1 to {overlay}.")
        return [self._cost(size) for size in sorted({*COMMON_SIZES, *more, overlay}) if size <= overlay]

    def bulk(self, mtu: int) -> Bulk:
        native, tunnelled = self._cost(self._path.underlay, tunnelled=False), self._cost(mtu)
        was, now = native["tcp_data"] or 0, tunnelled["tcp_data"] or 0
        return {
            "native": native,
            "tunnelled": tunnelled,
            "slower_percent": _percent(1 - now * native["wire"] / (was * tunnelled["wire"])) if was else 0.0,
            "packets_more_percent": _percent(was / now - 1) if now else 0.0,
        }

    def _cost(self, inner: int, *, tunnelled: bool = True) -> Cost:
        outer = self._path.size(inner) if tunnelled else inner
        native, wire = self._framed(inner), self._framed(outer)
        data = inner - self._tcp_headers
        return {
            "inner": inner,
            "outer": outer,
            "overhead": outer - inner,
            "overhead_percent": _percent((outer - inner) / outer),
            "wire_native": native,
            "wire": wire,
            "wire_more_percent": _percent(wire / native - 1),
            "tcp_data": data if data > 0 else None,
            "tcp_native_percent": _percent(data / native) if data > 0 else None,
            "tcp_percent": _percent(data / wire) if data > 0 else None,
        }

    def _framed(self, packet: int) -> int:
        return PREAMBLE + max(self._header + packet + CHECK_SEQUENCE, LEAST_FRAME) + GAP


def _segments(mtu: int, inner: Family | None) -> Segments:
    def one(family: Family) -> Segment | None:
        if inner not in (None, family) or mtu < LEAST_MTU[family]:
            return None
        mss = mtu - _ip_header(family) - _tcp_header()
        return {"mss": mss, "data": mss - _timestamps()}

    return {"ipv4": one("ipv4"), "ipv6": one("ipv6")}


def _cilium(path: _Path, inner: Family | None, *, to_overlay: bool) -> list[CiliumMtu]:
    """What Cilium makes of its own layers: a tunnel, and the encryption just beneath it. It knows of none below."""
    own = _own_layers(path.layers)
    tunnel = sum(_CILIUM_TUNNEL[layer.family or "ipv4"] for layer in own if layer.protocol in ("vxlan", "geneve"))
    encryption: Sequence[tuple[str | None, int]] = [(None, 0)]
    if any(layer.protocol == "wireguard" for layer in own):
        encryption = _CILIUM_WIREGUARD
    elif any(layer.protocol == "ipsec" for layer in own):
        encryption = [(None, _CILIUM_IPSEC)]
    found: list[CiliumMtu] = []
    for versions, encrypting in encryption:
        reserved = tunnel + encrypting
        underlay, device = path.underlay, path.mtus[len(own)]
        if to_overlay:
            device = max(path.overlay + reserved, _least_device(own, path.overlay))
            underlay = _needing(path.layers[len(own) :], device).underlay
        most = _most_for_pods(own, device)
        route = path.overlay if to_overlay else min(device - reserved, most)
        if route < LEAST_MTU[inner or "ipv4"]:
            raise UsageError(f"Cilium would leave an MTU of {route} to pods: {_RULES[inner or 'ipv4']}.")
        found.append(
            {
                "versions": versions,
                "reserved_tunnel": tunnel,
                "reserved_encryption": encrypting,
                "reserved": reserved,
                "underlay": underlay,
                "device_mtu": device,
                "route_mtu_by_itself": device - reserved,
                "fits": device - reserved <= most,
                "helm_mtu": route + reserved,
                "route_mtu": route,
                "segments": _segments(route, inner),
            }
        )
    return found


def _own_layers(layers: Sequence[Layer]) -> Sequence[Layer]:
    tunnelled = len(layers) > 0 and layers[0].protocol in ("vxlan", "geneve")
    encrypted = len(layers) > tunnelled and layers[tunnelled].protocol in ("wireguard", "ipsec")
    return layers[: tunnelled + encrypted]


# Under Cilium, packets reach the WireGuard device without being routed into it, so their padding is not held within
# its MTU: https://github.com/cilium/cilium/pull/45940


def _most_for_pods(own: Sequence[Layer], device: int) -> int:
    for layer in reversed(own):
        device = layer.carries(device)
        if layer.protocol == "wireguard":
            device -= device % _WIREGUARD_BLOCK
    return device


def _least_device(own: Sequence[Layer], overlay: int) -> int:
    for layer in own:
        overlay = layer.needs(_filled(overlay, layer.pads_to if layer.protocol == "wireguard" else 1))
    return overlay


def _number(text: str, key: str, value: str, most: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 6 and int(value) <= most):
        raise UsageError(f"{text!r}: expected {key}= and a number from 0 to {most}, found {value!r}.")
    return int(value)


def _geneve_options(text: str, value: str) -> int:
    size = _number(text, "options", value, 252)
    try:
        Geneve(0, options=bytes(size)).emit()
    except PacketError as error:
        raise UsageError(f"{text!r}: {error} (RFC 8926, section 3.4).") from error
    return size


def _details_of(protocol: Protocol) -> str:
    more = {"vxlan": ", vlan=N", "geneve": ", vlan=N, options=N", "ipsec": ", transport, nat-t"}
    return f"ipv4, ipv6{more.get(protocol, '')}"


def _header_name(family: Family) -> str:
    return "IPv4" if family == "ipv4" else "IPv6"


@cache
def _ip_header(family: Family) -> int:
    return IPv4("0.0.0.0", "0.0.0.0").header_length if family == "ipv4" else len(IPv6("::", "::", 0).emit())


@cache
def _ethernet_header() -> int:
    return len(Ethernet("00:00:00:00:00:00", "00:00:00:00:00:00", 0).emit())


@cache
def _vlan_tag() -> int:
    return len(Vlan(0, ethertype=0).emit())


@cache
def _tcp_header() -> int:
    return len(TCP(0, 0, checksum=0).emit())


@cache
def _timestamps() -> int:
    """The option of RFC 7323 as Linux lays it out, with two fillers before it."""
    return len(TCP(0, 0, checksum=0, options=(Nop(), Nop(), Timestamps(0, 0))).emit()) - _tcp_header()


def _filled(size: int, block: int) -> int:
    return size + -size % block


def _percent(share: float) -> float:
    return round(100 * share, 2)
