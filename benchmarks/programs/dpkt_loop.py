"""The like of `struct_loop`, with dpkt: its pcap reader, and its decoders for every layer that it has."""

from __future__ import annotations

import json
import sys

import dpkt
from dpkt.sll2 import SLL2


def main(path: str) -> None:
    flows: dict[tuple[object, ...], list[int]] = {}
    waiting: dict[tuple[object, ...], float] = {}
    records = forwarded = 0
    latency = 0.0
    with open(path, "rb") as file:
        for time, data in dpkt.pcap.Reader(file):
            records += 1
            outer = SLL2(data).data
            if not isinstance(outer, dpkt.ip.IP) or not isinstance(outer.data, dpkt.udp.UDP):
                continue
            if outer.data.dport != 8472:
                continue
            tunnel = outer.data.data  # dpkt knows no VXLAN
            ip = dpkt.ethernet.Ethernet(tunnel[8:]).data
            flow = (tunnel[4:7], ip.p, ip.src, ip.dst, ip.data.sport, ip.data.dport)
            counts = flows.setdefault(flow, [0, 0])
            counts[0] += 1
            counts[1] += ip.len
            key = (flow, ip.id)
            came_in = waiting.pop(key, None)
            if came_in is None:
                waiting[key] = time
            else:
                forwarded += 1
                latency += time - came_in
    print(json.dumps({"records": records, "flows": len(flows), "forwarded": forwarded}))


if __name__ == "__main__":
    main(sys.argv[1])
