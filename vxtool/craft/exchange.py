"""Conversations between the ends of a world as trains, each with its way across the router."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from vxtool.craft.build import CRITICAL, dsr_option
from vxtool.craft.conversation import Connection, Datagrams, Message, Ping, connection, datagrams, ping
from vxtool.craft.plan import Item
from vxtool.craft.router import Interface, Passage
from vxtool.craft.traffic import Traffic
from vxtool.craft.train import Train
from vxtool.craft.values import End
from vxtool.craft.world import Node, Pod, World
from vxtool.errors import UsageError
from vxtool.packet import (
    ICMP,
    TCP,
    UDP,
    VXLAN,
    Ethernet,
    Geneve,
    ICMPv6,
    IPv4,
    IPv6,
    Layer,
    Vlan,
    encode,
    flow_port,
)
from vxtool.packet.geneve import IANA_PORT as GENEVE_PORT
from vxtool.packet.ipv4 import DONT_FRAGMENT
from vxtool.packet.tcp import SYN
from vxtool.packet.vxlan import LINUX_PORT

_FIRST_PORT = 32768
_MOST_MESSAGES = 200_000  # each is a template of its own
_AT_NODE = 30_000  # ns that a node takes to pass on what is for a service


class _End(NamedTuple):
    """One end of a conversation."""

    address: str
    node: Node
    vni: int | None  # that its node puts on its packets


def items_of(traffic: Traffic, world: World, start_ns: int, seed: int, number: int) -> list[Item]:
    """The trains of a conversation, or of many that are alike, and how each crosses the router."""
    near = _end(traffic.from_, traffic, 0, world)
    far = _end(traffic.to, traffic, 1, world)
    if near.node.interface == far.node.interface:
        raise UsageError(f"{traffic.from_} and {traffic.to} are behind one interface; nothing crosses the router")
    plain = _is_plain(traffic)
    messages = _messages(replace(traffic, count=1) if plain else traffic, f"{seed}/{number}")
    said = list(islice(messages, _MOST_MESSAGES + 1))
    counts = {forth: sum(message.forth == forth for message in said) for forth in (True, False)}
    if len(said) > _MOST_MESSAGES:
        raise UsageError(f"more than {_MOST_MESSAGES:,} packets in one conversation; repeat a shorter one")
    seen = {True: 0, False: 0}
    items: list[Item] = []
    for message in said:
        index = seen[message.forth]
        seen[message.forth] += 1
        ends = (near, far) if message.forth else (far, near)
        train = _train(traffic, message, ends, index, counts[message.forth])
        train = replace(train, time_ns=start_ns + traffic.at + message.time_ns)
        if plain:
            train = _counting(train, traffic)
        passage = _passage(traffic, message, ends, world)
        if traffic.geneve_dsr is not None and message.forth:
            items.append(_to_service(traffic, train, passage, traffic.geneve_dsr, world))
        items += [Item(each, passage, traffic.fragment) for each in _with_ports(train, traffic)]
    return items


def _is_plain(traffic: Traffic) -> bool:
    """Whether the packets of either direction are one train: many echoes or datagrams of which none is lost."""
    if traffic.kind == "udp" and traffic.family == 6:
        return False  # each has a number in its data
    return traffic.kind != "tcp" and traffic.count > 1 and traffic.repeat == 1 and not (
        traffic.drop or traffic.too_large is not None or _too_large(traffic) is not None
    )


def _counting(train: Train, traffic: Traffic) -> Train:
    """The first packet of one direction as all of them."""
    steps: dict[tuple[int, str], int] = {}
    for index, layer in enumerate(train.layers):
        if isinstance(layer, IPv4):
            steps[index, "identification"] = 1
        elif isinstance(layer, ICMP | ICMPv6):
            steps[index, "rest"] = 1
    return replace(train, steps=steps, count=traffic.count, interval_ns=_interval(traffic))


def _interval(traffic: Traffic) -> int:
    usual = 1_000_000_000 if traffic.kind == "ping" else 1_000_000
    return usual if traffic.interval is None else traffic.interval


def _too_large(traffic: Traffic) -> int | None:
    """The most data that passes where the router refuses what is larger than its egress's MTU."""
    whole = traffic.df or traffic.underlay == 6
    if traffic.tunnel == "none":
        whole = traffic.inner_df[0] or traffic.family == 6
    if traffic.mtu is None or not (traffic.silent or whole):
        return traffic.too_large
    headers = {"tcp": 32, "udp": 8, "ping": 8}[traffic.kind] + (40 if traffic.family == 6 else 20)
    if traffic.tunnel != "none":
        headers += 30 + (40 if traffic.underlay == 6 else 20)  # UDP, VXLAN or Geneve, Ethernet
    most = traffic.mtu - headers
    return most if traffic.too_large is None else min(most, traffic.too_large)


