"""The like of `struct_loop`, with scapy: RawPcapReader, which is its fastest, and its decoders for all layers."""

from __future__ import annotations

import json
import sys

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import CookedLinuxV2
from scapy.layers.vxlan import VXLAN
from scapy.utils import RawPcapReader


def main(path: str) -> None:
    flows: dict[tuple[object, ...], list[int]] = {}
    waiting: dict[tuple[object, ...], int] = {}
    records = forwarded = latency = 0
    for data, meta in RawPcapReader(path):
        records += 1
        tunnel = CookedLinuxV2(data).getlayer(VXLAN)
        if tunnel is None:
            continue
        ip = tunnel[IP]
        transport = ip[TCP] if ip.proto == 6 else ip[UDP]
        flow = (tunnel.vni, ip.proto, ip.src, ip.dst, transport.sport, transport.dport)
        counts = flows.setdefault(flow, [0, 0])
        counts[0] += 1
        counts[1] += ip.len
        key = (flow, ip.id)
        time = meta.sec * 1_000_000 + meta.usec
        came_in = waiting.pop(key, None)
        if came_in is None:
            waiting[key] = time
        else:
            forwarded += 1
            latency += time - came_in
    print(json.dumps({"records": records, "flows": len(flows), "forwarded": forwarded}))


if __name__ == "__main__":
    main(sys.argv[1])
