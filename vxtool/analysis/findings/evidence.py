"""What findings are drawn from, and how their evidence is worded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from vxtool.analysis.forwarding import interface_label, lost_records
from vxtool.analysis.knowledge import Knowledge, address_text
from vxtool.analysis.outcomes import Group, Judge, Judged
from vxtool.analysis.sizes import SuperFrames
from vxtool.analysis.times import rfc3339
from vxtool.analysis.traffic import Overlay, protocol_name
from vxtool.engine.answers import Proof, Wanted
from vxtool.engine.tables import FlowKey, Sample, Tables

if TYPE_CHECKING:
    from vxtool.analysis.model import Counts, Evidence, Folded, Input, Mtu, Overhead

MOST_EVIDENCE = 5

# What a filter on the tunnel's port hides: later fragments, which have no UDP header, and the router's ICMP errors.
_BESIDE_PORTS = "icmp or icmp6 or (ip[6:2] & 0x1fff != 0) or ip6[6]=44"


class Case(NamedTuple):
    """Everything a finding may rest on."""

    tables: Tables
    inputs: Sequence[Input]
    knowledge: Knowledge
    judge: Judge
    judged: Sequence[Judged]  # of all scopes, by number
    in_scope: Sequence[Judged]
    groups: Sequence[Group]  # the same journeys, by route and outcome: of all scopes
    groups_in_scope: Sequence[Group]
    scope: Literal["tunnel", "ip"]
    counts: Counts
    overlay: Overlay | None
    overhead: Overhead
    mtu: Mtu
    super_frames: SuperFrames
    folded: Folded

    @property
    def lost_records(self) -> int:
        return lost_records(self.tables)

    @property
    def capture_command(self) -> str:
        """What captures these tunnels with all that tells of them; everything where there is none."""
        ports = sorted({port for *_, port in self.tables.queries.tunnels})
        if not ports:
            return "`tcpdump -i any`, without a filter"
        wanted = " or ".join([*(f"udp port {port}" for port in ports), _BESIDE_PORTS])
        return f"`tcpdump -i any '{wanted}'`"

    def tunnel_headers(self, source: bytes, destination: bytes) -> int:
        """What the tunnel between these adds to a packet: as measured, else what VXLAN does."""
        for item in self.in_scope:
            bundle = item.bundle
            if item.route.tunnelled and (bundle.source, bundle.destination) == (source, destination):
                return (bundle.outer_bytes - bundle.inner_bytes) // bundle.datagrams
        return 70 if len(source) == 16 else 50

    def label(self, item: Judged, side: Literal["ingress", "egress"]) -> str:
        stage = item.route.ingress if side == "ingress" else item.route.egress
        return interface_label(stage, self.tables, self.knowledge) or "an unnamed interface"

    def evidence(self, sample: Sample, text: str) -> Evidence:
        return {
            "input": self.inputs[sample.input]["path"],
            "record": sample.record,
            "time": rfc3339(sample.time),
            "text": text,
        }

    def records(self, kind: str, text: str) -> list[Evidence]:
        """The earliest records that the engine kept of a kind (`vxtool.engine.tables.SAMPLE_KINDS`)."""
        return [self.evidence(sample, text) for sample in self.tables.samples[kind]]

    def samples(self, items: Iterable[Judged], describe: str) -> list[Evidence]:
        """The earliest records of these journeys; `describe` may use {flow}, {size}, {ingress} and {egress}."""
        return self.earliest(Wanted([item.number for item in items]), describe)

    def earliest(self, wanted: Wanted, describe: str, most: int = MOST_EVIDENCE) -> list[Evidence]:
        """As `samples`, of the cells that are wanted."""
        return [self._word(proof, describe) for proof in self.judge.bundles.earliest(wanted, most)]

    def starts(self, wanted: Wanted, describe: str) -> list[Evidence]:
        """The first record of each cell: where only some of their datagrams are meant, and not kept apart."""
        return [self._word(proof, describe) for proof in self.judge.bundles.starts(wanted, MOST_EVIDENCE)]

    def _word(self, proof: Proof, describe: str) -> Evidence:
        item = self.judged[proof.bundle]
        small, large = proof.smallest, proof.largest
        return self.evidence(
            proof.sample,
            describe.format(
                flow=self.flow(proof),
                size=f"{small}" if small == large else f"{small} to {large}",
                ingress=self.label(item, "ingress"),
                egress=self.label(item, "egress"),
            ),
        )

    def flow(self, proof: Proof) -> str:
        """`curl-pod 172.20.0.107:32788 → 172.20.2.4:80 tcp`; the outer addresses where the inside holds no IP."""
        flow = proof.flow
        if flow.source:
            return self.flow_text(flow)
        ends = f"{address_text(proof.outer_source) or '?'} → {address_text(proof.outer_destination) or '?'}"
        return f"{ends} {protocol_name(flow.protocol)}"

    def flow_text(self, flow: FlowKey) -> str:
        """The same of one that has addresses."""
        return (
            f"{self.end(flow.source, flow.source_port, flow.destination_port)} → "
            f"{self.end(flow.destination, flow.destination_port, flow.destination_port)} "
            f"{protocol_name(flow.protocol)}"
        )

    def set_pods_mtu(self, mtu: int) -> str:
        """The change where a node's pods get their MTU from.

        Cilium is told the MTU of the nodes' links, off which it takes itself what its tunnel adds (its pkg/mtu).
        """
        change = f"set the pods' MTU to {mtu}"
        if self.tables.counters.nested_records:
            # Pods that are nodes themselves: what they send has their own tunnel's headers in it.
            change += f", and that of pods behind a tunnel of their own in this one to {nested_fit(mtu)}"
        if self.overlay == "vxlan":
            return change
        over_ipv6 = any(len(source) == 16 for source, *_ in self.tables.queries.tunnels)
        reserve = 70 if over_ipv6 else 50
        return (
            f"{change} (Cilium: `MTU: {mtu + reserve}` in its Helm values, off which it takes {reserve} for the "
            "tunnel; then restart its agents and the pods)"
        )

    def end(self, address: bytes, port: int, other_port: int) -> str:
        text = address_text(address) or "?"
        # An ICMP echo has an identifier, and no ports.
        if port >= 0 and other_port >= 0:
            text = f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"
        name = self.knowledge.endpoint_name(address, port=port)
        return f"{name} {text}" if name else text


def nested_fit(mtu: int) -> str:
    """What a tunnel leaves to its own pods where this fits into the one around it."""
    return f"{mtu - 50} over IPv4, {mtu - 70} over IPv6, less Geneve's options"


def number(count: int, what: str, plural: str | None = None) -> str:
    """`1 datagram`, `2,000 datagrams`."""
    return f"{count:,} {what if count == 1 else plural or what + 's'}"
