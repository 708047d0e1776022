"""A plain loop with `struct` over one SLL2 pcap file of VXLAN over IPv4: what one writes by hand to count flows.

Decodes each record down to the inner ports, counts each flow, and joins the two sightings of a datagram by flow
and identification for its latency. Prints its counts as JSON.
"""

from __future__ import annotations

import json
import struct
import sys


def main(path: str) -> None:
    record_header = struct.Struct("<IIII")
    short = struct.Struct(">H").unpack_from
    flows: dict[bytes, list[int]] = {}
    waiting: dict[tuple[bytes, int], int] = {}
    records = forwarded = latency = 0
    with open(path, "rb") as file:
        file.read(24)
        while len(header := file.read(16)) == 16:
            seconds, micros, captured, _ = record_header.unpack(header)
            data = file.read(captured)
            records += 1
            if short(data, 0)[0] != 0x0800 or data[29] != 17:
                continue
            udp = 20 + (data[20] & 15) * 4
            if short(data, udp + 2)[0] != 8472:
                continue
            inner = udp + 30
            length = short(data, inner + 2)[0]
            ports = inner + (data[inner] & 15) * 4
            flow = data[udp + 12 : udp + 15] + data[inner + 9 : inner + 10] + data[inner + 12 : inner + 20]
            flow += data[ports : ports + 4]
            counts = flows.get(flow)
            if counts is None:
                counts = flows[flow] = [0, 0]
            counts[0] += 1
            counts[1] += length
            key = (flow, short(data, inner + 4)[0])
            time = seconds * 1_000_000 + micros
            came_in = waiting.pop(key, None)
            if came_in is None:
                waiting[key] = time
            else:
                forwarded += 1
                latency += time - came_in
    print(json.dumps({"records": records, "flows": len(flows), "forwarded": forwarded}))


if __name__ == "__main__":
    main(sys.argv[1])
