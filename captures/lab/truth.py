"""What the kernel itself counted while a scenario ran, and what follows from it.

Three independent witnesses. (1) The kernel's counters, read before and after and subtracted:
/proc/net/snmp and snmp6, `ip -s link`, `tc -s qdisc`, and nft counters that this module places on
every hook, which tell tunnel packets from fragment tails from all else, for each interface or pair.
(2) The tools that made the traffic (ping, curl, iperf3, ss). (3) tshark, counting the records of the
finished file by interface and direction. `agreement` holds (1) and (3) against each other: a capture
that lost a record is not a sample, it is run again.

How nft counts. The prerouting chain stands before defragmentation, and sees what the In tap saw.
The forward chain sees a packet before it is fragmented by this machine and before the queue
discipline, so it counts datagrams that are on their way out; what the queue drops must be taken off.
A packet that is too large and has DF never reaches the forward chain. Fragments that arrive pass
one by one: a head counts as `tunnel`, its tails as `tail`. ForwDatagrams of /proc/net/snmp counts
heads and tails alike.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from topology import NAMESPACES, PORT, Lab

TABLE = "inet lab"
DIRECTIONS = {"0": "in", "1": "in", "2": "in", "3": "foreign", "4": "out"}

Counts = dict[str, int]


def place_counters(lab: Lab, namespace: str) -> None:
    """Put an nft counter on every hook of a namespace, for each interface it has now."""
    names = [row["ifname"] for row in lab.json(namespace, "ip -j link")]
    chains: dict[str, list[tuple[str, str]]] = {
        "prerouting": [(f"in {i}", f'iifname "{i}"') for i in names],
        "forward": [(f"forward {i} {o}", f'iifname "{i}" oifname "{o}"') for i in names for o in names],
        "input": [(f"local {i}", f'iifname "{i}"') for i in names],
        "output": [(f"sent {o}", f'oifname "{o}"') for o in names],
    }
    classes = {
        "all": ("",),
        "tunnel": (f"udp dport {PORT}",),
        "tail": ("ip frag-off & 0x1fff != 0", "frag frag-off != 0"),
    }
    counters: list[str] = []
    hooks: list[str] = []
    for hook, places in chains.items():
        # -450 stands before conntrack's defragmentation (-400).
        priority = -450 if hook == "prerouting" else 0
        rules = [f"type filter hook {hook} priority {priority};"]
        for place, match in places:
            for class_name, conditions in classes.items():
                counter = f"{place} {class_name}".replace(" ", "__")
                counters.append(f"counter {counter} {{ }}")
                rules.extend(f"{match} {condition} counter name {counter}" for condition in conditions)
        hooks.append(f"chain {hook} {{\n" + "\n".join(rules) + "\n}")
    text = f"table {TABLE} {{\n" + "\n".join(counters + hooks) + "\n}\n"
    lab.run(namespace, ["nft", text])


def snapshot(lab: Lab, watched: str) -> dict[str, Any]:
    """Read all counters: the protocol counters everywhere, links, queues and nft where it is watched."""
    counts: dict[str, Any] = {}
    for name in NAMESPACES:
        counts[name] = {
            "snmp": _snmp(lab.run(name, "cat /proc/net/snmp")),
            "snmp6": _snmp6(lab.run(name, "cat /proc/net/snmp6", check=False)),
        }
    counts[watched]["links"] = {
        row["ifname"]: {side: row["stats64"][side] for side in ("rx", "tx")}
        for row in lab.json(watched, "ip -s -j link")
    }
    counts[watched]["qdiscs"] = {
        row["dev"]: {
            "kind": row["kind"],
            **{key: row[key] for key in ("packets", "bytes", "drops", "overlimits")},
        }
        for row in lab.json(watched, "tc -s -j qdisc")
        if row["dev"] != "lo"
    }
    listed = lab.json(watched, f"nft -j list counters table {TABLE}")["nftables"]
    counts[watched]["nft"] = {
        row["counter"]["name"].replace("__", " "): row["counter"]["packets"] for row in listed if "counter" in row
    }
    return counts


def _snmp(text: str) -> Counts:
    lines = text.splitlines()
    counts: Counts = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        family, *keys = names.split()
        counts.update(
            (family.rstrip(":") + key, int(value)) for key, value in zip(keys, values.split()[1:], strict=True)
        )
    return counts


def _snmp6(text: str) -> Counts:
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


# Settings, not counters, that /proc/net/snmp lists among its numbers.
NOT_COUNTED = {
    "IpForwarding",
    "IpDefaultTTL",
    "TcpRtoAlgorithm",
    "TcpRtoMin",
    "TcpRtoMax",
    "TcpMaxConn",
    "TcpCurrEstab",
}


def difference(before: Any, after: Any) -> Any:
    """Return after - before at every leaf, without the leaves that did not move."""
    if isinstance(after, dict):
        parts: dict[str, Any] = {
            key: difference(before.get(key, {} if isinstance(value, dict) else 0), value)
            for key, value in after.items()
            if key not in NOT_COUNTED
        }
        return {key: part for key, part in parts.items() if part}
    return after if isinstance(after, str) else after - before


class Counted:
    """The nft and queue counters of the watched namespace, asked by name."""

    def __init__(self, counters: dict[str, Any], watched: str) -> None:
        self.nft: Counts = counters[watched].get("nft", {})
        self.qdiscs: dict[str, dict[str, Any]] = counters[watched].get("qdiscs", {})
        self.snmp: Counts = counters[watched].get("snmp", {})

    def drops(self, interface: str) -> int:
        """Return how many packets the queue discipline of an interface dropped."""
        return int(self.qdiscs.get(interface, {}).get("drops", 0))

    def whole(self, hook: str, scope: str) -> dict[tuple[str, ...], int]:
        """Return, for each interface or pair at a hook, the datagrams in (or outside) a scope.

        ``scope`` is `tunnel`, `ip` (everything), or `other` (everything but the tunnel). Tails of
        fragments are never counted: a datagram counts by its head.
        """
        found: dict[tuple[str, ...], int] = {}
        for name, packets in self.nft.items():
            kind, *place, class_name = name.split()
            if kind != hook or class_name != "all":
                continue
            tunnel = self.nft.get(" ".join((kind, *place, "tunnel")), 0)
            tails = self.nft.get(" ".join((kind, *place, "tail")), 0)
            count = {"tunnel": tunnel, "ip": packets - tails, "other": packets - tails - tunnel}[scope]
            if count:
                found[tuple(place)] = count
        return found

    def outcomes(self, scope: str) -> dict[str, Any]:
        """Return the outcomes that the counters prove for a scope.

        Came in = delivered + forwarded + dropped. What a queue dropped belongs to the scope of the
        packets that used it; the scenarios with such drops send nothing else by that interface.
        """
        came_in = sum(self.whole("in", scope).values())
        delivered = sum(self.whole("local", scope).values())
        sent = {place: n for place, n in self.whole("sent", scope).items() if place != ("lo",)}
        paths: list[list[Any]] = []
        for (ingress, egress), count in sorted(self.whole("forward", scope).items()):
            lost = self.drops(egress) if scope != "other" else 0
            if count - lost:
                paths.append([ingress, egress, count - lost])
        forwarded = sum(path[2] for path in paths)
        originated = sum(sent.values())
        return {
            "datagrams": came_in + originated,
            "forwarded": forwarded,
            "delivered": delivered,
            "dropped": came_in - delivered - forwarded,
            "originated": originated,
            "missed": 0,
            "unresolved": 0,
            "paths": paths,
        }


SOURCES = {
    "datagrams": "nft: in * + sent * (not lo), heads only; tails belong to their head",
    "forwarded": "nft: forward * less the queue discipline's drops on that egress",
    "delivered": "nft: local * (the input hook)",
    "dropped": "nft: in * - local * - forward *, plus the queue discipline's drops",
    "originated": "nft: sent * (the output hook, not lo)",
    "missed": "0: the capture agrees with the counters record by record (see records)",
    "unresolved": "0: every tap ran for a second before and after the traffic",
    "paths": "nft: forward INGRESS EGRESS, less the queue discipline's drops",
}


def count_records(path: Path) -> dict[str, int]:
    """Count the records of a capture with tshark, as {"eth-index direction class": records}.

    Direction comes from the cooked header; files without one count under "- -". Reassembly is off,
    so a head is counted as what its first bytes are, and a tail as a tail.
    """
    fields = ("sll.ifindex", "sll.pkttype", "frame.interface_name", "ip.frag_offset", "ipv6.fraghdr.offset",
              "udp.dstport", "ip.proto", "ipv6.nxt")  # fmt: skip
    command = ["tshark", "-n", "-r", str(path), "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"]
    command += ["-T", "fields", "-E", "occurrence=f", "-E", "separator=,"]
    for field in fields:
        command += ["-e", field]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    counts: Counter[str] = Counter()
    for line in printed.splitlines():
        index, packet_type, name, offset, offset6, port, protocol, next_header = line.split(",")
        if int(offset or 0) or int(offset6 or 0):
            class_name = "tail"
        elif port == str(PORT) and protocol != "1" and next_header != "58":  # ICMP errors quote a UDP header
            class_name = "tunnel"
        else:
            class_name = "other" if protocol or next_header else "not-ip"
        counts[f"{index or name or '-'} {DIRECTIONS.get(packet_type, '-')} {class_name}"] += 1
    return dict(sorted(counts.items()))


def agreement(
    records: dict[str, int],
    counted: Counted,
    links: list[dict[str, Any]],
    slaves: dict[str, str],
    *,
    scope: str = "tunnel",
    out: bool = True,
) -> str | None:
    """Hold the records of an `-i any` capture against the counters; return what differs, or None.

    ``slaves`` names for a port the bridge above it, because netfilter counts at the bridge. Without
    ``out`` the egress is not compared: there a super-frame has become its segments. Tails that the
    machine makes itself are on no hook and are not compared.
    """
    classes = {"tunnel": ("tunnel",), "ip": ("tunnel", "other")}[scope]
    names = {str(row["ifindex"]): row["ifname"] for row in links}
    seen: dict[str, Counter[str]] = {"in": Counter(), "out": Counter(), "foreign": Counter()}
    for key, count in records.items():
        index, direction, class_name = key.split()
        name = names.get(index, index)
        if class_name in classes and name not in slaves:
            seen[direction][name] += count
    told: dict[str, Counter[str]] = {"in": Counter(), "out": Counter()}
    for (ingress, *_), count in counted.whole("in", scope).items():
        told["in"][ingress] += count
    for hook in ("forward", "sent"):
        for (*_, egress), count in counted.whole(hook, scope).items():
            # On `any`, loopback is shown coming in only.
            told["out"][egress] += 0 if egress == "lo" else count
    for egress in list(told["out"]):
        told["out"][egress] -= counted.drops(egress)
    for direction in ("in", "out") if out else ("in",):
        if +seen[direction] != +told[direction]:
            there, kernel = dict(seen[direction]), dict(told[direction])
            return f"records {direction} {there} differ from the kernel's {kernel}"
    return None


def write_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON."""
    path.write_text(json.dumps(value, indent=2) + "\n")
