"""What an MTU comes to, as a terminal page: layer by layer, the MSS, the cost by size, and the setting to make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vxtool.report import Target
from vxtool.report.layout import INDENT, Cell, Page, Row, cells
from vxtool.report.units import plural

if TYPE_CHECKING:
    from vxtool.overheads import CiliumMtu, Cost, LayerCost, MtuPlan, Segments

_FAMILY_NAMES = {"ipv4": "IPv4", "ipv6": "IPv6"}
_MSS = "The MSS is how much TCP data one end lets the other put into a packet"
_FRAME = 18  # bytes of Ethernet header and check sequence
_PING_HEADERS = {"ipv4": 28, "ipv6": 48}  # of IP and ICMP


def render(plan: MtuPlan, target: Target) -> str:
    """The page, ending in a line feed. No line is wider than `target.width` (at least 72)."""
    page = Page(target)
    page.prose(_verdict(plan), hang=0)
    _layers(page, plan)
    if plan["cilium"] is None:
        _segments(page, plan)
    else:
        _cilium(page, plan, plan["cilium"])
    _costs(page, plan)
    page.heading("Set")
    page.prose(_setting(plan) if plan["cilium"] is None else _cilium_setting(plan, plan["cilium"]))
    return str(page)


def _verdict(plan: MtuPlan) -> str:
    through = " in ".join(layer["name"] for layer in reversed(plan["layers"]))
    if plan["given"] == "overlay":
        why = f"cross {through} in one piece" if through else "pass"
        return (
            f"Underlay MTU {plan['underlay']}: what the links must have, so that pods' packets of "
            f"{plan['overlay']} bytes {why}."
        )
    if not through:
        return f"MTU {plan['overlay']}: without a tunnel pods have what the links have."
    return (
        f"Overlay MTU {plan['overlay']}: the largest packet of a pod that crosses {through} in one piece, where "
        f"the links have an MTU of {plan['underlay']}."
    )


def _layers(page: Page, plan: MtuPlan) -> None:
    if not plan["layers"]:
        return
    page.heading("Layers", "from the links inwards, in bytes; an MTU counts a whole IP packet")
    rows = [Row(("links",), (Cell(""), Cell(str(plan["underlay"])), Cell("MTU")), note=_tags(plan))]
    rows += [
        Row((layer["name"],), (Cell(f"-{layer['bytes']}"), Cell(str(layer["mtu"])), Cell("left")), _headers(layer))
        for layer in plan["layers"]
    ]
    _table(page, rows)
    if plan["unused"]:
        lost = f"{plan['unused']} {plural(plan['unused'], 'byte')}"
        page.prose(f"No packet fills the last {lost} of the links' MTU.")


def _table(page: Page, rows: Sequence[Row]) -> None:
    # The page's own tables align figures by their units: the sums here have their numbers below each other.
    aligned = []
    widths = [max(len(row.cells[at].text) for row in rows) for at in range(2)]
    for row in rows:
        first, second, last = (cell.text for cell in row.cells)
        aligned.append(
            row._replace(cells=(Cell(first.rjust(widths[0])), Cell(second.rjust(widths[1]) + " " + last)))
        )
    page.table(aligned, limit=len(aligned))


def _tags(plan: MtuPlan) -> str:
    tags = plan["link_vlans"]
    if not tags:
        return ""
    more, untagged = 4 * tags, plan["underlay"] + _FRAME
    text = f"{tags} VLAN {plural(tags, 'tag')} on top of it: frames have up to {untagged + more} bytes"
    if plan["given"] == "underlay":
        text += f"; where a switch takes {untagged} only, reckon with --underlay {plan['underlay'] - more}"
    return text


def _headers(layer: LayerCost) -> str:
    text = ", ".join(f"{header['name']} {header['bytes']}" for header in layer["headers"])
    if layer["pads_to"] > 1:
        text += f"; smaller packets are padded, by up to {layer['pads_to'] - 1}"
    if layer["protocol"] == "ipsec":
        text += "; assumed: ESP with AES-GCM and its longest tag (RFC 4106)"
    return text


def _segments(page: Page, plan: MtuPlan) -> None:
    page.heading("TCP", f"of pods with an MTU of {plan['overlay']}")
    _segment_rows(page, plan["segments"], plan["overlay"], plan)
    page.prose(
        f"{_MSS}. Each host tells its own, from the MTU of its interface: where pods have more than "
        f"{plan['overlay']}, they ask for packets that do not fit here, and those are sent in fragments, or lost. "
        "The time stamps that Linux sends take 12 bytes of it."
    )


def _segment_rows(page: Page, segments: Segments, mtu: int, plan: MtuPlan) -> None:
    for family, segment in (("IPv4", segments["ipv4"]), ("IPv6", segments["ipv6"])):
        if segment is not None:
            page.line(
                f"{' ' * INDENT}{family}   MSS {segment['mss']:>5}   {segment['data']:>5} bytes of data a packet"
            )
    if segments["ipv6"] is None and plan["inner"] is None:
        page.prose(f"No IPv6 inside: it needs an MTU of 1280 at least (RFC 8200, section 5), not {mtu}.")


def _cilium(page: Page, plan: MtuPlan, found: Sequence[CiliumMtu]) -> None:
    page.heading("Cilium", "reserves fixed numbers of bytes, whatever the headers really take")
    for one in found:
        parts = [("tunnel", one["reserved_tunnel"]), ("encryption", one["reserved_encryption"])]
        reserved = " and ".join(f"{size} for the {what}" for what, size in parts if size) or "nothing"
        text = f"Cilium {one['versions']}" if one["versions"] else "Cilium"
        text += (
            f" finds {one['device_mtu']} on the nodes' devices, reserves {reserved}, and by itself puts "
            f"{one['route_mtu_by_itself']} on the routes to other nodes' pods"
        )
        if not one["fits"]:
            padded = one["route_mtu_by_itself"] <= plan["overlay"]
            why = " with all the padding that WireGuard may add" if padded else ""
            text += f": too much, {one['route_mtu']} is what fits{why}"
        elif one["route_mtu"] != one["route_mtu_by_itself"]:
            text += f", where {one['route_mtu']} was asked for"
        page.prose(f"{text}.")
        _segment_rows(page, one["segments"], one["route_mtu"], plan)
    page.prose(
        f"{_MSS}; pods take theirs from that route. Their interfaces have the MTU that Cilium starts "
        "from, so `ip link` shows nothing of it."
    )


def _costs(page: Page, plan: MtuPlan) -> None:
    if not plan["layers"]:
        return
    page.heading("Cost", f"by the size of the pods' {_FAMILY_NAMES[plan['inner'] or 'ipv4']} packets, in bytes")
    table: list[Sequence[str]] = [("packet", "tunnel", "headers", "native", "tunnel", "more", "native", "tunnel")]
    table += [_cost_row(cost) for cost in plan["sizes"]]
    widths = [max(cells(row[at]) for row in table) for at in range(len(table[0]))]
    between = " " * 2
    over = [_over(title, sum(part) + 2 * (len(part) - 1)) for title, part in _grouped(widths)]
    page.line(page.style(page.clean(" " * INDENT + between.join(over)), dim=True))
    for number, row in enumerate(table):
        line = between.join(text.rjust(width) for text, width in zip(row, widths, strict=True))
        page.line(page.style(" " * INDENT + line, dim=not number))
    bulk = plan["bulk"]
    framing = bulk["native"]["wire"] - bulk["native"]["inner"]
    tags = ", VLAN tags" if plan["link_vlans"] else ""
    page.prose(
        f"On the wire a frame also has preamble, Ethernet header{tags}, check sequence and gap: {framing} bytes. "
        "TCP data is its share of the bytes on the wire, with time stamps."
    )
    page.prose(
        f"A full link carries {bulk['slower_percent']:.1f} % less TCP data than without the tunnel "
        f"({bulk['tunnelled']['tcp_data'] or 0} bytes in a packet of {bulk['tunnelled']['inner']}, not "
        f"{bulk['native']['tcp_data'] or 0} in {bulk['native']['inner']}), and the same data takes "
        f"{bulk['packets_more_percent']:.1f} % more packets."
    )


def _grouped(widths: Sequence[int]) -> Sequence[tuple[str, Sequence[int]]]:
    return ("IP", widths[:3]), ("on the wire", widths[3:6]), ("TCP data", widths[6:])


def _over(title: str, width: int) -> str:
    """A title in the middle of a rule above its columns."""
    return f" {title} ".center(width, "─")


def _cost_row(cost: Cost) -> Sequence[str]:
    return (
        str(cost["inner"]),
        str(cost["outer"]),
        _share(cost["overhead_percent"]),
        str(cost["wire_native"]),
        str(cost["wire"]),
        _share(cost["wire_more_percent"]),
        _share(cost["tcp_native_percent"]),
        _share(cost["tcp_percent"]),
    )


def _share(percent: float | None) -> str:
    return "-" if percent is None else f"{percent:.1f} %"


def _setting(plan: MtuPlan) -> str:
    overlay = plan["overlay"]
    if plan["given"] == "overlay":
        return (
            f"An MTU of {plan['underlay']} on every link between the nodes (`ip link set eth0 mtu "
            f"{plan['underlay']}` on the nodes and routers, and frames of "
            f"{plan['underlay'] + _FRAME + 4 * plan['link_vlans']} bytes on the switches). {_try(plan, overlay)}"
        )
    if not plan["layers"]:
        return f"An MTU of {overlay} on the pods' interfaces. {_try(plan, overlay)}"
    first = plan["layers"][-1]
    if first["protocol"] == "ipsec":
        where = f"the pods' interfaces, or the routes that lead into IPsec (`ip route change ... mtu {overlay}`)"
    else:
        device = "wg0" if first["protocol"] == "wireguard" else f"{first['protocol']}0"
        where = f"the pods' interfaces and the nodes' tunnel device (`ip link set {device} mtu {overlay}`)"
    return f"An MTU of {overlay} on {where}. {_try(plan, overlay)}"


def _cilium_setting(plan: MtuPlan, found: Sequence[CiliumMtu]) -> str:
    versions = [f" ({one['versions']})" if one["versions"] else "" for one in found]
    values = [f"`MTU: {one['helm_mtu']}`{of}" for one, of in zip(found, versions, strict=True)]
    routes = [f"`mtu {one['route_mtu']}`{of}" for one, of in zip(found, versions, strict=True)]
    if len({one["helm_mtu"] for one in found}) == 1:
        values = [f"`MTU: {found[0]['helm_mtu']}`"]
    if len({one["route_mtu"] for one in found}) == 1:
        routes = [f"`mtu {found[0]['route_mtu']}`"]
    text = f"Helm value {' or '.join(values)}"
    if all(one["helm_mtu"] == one["device_mtu"] for one in found):
        text += ", the MTU of the nodes' devices, which the default of 0 finds by itself where they have it"
    text += "." if not any(one["reserved"] for one in found) else "; Cilium takes what it reserves off that."
    if plan["given"] == "overlay":
        links = dict.fromkeys(one["underlay"] for one in found)
        text = f"An MTU of {' or '.join(map(str, links))} on the links. {text}"
    return (
        f"{text} After a restart of its agents and of the pods, `ip route` in a pod shows "
        f"{' or '.join(routes)} towards other nodes. {_try(plan, min(one['route_mtu'] for one in found))}"
    )


def _try(plan: MtuPlan, mtu: int) -> str:
    headers = _PING_HEADERS[plan["inner"] or "ipv4"]
    six = "-6 " if plan["inner"] == "ipv6" else ""
    return (
        f"Then `ping {six}-M do -s {mtu - headers} POD` is answered by a pod on another node ({headers} bytes are "
        "headers)."
    )