def _to_service(traffic: Traffic, train: Train, passage: Passage, service: End, world: World) -> Item:
    """What the client sent to the service's address, before its first node put it into the tunnel."""
    inner = train.inner_index or 0
    ip, transport = train.layers[inner], train.layers[-1]
    assert isinstance(ip, IPv4 | IPv6)
    ip = ip._replace(destination=service.address)
    if isinstance(transport, TCP | UDP) and service.port is not None:
        transport = transport._replace(destination_port=service.port)
    steps = {(at - inner, name): step for (at, name), step in train.steps.items() if at >= inner}
    before = passage.latency_ns + _AT_NODE
    plain = replace(train, layers=(ip, transport), steps=steps, time_ns=train.time_ns - before)
    uplink = traffic.egress[1]
    ingress = passage.egress if uplink is None else world.interface(uplink)
    return Item(plain, replace(passage, ingress=ingress, egress=passage.ingress, drop=0.0, misroute=None))


def _end(name: str, traffic: Traffic, side: int, world: World) -> _End:
    pod: Pod | None = world.pod(name)
    node = traffic.node[side] or (pod.node if pod else None)
    if node is None:
        raise UsageError(f"{name} is no pod; say behind which node it is, as in node = [\"k8s-ctr\", \"k8s-w0\"]")
    address = name
    if pod is not None:
        address = pod.address if traffic.family == 4 else pod.address6 or ""
    if not address or (":" in address) != (traffic.family == 6):
        raise UsageError(f"{name} has no IPv{traffic.family} address")
    vni = traffic.vni[side]
    if vni is None and pod is not None:
        vni = pod.identity & 0xFFFFFF
    if vni is None and traffic.tunnel != "none":
        raise UsageError(f"{name} is no pod; say its VNI, as in vni = [2, 17701]")
    return _End(address, world.node(node), vni)


def _messages(traffic: Traffic, seed: str) -> Iterator[Message]:
    latency = traffic.latency[0]
    if traffic.kind == "ping":
        asked = Ping(
            count=traffic.count,
            interval_ns=_interval(traffic),
            identifier=traffic.icmp_id,
            size=84 if traffic.size is None else traffic.size,
            payload=traffic.payload,
            answered=traffic.answered,
            turnaround_ns=456_000 if traffic.turnaround is None else traffic.turnaround,
            drop=traffic.drop,
            too_large=_too_large(traffic),
            seed=seed,
        )
        return ping(asked, traffic.family == 6, latency)
    if traffic.kind == "udp":
        flood = Datagrams(
            count=traffic.count,
            interval_ns=_interval(traffic),
            ports=traffic.port,
            size=512 if traffic.request is None else traffic.request,
            answer=traffic.response,
            drop=traffic.drop,
            too_large=_too_large(traffic),
            seed=seed,
        )
        return datagrams(flood, latency)
    play = Connection(
        ports=traffic.port,
        request=80 if traffic.request is None else traffic.request,
        response=1_000 if traffic.response is None else traffic.response,
        mss=traffic.mss,
        window=traffic.window,
        super_frames=traffic.super_frames,
        retries=traffic.retries,
        answered=traffic.answered,
        lose=traffic.lose,
        drop=traffic.drop,
        too_large=_too_large(traffic),
        seed=seed,
    )
    return connection(play, latency)


def _train(traffic: Traffic, message: Message, ends: tuple[_End, _End], index: int, count: int) -> Train:
    """`index` of `count` messages that this end says, in one run of the conversation."""
    source, destination = ends
    side = 0 if message.forth else 1
    room = max(1, traffic.super_frames)  # identifications that a record takes
    steps: dict[tuple[int, str], int] = {}
    inner: list[Layer] = []
    tunnelled = traffic.tunnel != "none" and not (traffic.geneve_dsr and not message.forth)
    address = source.address
    if traffic.geneve_dsr and not message.forth:
        address = traffic.geneve_dsr.address  # the answer comes straight from the service's address
    if traffic.family == 6:
        inner.append(IPv6(address, destination.address, hop_limit=traffic.inner_ttl))
    else:
        inner.append(
            IPv4(
                address,
                destination.address,
                ttl=traffic.inner_ttl,
                identification=traffic.inner_id[side] + index * room & 0xFFFF,
                flags=DONT_FRAGMENT if traffic.inner_df[side] else 0,
            )
        )
    transport = message.transport
    service = traffic.geneve_dsr
    if service is not None and service.port is not None and not message.forth and isinstance(transport, TCP | UDP):
        transport = transport._replace(source_port=service.port)
    inner.append(transport)
    link: tuple[Layer, ...] = (
        Ethernet(source.node.mac, destination.node.mac),
        *(Vlan(vid) for vid in traffic.vlan),
    )
    layers: list[Layer] = inner
    if tunnelled:
        outer = _outer(traffic, message, ends, index * room, inner)
        layers = [*outer, *inner]
    if traffic.repeat > 1:
        steps = _repeat_steps(layers, message.forth, count * room)
    return Train(
        tuple(layers),
        message.payload,
        link,
        steps,
        count=traffic.repeat,
        interval_ns=traffic.every,
    )


