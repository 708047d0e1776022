"""The like of `struct_loop`, with pyshark: tshark decodes, its output becomes objects."""

from __future__ import annotations

import json
import sys

import pyshark


def main(path: str) -> None:
    flows: dict[tuple[object, ...], list[int]] = {}
    waiting: dict[tuple[object, ...], float] = {}
    records = forwarded = 0
    latency = 0.0
    capture = pyshark.FileCapture(path, decode_as={"udp.port==8472": "vxlan"}, keep_packets=False)
    for packet in capture:
        records += 1
        layers = packet.layers
        names = [layer.layer_name for layer in layers]
        if "vxlan" not in names:
            continue
        tunnel = names.index("vxlan")
        ip = layers[names.index("ip", tunnel)]
        transport = layers[names.index("ip", tunnel) + 1]
        flow = (layers[tunnel].vni, ip.proto, ip.src, ip.dst, transport.srcport, transport.dstport)
        counts = flows.setdefault(flow, [0, 0])
        counts[0] += 1
        counts[1] += int(ip.len)
        key = (flow, ip.id)
        time = float(packet.sniff_timestamp)
        came_in = waiting.pop(key, None)
        if came_in is None:
            waiting[key] = time
        else:
            forwarded += 1
            latency += time - came_in
    capture.close()
    print(json.dumps({"records": records, "flows": len(flows), "forwarded": forwarded}))


if __name__ == "__main__":
    main(sys.argv[1])
