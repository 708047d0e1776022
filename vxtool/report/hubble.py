"""Flows as Hubble prints them: its compact line, and the JSON lines that `hubble observe --input-file` reads.

Names and shapes are those of Cilium's api/v1/flow/flow.proto in protobuf's JSON: enums by name, absent and zero
values left out, timestamps in RFC 3339. The line is that of `hubble observe -o compact`: times to the millisecond,
in UTC; the direction that asks always on the left, the arrow turned round for an answer, and `<>` where it is not
known which of the two it is. https://docs.cilium.io/en/stable/_api/v1/flow/README/

A router is no node of Cilium's: what left it is printed as `to-network`, what was lost here as `from-network` with
the verdict DROPPED and no drop reason, since it was none of Cilium's drops. The traffic's direction is that of the
connection as it passes the interface: what leaves asks outwards (EGRESS), what comes in asks inwards (INGRESS), and
an answer belongs to a connection of the other direction. Cilium's pkg/hubble/parser/threefour.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from vxtool.cluster.identities import reserved_identity
from vxtool.report import Target
from vxtool.report.escape import escape, safe
from vxtool.report.icmp import icmp_name

if TYPE_CHECKING:
    from vxtool.analysis.model import FlowEnd, FlowList, ListedFlow

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# The kind of message that a trace event is, and its points: Cilium's pkg/monitor/api/types.go.
_TRACE = 4
_POINTS = {"to-endpoint": 0, "to-host": 2, "from-network": 10, "to-network": 11}

_LINES = 512  # written at once: packets may be millions

_LAYERS = {"tcp": "TCP", "udp": "UDP", "sctp": "SCTP", "icmp": "ICMPv4", "icmpv6": "ICMPv6"}
_ECHO = {"ICMPv4": {"request": 8, "reply": 0}, "ICMPv6": {"request": 128, "reply": 129}}


def render_compact(flows: FlowList, target: Target) -> Iterator[str]:
    """A line for each listed flow, each with a line feed; many of them at a time."""
    return _pages(escape(_compact(flow), target.encoding) for flow in flows["flows"])


def render_jsonpb(flows: FlowList) -> Iterator[str]:
    """An object a line for each listed flow, in ASCII; many of them at a time."""
    encode = json.JSONEncoder(separators=(",", ":")).encode
    return _pages(safe(encode(_response(flow, flows["node"]))) for flow in flows["flows"])


def _pages(lines: Iterator[str]) -> Iterator[str]:
    while page := list(islice(lines, _LINES)):
        yield "\n".join(page) + "\n"


def _response(flow: ListedFlow, node: str | None) -> dict[str, Any]:
    """Cilium's message GetFlowsResponse."""
    named = {"node_name": node} if node else {}
    return {"flow": message(flow) | named, **named, "time": _timestamp(flow["first_time"])}


def _compact(flow: ListedFlow) -> str:
    left, right, arrow = flow["source"], flow["destination"], "->"
    if flow["is_reply"] is None:
        arrow = "<>"
    elif flow["is_reply"]:
        left, right, arrow = right, left, "<-"
    return (
        f"{_stamp(flow['first_time'])}: {_host(left)} ({identity_text(left)}) {arrow} "
        f"{_host(right)} ({identity_text(right)}) {flow['observation']} {flow['verdict']} ({summary(flow)})"
    )


def _stamp(time: str) -> str:
    """`Aug  9 17:27:50.282` of an RFC 3339 time, cut to the millisecond as Go cuts it."""
    date, _, clock = time.partition("T")
    _, month, day = date.split("-")
    return f"{_MONTHS[int(month) - 1]} {int(day):2d} {clock[:12]}"


def _host(end: FlowEnd) -> str:
    host = f"{end['namespace']}/{end['pod']}" if end["pod"] and end["namespace"] else end["pod"]
    host = host or end["service"] or end["address"] or "?"
    if not end["port"]:
        return host
    return f"[{host}]:{end['port']}" if ":" in host else f"{host}:{end['port']}"


def identity_text(end: FlowEnd) -> str:
    """`ID:36705`, or the name of a reserved identity; Hubble's `unknown` is number 0."""
    number = end["identity"] or 0
    info = reserved_identity(number)
    return info.name if info is not None and info.kind == "reserved" and info.name else f"ID:{number}"


def summary(flow: ListedFlow) -> str:
    """What Hubble puts in brackets at the end of a line. A flow's flags are all that were seen in it."""
    layer = _LAYERS.get(flow["protocol"])
    if layer == "TCP":
        return f"TCP Flags: {', '.join(flow['tcp_flags'])}"
    if layer in _ECHO and (kind := _icmp(flow, layer)) is not None:
        return f"{layer} {icmp_name(flow['protocol'], *kind)}"
    return layer or flow["protocol"].upper()