def _outer(
    traffic: Traffic, message: Message, ends: tuple[_End, _End], index: int, inner: list[Layer]
) -> list[Layer]:
    source, destination = ends
    side = 0 if message.forth else 1
    frame = Ethernet(source.node.overlay_mac, destination.node.overlay_mac)
    header: VXLAN | Geneve
    port = LINUX_PORT
    if traffic.tunnel == "geneve":
        port = GENEVE_PORT
        options, flags = b"", 0
        first = isinstance(message.transport, TCP) and bool(message.transport.flags & SYN)
        if traffic.geneve_dsr is not None and first:
            options = dsr_option(traffic.geneve_dsr.address, traffic.geneve_dsr.port or 0)
            flags = CRITICAL
        header = Geneve(source.vni or 0, flags=flags, options=options)
    else:
        header = VXLAN(source.vni or 0)
    chosen = traffic.source_port[side]
    if chosen is None:
        chosen = flow_port(encode(frame, *inner, payload=b""))
    ip: IPv4 | IPv6
    if traffic.underlay == 6:
        if not source.node.address6 or not destination.node.address6:
            raise UsageError(f"{source.node.name} or {destination.node.name} has no address6")
        ip = IPv6(source.node.address6, destination.node.address6)
        udp = UDP(chosen, port)
    else:
        ip = IPv4(
            source.node.address,
            destination.node.address,
            identification=traffic.id[side] + index & 0xFFFF,
            flags=DONT_FRAGMENT if traffic.df else 0,
        )
        udp = UDP(chosen, port, checksum=0)
    return [ip, udp, header, frame]


def _repeat_steps(layers: list[Layer], forth: bool, packets: int) -> dict[tuple[int, str], int]:
    """What differs from one run of a conversation to the next: the client's port, and identifications."""
    steps: dict[tuple[int, str], int] = {}
    for index, layer in enumerate(layers):
        if isinstance(layer, IPv4):
            steps[index, "identification"] = packets
        if isinstance(layer, ICMP | ICMPv6):
            steps[index, "rest"] = 1 << 16
        last = index == len(layers) - 1
        if isinstance(layer, TCP | UDP):
            # The tunnel's source port follows the flow; the server's port, and the tunnel's, stay.
            steps[index, "source_port" if forth or not last else "destination_port"] = 1
    return steps


def _with_ports(train: Train, traffic: Traffic) -> list[Train]:
    """The train, spread over the few source ports that the tunnel uses."""
    if traffic.source_ports is None or train.tunnel is None:
        return [train]
    index = next(at for at, layer in enumerate(train.layers) if isinstance(layer, UDP))
    steps = {key: step for key, step in train.steps.items() if key != (index, "source_port")}
    spread = replace(train, steps=steps).spread(traffic.source_ports)
    made = []
    for number, each in enumerate(spread):
        udp = each.layers[index]
        assert isinstance(udp, UDP)
        layers = list(each.layers)
        layers[index] = udp._replace(source_port=_FIRST_PORT + number)
        made.append(replace(each, layers=tuple(layers)))
    return made


def _passage(traffic: Traffic, message: Message, ends: tuple[_End, _End], world: World) -> Passage:
    interfaces: Mapping[str, Interface] = world.interfaces
    wrong = traffic.misroute if message.forth else None
    egress = traffic.egress[0 if message.forth else 1]
    return Passage(
        ingress=interfaces[ends[0].node.interface],
        egress=interfaces[ends[1].node.interface] if egress is None else world.interface(egress),
        latency_ns=traffic.latency[0 if message.forth else 1],
        drop=1.0 if message.lost else 0.0,
        misroute=None if wrong is None else world.interface(wrong[0]),
        misroute_share=1.0 if wrong is None else wrong[1],
        mtu=traffic.mtu,
        silent=traffic.silent,
    )
