"""What findings are drawn from, and how their evidence is worded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from vxtool.analysis.conversations import Conversations
from vxtool.analysis.forwarding import interface_label
from vxtool.analysis.knowledge import Knowledge, address_text
from vxtool.analysis.outcomes import Group, Judge, Judged
from vxtool.analysis.sizes import SuperFrames
from vxtool.analysis.times import rfc3339
from vxtool.analysis.traffic import Overlay, protocol_name
from vxtool.engine.tables import FlowKey, Sample, Tables

if TYPE_CHECKING:
    from vxtool.analysis.model import Counts, Evidence, Input, Mtu, Overhead

MOST_EVIDENCE = 5


class Case(NamedTuple):
    """Everything a finding may rest on."""

    tables: Tables
    inputs: Sequence[Input]
    knowledge: Knowledge
    judge: Judge
    judged: Sequence[Judged]  # of all scopes
    in_scope: Sequence[Judged]
    groups: Sequence[Group]  # the same journeys, by route and outcome: of all scopes
    groups_in_scope: Sequence[Group]
    scope: Literal["tunnel", "ip"]
    counts: Counts
    conversations: Conversations
    overlay: Overlay | None
    overhead: Overhead
    mtu: Mtu
    super_frames: SuperFrames

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

    def samples(self, items: Iterable[Judged], describe: str) -> list[Evidence]:
        """The earliest records of these journeys; `describe` may use {flow}, {size}, {ingress} and {egress}."""
        from heapq import nsmallest  # here, because most captures raise no finding

        rows = nsmallest(
            MOST_EVIDENCE,
            ((sample, item) for item in items for sample in item.cell.samples),
            key=lambda row: row[0],
        )
        return [self._sample(sample, item, describe) for sample, item in rows]

    def starts(self, items: Iterable[Judged], describe: str) -> list[Evidence]:
        """The first record of each of these: where only some of their datagrams are meant, and not kept apart."""
        from heapq import nsmallest

        rows = nsmallest(MOST_EVIDENCE, items, key=lambda item: item.cell.samples[0])
        return [self._sample(item.cell.samples[0], item, describe) for item in rows]

    def _sample(self, sample: Sample, item: Judged, describe: str) -> Evidence:
        return self.evidence(
            sample,
            describe.format(
                flow=self.flow(item.flow),
                size=sizes(item),
                ingress=self.label(item, "ingress"),
                egress=self.label(item, "egress"),
            ),
        )

    def flow(self, flow: FlowKey) -> str:
        """`curl-pod 172.20.0.107:32788 → 172.20.2.4:80 tcp`; the outer addresses where the inside holds no IP."""
        if not flow.source:
            row = self.tables.flows.get(flow)
            source, destination = (row.outer_source, row.outer_destination) if row else (b"", b"")
            ends = f"{address_text(source) or '?'} → {address_text(destination) or '?'}"
            return f"{ends} {protocol_name(flow.protocol)}"
        return (
            f"{self.end(flow.source, flow.source_port, flow.destination_port)} → "
            f"{self.end(flow.destination, flow.destination_port, flow.destination_port)} "
            f"{protocol_name(flow.protocol)}"
        )

    def end(self, address: bytes, port: int, other_port: int) -> str:
        text = address_text(address) or "?"
        # An ICMP echo has an identifier, and no ports.
        if port >= 0 and other_port >= 0:
            text = f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"
        name = self.knowledge.endpoint_name(address)
        return f"{name} {text}" if name else text


def sizes(item: Judged) -> str:
    cell = item.cell
    return f"{cell.smallest}" if cell.smallest == cell.largest else f"{cell.smallest} to {cell.largest}"


def number(count: int, what: str, plural: str | None = None) -> str:
    """`1 datagram`, `2,000 datagrams`."""
    return f"{count:,} {what if count == 1 else plural or what + 's'}"