def message(flow: ListedFlow) -> dict[str, Any]:
    """The flow as protobuf's JSON of Cilium's message Flow."""
    return _without_defaults(
        {
            "time": _timestamp(flow["first_time"]),
            "verdict": flow["verdict"],
            "ethernet": {**flow["ethernet"]} if flow["ethernet"] else None,
            "IP": _ip(flow["source"]["address"], flow["destination"]["address"]),
            "l4": _layer4(flow),
            "source": _endpoint(flow["source"]),
            "destination": _endpoint(flow["destination"]),
            "Type": "L3_L4",
            "source_service": _service(flow["source"]),
            "destination_service": _service(flow["destination"]),
            "event_type": _numbers({"type": _TRACE, "sub_type": _POINTS[flow["observation"]]}),
            "traffic_direction": _direction(flow),
            "trace_observation_point": flow["observation"].upper().replace("-", "_"),
            # A BoolValue: false is not the same as absent.
            "is_reply": flow["is_reply"],
            "interface": _without_defaults({**flow["interface"]}) if flow["interface"] else None,
            "tunnel": _tunnel(flow),
            "Summary": summary(flow),
        }
    )


def _direction(flow: ListedFlow) -> str | None:
    """Of the connection; None where it is not known which way it goes."""
    came_in = flow["observation"] != "to-network"
    if flow["is_reply"] is None:
        return None
    if flow["observation"] == "from-network" and flow["verdict"] == "TRACED" and flow["ingress"] is None:
        return None
    return "INGRESS" if came_in != flow["is_reply"] else "EGRESS"


def _without_defaults(value: dict[str, Any]) -> dict[str, Any]:
    """Protobuf's JSON leaves out what is not there, and what is empty."""
    return {key: item for key, item in value.items() if item is not None and item != {}}


def _timestamp(time: str) -> str:
    """With 0, 3, 6 or 9 digits behind the point, as protobuf writes it."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    while fraction.endswith("000"):
        fraction = fraction[:-3]
    return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"


def _ip(source: str | None, destination: str | None) -> dict[str, Any] | None:
    if source is None or destination is None:
        return None
    return {"source": source, "destination": destination, "ipVersion": "IPv6" if ":" in source else "IPv4"}


def _layer4(flow: ListedFlow) -> dict[str, Any] | None:
    """Left out where its fields are not known: without them it would say port 0, or type 0, which is an answer."""
    layer = _LAYERS.get(flow["protocol"])
    if layer is None:
        return None
    if layer in _ECHO:
        kind = _icmp(flow, layer)
        return None if kind is None else {layer: _numbers({"type": kind[0], "code": kind[1]})}
    source, destination = flow["source"]["port"], flow["destination"]["port"]
    if source is None or destination is None:
        return None
    fields: dict[str, Any] = _numbers({"source_port": source, "destination_port": destination})
    if layer == "TCP" and flow["tcp_flags"]:
        fields["flags"] = dict.fromkeys(flow["tcp_flags"], True)
    return {layer: fields}


def _icmp(flow: ListedFlow, layer: str) -> tuple[int, int] | None:
    """Type and code: a packet's, or those of a flow of ICMP echo."""
    if flow["icmp"] is not None:
        return flow["icmp"]["type"], flow["icmp"]["code"]
    return None if flow["icmp_echo"] is None else (_ECHO[layer][flow["icmp_echo"]], 0)


def _endpoint(end: FlowEnd) -> dict[str, Any]:
    return {
        **_numbers({"identity": end["identity"] or 0}),
        **{
            key: value
            for key, value in (
                ("namespace", end["namespace"]),
                ("labels", end["labels"]),
                ("pod_name", end["pod"]),
            )
            if value
        },
    }


def _service(end: FlowEnd) -> dict[str, Any] | None:
    if end["service"] is None:
        return None
    namespace, _, name = end["service"].rpartition("/")
    return {"name": name, **({"namespace": namespace} if namespace else {})}


def _tunnel(flow: ListedFlow) -> dict[str, Any] | None:
    tunnel = flow["tunnel"]
    if tunnel is None:
        return None
    ports = {"source_port": tunnel["source_port"] or 0, "destination_port": tunnel["port"] or 0}
    return _without_defaults(
        {
            "protocol": tunnel["protocol"].upper(),
            "IP": _ip(tunnel["source"], tunnel["destination"]),
            "l4": {"UDP": _numbers(ports)} if any(ports.values()) else None,
            **_numbers({"vni": tunnel["vni"]}),
        }
    )


def _numbers(fields: dict[str, int]) -> dict[str, int]:
    """Those that are not 0, protobuf's default."""
    return {key: number for key, number in fields.items() if number}
