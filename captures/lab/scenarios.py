"""The scenarios: each builds the lab, makes traffic while taps are open, and states what is to be seen.

A scenario is a function with one argument, the `Run`. Its name, with hyphens, is the capture's name,
and the first line of its docstring is what the capture shows. Counters give what is expected of the
outcomes; a scenario adds only what they cannot tell, each with its source.
"""

from __future__ import annotations

import contextlib
import json
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import truth
from taps import TUNNEL, TUNNEL_AND_ICMP, TUNNEL_AND_ICMPV6, TUNNEL_AND_TAILS, Disagreement, Tap, Taps
from topology import LXC_A, POD_A, POD_A6, POD_B, POD_B6, Lab

CLUSTER = ["cluster/ciliumendpoints.json", "cluster/ciliumidentities.json", "cluster/ciliumnodes.json"]


class Run:
    """One run of one scenario: the lab it stands in, and what it says of itself."""

    def __init__(self, lab: Lab, name: str, shows: str, directory: Path) -> None:
        self.lab = lab
        self.name = name
        self.traffic: list[dict[str, Any]] = []
        self.counted = truth.Counted({"router": {}}, "router")
        self._directory = directory
        self._truth: dict[str, Any] = {"name": name, "shows": shows}

    # Capturing

    @contextlib.contextmanager
    def capturing(
        self,
        taps: list[Tap] | None = None,
        *,
        filter: str = TUNNEL,
        watched: str = "router",
        scope: str = "tunnel",
        links: str = "addr",
        snaplen: int = 256,
    ) -> Iterator[None]:
        """Open the taps around the traffic, and write links, routes, counters and outcomes.

        Without ``taps``, one `tcpdump -i any` with ``filter``. ``links`` is the `ip -j` command whose
        output becomes the links file: `addr` or `link`.
        """
        taps = taps or [Tap(f"{self.name}.pcap", filter=filter, snaplen=snaplen)]
        rows = self.lab.json(watched, f"ip -j {links}")
        (self._directory / f"{self.name}.links.json").write_text(
            "[" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "]\n"
        )
        # As printed: a route that encapsulates has two keys `dst`, of which reading it would keep one.
        printed = [self.lab.run(watched, f"ip -j {family}route").strip()[1:-1] for family in ("", "-6 ")]
        routes = ",".join(rows.strip() for rows in printed if rows.strip())
        (self._directory / f"{self.name}.routes.json").write_text(
            "[" + routes.replace('},{"dst"', '},\n{"dst"') + "]\n"
        )
        truth.place_counters(self.lab, watched)
        before = truth.snapshot(self.lab, watched)
        with Taps(self.lab, watched, taps, self._directory):
            yield
        counters = truth.difference(before, truth.snapshot(self.lab, watched))
        self.counted = truth.Counted(counters, watched)
        records = {tap.file: truth.count_records(self._directory / tap.file) for tap in taps}
        expect = {"scope": scope, **self.counted.outcomes(scope)}
        expect["fragmented_at_source"] = sum(
            counters.get(n, {}).get("snmp", {}).get("IpFragOKs", 0) for n in ("k8s-ctr", "k8s-w0")
        )
        expect["fragmented_by_router"] = counters.get("router", {}).get("snmp", {}).get("IpFragOKs", 0)
        sources = {
            **truth.SOURCES,
            "fragmented_at_source": "snmp: IpFragOKs of both nodes (datagrams; FragCreates counts pieces)",
            "fragmented_by_router": "snmp: IpFragOKs of router",
        }
        self._truth |= {
            "captures": [{"files": [tap.file]} for tap in taps],
            "taken_on": watched,
            "command": f"captures/lab/run.py {self.name}",
            "taps": [" ".join(_quoted(tap.argv(tap.file))) for tap in taps],
            "kernel": platform.release().split("-")[0],
            "links": f"{self.name}.links.json",
            "links_command": f"ip -j {links}",
            "routes": f"{self.name}.routes.json",
            "cluster": CLUSTER,
            "traffic": self.traffic,
            "counters": counters,
            "records": records,
            "expect": expect,
            "sources": sources,
        }

    def check(self, *, scope: str = "tunnel", slaves: dict[str, str] | None = None, out: bool = True) -> None:
        """Hold the first capture (`-i any`, with indexes) against the counters; raise where they differ."""
        first = next(iter(self._truth["records"].values()))
        rows = json.loads((self._directory / f"{self.name}.links.json").read_text())
        wrong = truth.agreement(first, self.counted, rows, slaves or {}, scope=scope, out=out)
        if wrong:
            raise Disagreement(f"{self.name}: {wrong}")

    def expect(self, sources: dict[str, str] | None = None, **values: Any) -> None:
        """Add to, or replace, what is expected, and where that comes from."""
        self._truth["expect"] |= values
        self._truth["sources"] |= sources or {}

    def expect_sizes(self, *, largest_inner: int, syn_mss: int | None = None) -> None:
        """State the largest inner packet, and the MSS as tshark reads it in the SYNs."""
        self.expect(
            {
                "largest_inner": "the MTU of the pods' routes; the traffic fills it"
                if syn_mss
                else "the ping's size"
            },
            largest_inner=largest_inner,
        )
        seen = self._syn_mss()
        if syn_mss is not None:
            if min(seen, default=0) != syn_mss:
                raise Disagreement(f"{self.name}: MSS in the SYNs is {sorted(seen)}, not {syn_mss}")
            self.expect(
                {"mss": "tshark: smallest tcp.options.mss_val of the SYNs (ss -ti: 12 less, timestamps)"},
                mss=syn_mss,
            )

    def expect_wire_packets(self) -> None:
        """State how many packets crossed the wire, as the pods' TCP counted its segments."""
        counted = [self.counters()[pod]["snmp"] for pod in ("pod-a", "pod-b")]
        total = sum(snmp.get("TcpOutSegs", 0) + snmp.get("TcpRetransSegs", 0) for snmp in counted)
        self.expect({"wire_packets": "snmp: TcpOutSegs + TcpRetransSegs of both pods"}, wire_packets=total)

    def _syn_mss(self) -> set[int]:
        path = self._directory / next(iter(self._truth["records"]))
        command = ["tshark", "-n", "-r", str(path), "-d", "udp.port==8472,vxlan", "-Y", "tcp.flags.syn==1"]
        command += ["-T", "fields", "-e", "tcp.options.mss_val"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return {int(word) for word in printed.split()}

    def views(self, views: list[dict[str, Any]]) -> None:
        """State which files are to be analysed together, and what differs from `expect` there."""
        self._truth["captures"] = views

    def finish(self) -> dict[str, Any]:
        """Write the truth beside the captures, and return what is expected."""
        truth.write_json(self._directory / f"{self.name}.json", self._truth)
        expected: dict[str, Any] = self._truth["expect"]
        return expected

    def record_totals(self) -> dict[str, int]:
        """Return how many records each capture holds."""
        return {file: sum(counts.values()) for file, counts in self._truth["records"].items()}

    def counters(self) -> dict[str, Any]:
        """Return the counters of the finished capture."""
        found: dict[str, Any] = self._truth["counters"]
        return found

    # Traffic

    def ping(self, namespace: str, address: str, *, count: int = 3, size: int = 56) -> None:
        """Send echo requests, and note ping's own summary."""
        command = f"ping -n -c {count} -i 0.2 -W 1 -s {size} {address}"
        printed = self.lab.run(namespace, command, check=False)
        summary = next((line for line in printed.splitlines() if "packets transmitted" in line), "")
        self.traffic.append({"from": namespace, "command": command, "summary": summary})

    def fetch(self, namespace: str, url: str, *, options: str = "", seconds: int = 5) -> None:
        """Fetch a URL, and note the status and the bytes."""
        command = f"curl -s -o /dev/null --max-time {seconds} {options} {url}".split()
        printed = self.lab.run(namespace, [*command, "-w", "%{http_code} %{size_download}"], check=False)
        self.traffic.append({"from": namespace, "command": " ".join(command), "status_and_bytes": printed})

    @contextlib.contextmanager
    def web_server(self, namespace: str, port: int = 80, *, size: int = 5000) -> Iterator[None]:
        """Serve one page of ``size`` bytes over IPv4 and IPv6."""
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "index.html").write_bytes(b"vxtool " * (size // 7) + b"." * (size % 7))
            command = ["python3", "-m", "http.server", str(port), "--bind", "::", "--directory", directory]
            if self.lab.run(namespace, "sysctl -n net.ipv6.conf.all.disable_ipv6").strip() == "1":
                command[5] = "0.0.0.0"
            server = self.lab.start(namespace, command)
            self.lab.wait_for_port(namespace, port)
            yield
            self.lab.stop(server)

    def iperf(self, options: str, *, target: str = POD_B) -> None:
        """Run iperf3 from pod-a to pod-b, and note its totals and the MSS that ss shows meanwhile."""
        server = self.lab.start("pod-b", "iperf3 -s -1")
        self.lab.wait_for_port("pod-b", 5201)
        command = f"iperf3 -J -c {target} {options}"
        client = self.lab.start("pod-a", command)
        sockets: set[str] = set()
        deadline = time.monotonic() + 20
        while client.poll() is None:
            if time.monotonic() > deadline:
                raise Disagreement(f"{self.name}: iperf3 hangs")
            shown = self.lab.run("pod-a", "ss -tinH state established", check=False)
            sockets.update(re.findall(r"\bmss:\d+", shown))
            time.sleep(0.02)
        out, err = client.communicate()
        self.lab.stop(server)
        end = json.loads(out).get("end", {})
        if "error" in json.loads(out):
            raise Disagreement(f"{self.name}: iperf3: {json.loads(out)['error']} {err}")
        if "sum" in end:
            totals = {key: end["sum"][key] for key in ("bytes", "packets", "lost_packets")}
        else:
            sent, received = end["sum_sent"], end["sum_received"]
            totals = {
                "sent": sent["bytes"],
                "received": received["bytes"],
                "retransmits": sent["retransmits"],
            }
        self.traffic.append({"from": "pod-a", "command": command, "totals": totals, "ss -ti": sorted(sockets)})


    def udp_super_frames(self, count: int, size: int, segment: int, *, target: str = POD_B) -> None:
        """Send ``count`` times ``size`` bytes from pod-a to pod-b, in UDP datagrams of ``segment`` bytes each, that
        segmentation offload cuts as late as it can."""
        server = self.lab.start("pod-b", ["python3", "-c", _DATAGRAM_SINK])
        time.sleep(0.5)
        command = ["python3", "-c", _DATAGRAM_SENDER, target, str(count), str(size), str(segment)]
        self.lab.run("pod-a", command)
        time.sleep(0.5)
        self.lab.stop(server)
        shown = f"{count} x send({size} bytes), UDP_SEGMENT {segment}, to {target}, 2 ms apart"
        self.traffic.append({"from": "pod-a", "command": shown})


# UDP_SEGMENT, 103 of SOL_UDP, 17, is in Python's socket module from 3.12 on only (include/uapi/linux/udp.h).
_DATAGRAM_SENDER = """
import os, socket, sys, time
target, count, size, segment = sys.argv[1:]
one = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(17, 103, int(segment))
one.connect((target, 4433))
for _ in range(int(count)):
    one.send(os.urandom(int(size)))
    time.sleep(0.002)
"""
_DATAGRAM_SINK = """
import socket
one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
one.bind(("::", 4433))
while True:
    one.recv(65536)
"""


def _quoted(words: list[str]) -> list[str]:
    return [f"'{word}'" if re.search(r"[ &()]", word) else word for word in words]


# Scenarios


def ping_http(run: Run) -> None:
    """ping and HTTP through VXLAN, in eth1 out eth2 and back"""
    run.lab.build()
    run.lab.overlay()
    run.lab.offloads_off()
    with run.capturing(snaplen=262144), run.web_server("pod-b"):
        run.ping("pod-a", POD_B)
        run.ping("pod-b", POD_A, count=2)
        run.fetch("pod-a", f"http://{POD_B}/")
    run.check()
    run.expect_sizes(largest_inner=1450, syn_mss=1410)


def iperf_offload_on(run: Run) -> None:
    """iperf3 with offloads on: super-frames in and out"""
    run.lab.build()
    run.lab.overlay()
    with run.capturing(links="link"):
        run.iperf("-n 1M -l 64K -b 40M")
    run.check()
    run.expect_sizes(largest_inner=1450, syn_mss=1410)
    run.expect(
        {"largest_inner": "not stated: full segments ride in super-frames, which are left out"},
        largest_inner=None,
    )
    run.expect_wire_packets()


def iperf_offload_off(run: Run) -> None:
    """iperf3 with offloads off: one record for each packet"""
    run.lab.build()
    run.lab.overlay()
    run.lab.offloads_off()
    with run.capturing(links="link"):
        run.iperf("-n 256K -l 16K -b 8M")
    run.check()
    run.expect_sizes(largest_inner=1450, syn_mss=1410)


def iperf_resegmented(run: Run) -> None:
    """iperf3 with offloads off on the router's eth2 only: super-frames in, segments out"""
    run.lab.build()
    run.lab.overlay()
    run.lab.offload_off("router", "eth2")
    run.lab.fix_neighbours()
    with run.capturing(links="link"):
        run.iperf("-n 256K -l 64K -b 20M")
    run.check(out=False)
    tx = run.counters()["router"]["links"]["eth2"]["tx"]["packets"]
    run.expect({"egress_records": "ip -s link: eth2 tx packets (eth2 has no queue)"}, egress_records=tx)
    run.expect_sizes(largest_inner=1450, syn_mss=1410)
    run.expect_wire_packets()


def native_misroute(run: Run) -> None:
    """no overlay and no route for the pods: in eth1, out eth0 by the default route, never answered"""
    run.lab.build(pod_mtu=1500)
    with run.capturing(filter="net 172.20.0.0/16", scope="ip"):
        run.ping("pod-a", POD_B)
        run.fetch("pod-a", f"http://{POD_B}/", seconds=4)
    run.check(scope="ip")
    run.expect_sizes(largest_inner=84)
    run.expect({"mss": "tshark: the one MSS that was offered; no SYN-ACK came"}, mss=1460)


def drops(run: Run) -> None:
    """a queue on eth2 that is too short drops TCP; its own count is the truth"""
    _drops(run, "-n 256K -l 16K -w 40K", queue="rate 20mbit burst 4000 limit 16000")


def drops_udp(run: Run) -> None:
    """the same queue under UDP that does not slow down"""
    _drops(run, "-u -n 280K -l 1400 -b 30M", queue="rate 12mbit burst 4000 limit 12000")


def _drops(run: Run, iperf: str, queue: str) -> None:
    run.lab.build()
    run.lab.overlay()
    run.lab.offloads_off()
    run.lab.fix_neighbours()
    run.lab.run("router", f"tc qdisc add dev eth2 root tbf {queue}")
    run.traffic.append({"on": "router", "command": f"tc qdisc add dev eth2 root tbf {queue}"})
    with run.capturing():
        run.iperf(iperf)
    run.check()
    if not run.counted.drops("eth2"):
        raise Disagreement(f"{run.name}: the queue dropped nothing")
    tcp = "-u" not in iperf.split()
    run.expect_sizes(largest_inner=1450 if tcp else 1428, syn_mss=1410)
    run.expect({"dropped": "tc -s qdisc: drops of eth2 (equal to nft: in * less what left)"})
    if not tcp:
        run.expect({"largest_inner": "1400 bytes of data + 8 UDP + 20 IPv4"})


def drops_offload_on(run: Run) -> None:
    """the same queue with offloads on: it cuts super-frames into segments and drops some of these"""
    run.lab.build()
    run.lab.overlay()
    run.lab.fix_neighbours()
    _drops_of_segments(run, largest_inner=1450, syn_mss=1410)


def drops_offload_on_ipv6(run: Run) -> None:
    """the same over an IPv6 underlay, whose packets have no identification, between IPv6 pods"""
    run.lab.build(ipv6=True, pod_mtu=1430)
    run.lab.overlay(underlay=6, ipv6=True, mtu="1430")
    _drops_of_segments(run, largest_inner=1430, syn_mss=1370, target=POD_B6)


def _drops_of_segments(run: Run, *, largest_inner: int, syn_mss: int, target: str = POD_B) -> None:
    # A burst of one full packet makes the queue cut every super-frame, so that it counts segments.
    queue = "tc qdisc add dev eth2 root tbf rate 20mbit burst 1600 limit 16000"
    run.lab.run("router", queue)
    run.traffic.append({"on": "router", "command": queue})
    with run.capturing():
        run.iperf("-n 256K -l 32K -w 40K", target=target)
    run.check(out=False)
    if not run.counted.drops("eth2"):
        raise Disagreement(f"{run.name}: the queue dropped nothing")
    run.expect_sizes(largest_inner=largest_inner, syn_mss=syn_mss)
    tx = run.counters()["router"]["links"]["eth2"]["tx"]["packets"]
    untold = "no counter tells how many datagrams lost a segment"
    run.expect(
        {
            "wire_packets_lost": "tc -s qdisc: drops of eth2, each a segment",
            "egress_records": "ip -s link: eth2 tx packets; over IPv6 these hold neighbour discovery too",
            "forwarded": untold,
            "dropped": untold,
            "paths": untold,
        },
        wire_packets_lost=run.counted.drops("eth2"),
        egress_records=tx if target == POD_B else None,
        forwarded=None,
        dropped=None,
        paths=None,
    )


def udp_resegmented(run: Run) -> None:
    """super-frames of UDP, with offloads off on the router's eth2 only: super-frames in, segments out"""
    run.lab.build()
    run.lab.overlay()
    run.lab.offload_off("router", "eth2")
    run.lab.fix_neighbours()
    with run.capturing():
        run.udp_super_frames(12, 30_500, 1400)
    run.check(out=False)
    tx = run.counters()["router"]["links"]["eth2"]["tx"]["packets"]
    got = run.counters()["pod-b"]["snmp"]["UdpInDatagrams"]
    run.expect(
        {
            "egress_records": "ip -s link: eth2 tx packets (eth2 has no queue)",
            "wire_packets": "snmp: UdpInDatagrams of pod-b",
            "wire_packets_lost": "the same, which equals what left",
        },
        egress_records=tx,
        wire_packets=got,
        wire_packets_lost=tx - got,
    )


def resegmented_ethernet(run: Run) -> None:
    """offloads off on the router's eth2 only, at once as SLL2 and as one Ethernet file for each interface"""
    run.lab.build()
    run.lab.overlay()
    run.lab.offload_off("router", "eth2")
    run.lab.fix_neighbours()
    taps = [
        Tap(f"{run.name}-sll2.pcap"),
        Tap(f"{run.name}-eth1.pcap", interfaces=("eth1",)),
        Tap(f"{run.name}-eth2.pcap", interfaces=("eth2",)),
    ]
    with run.capturing(taps):
        run.iperf("-n 128K -l 64K -b 20M")
    run.check(out=False)
    run.expect_sizes(largest_inner=1450, syn_mss=1410)
    run.expect_wire_packets()
    both = [tap.file for tap in taps[1:]]
    run.views([{"files": [taps[0].file]}, {"files": both, "interfaces": ["eth1", "eth2"]}])


def drops_udp_offload_on(run: Run) -> None:
    """super-frames of UDP into a queue that cuts them into segments and drops some of these"""
    run.lab.build()
    run.lab.overlay()
    run.lab.fix_neighbours()
    queue = "tc qdisc add dev eth2 root tbf rate 20mbit burst 1600 limit 16000"
    run.lab.run("router", queue)
    run.traffic.append({"on": "router", "command": queue})
    with run.capturing():
        run.udp_super_frames(20, 30_500, 1400)
    run.check(out=False)
    if not run.counted.drops("eth2"):
        raise Disagreement(f"{run.name}: the queue dropped nothing")
    tx = run.counters()["router"]["links"]["eth2"]["tx"]["packets"]
    untold = "no counter tells how many datagrams lost a segment"
    run.expect(
        {
            "wire_packets": "ip -s link: eth2 tx packets; tc -s qdisc: drops of eth2",
            "wire_packets_lost": "tc -s qdisc: drops of eth2, each a segment",
            "egress_records": "ip -s link: eth2 tx packets",
            "forwarded": untold,
            "dropped": untold,
            "paths": untold,
        },
        wire_packets=tx + run.counted.drops("eth2"),
        wire_packets_lost=run.counted.drops("eth2"),
        egress_records=tx,
        forwarded=None,
        dropped=None,
        paths=None,
    )


def black_hole(run: Run) -> None:
    """a netfilter rule on the router drops large packets in silence"""
    run.lab.build()
    run.lab.overlay()
    run.lab.offloads_off()
    # Before the counters of the forward chain, so that these see only what may pass.
    rule = (
        "table inet hole { chain hole { type filter hook forward priority -10; "
        'oifname "eth2" meta length > 1400 drop; }; }'
    )
    run.lab.run("router", ["nft", rule])
    run.traffic.append({"on": "router", "command": f"nft '{rule}'"})
    with run.capturing(filter=TUNNEL_AND_ICMP), run.web_server("pod-b"):
        run.ping("pod-a", POD_B)
        _post(run)
    run.check()
    run.expect_sizes(largest_inner=1450, syn_mss=1410)


def pods_mtu_1500(run: Run) -> None:
    """pods left at MTU 1500: the nodes fragment their outer packets; with the tails, and without them"""
    run.lab.build(pod_mtu=1500)
    run.lab.overlay(mtu="lock 1500")
    run.lab.offloads_off()
    taps = [Tap("pods-mtu-1500.pcap", filter=TUNNEL_AND_TAILS), Tap("pods-mtu-1500-filtered.pcap")]
    with run.capturing(taps, links="link"):
        run.ping("pod-a", POD_B, size=1472)
        run.iperf("-n 128K -l 16K -b 8M")
    run.check()
    run.expect_sizes(largest_inner=1500, syn_mss=1460)
    run.views(
        [
            {"files": ["pods-mtu-1500.pcap"]},
            {"files": ["pods-mtu-1500-filtered.pcap"], "note": "the filter `udp port 8472` hides the tails"},
        ]
    )


def router_mtu_1400(run: Run) -> None:
    """the link behind eth2 has MTU 1400: the router fragments outer packets; with the tails"""
    run.lab.build()
    run.lab.overlay()
    _small_link(run)
    run.lab.offloads_off()
    with run.capturing(filter=TUNNEL_AND_TAILS):
        run.ping("pod-a", POD_B, size=1422)
        run.iperf("-n 128K -l 16K -b 8M")
    run.check()
    run.expect_sizes(largest_inner=1450, syn_mss=1410)


def router_mtu_1400_offload_on(run: Run) -> None:
    """super-frames, and an MTU of 1400 on the router's eth2: it cuts them, and fragments the segments in turn"""
    run.lab.build()
    run.lab.overlay()
    _small_link(run)
    with run.capturing(filter=TUNNEL_AND_TAILS):
        run.iperf("-n 128K -l 64K -b 20M")
    snmp = run.counters()["router"]["snmp"]
    # One that fits is an IpFragOKs of one piece; in fragments they are two.
    run.expect_sizes(largest_inner=1450, syn_mss=1410)
    run.expect(
        {"fragmented_by_router": "snmp: IpFragCreates less IpFragOKs of router"},
        fragmented_by_router=snmp["IpFragCreates"] - snmp["IpFragOKs"],
    )
    run.expect_wire_packets()


def router_mtu_1400_df(run: Run) -> None:
    """the same link, but outer packets carry DF: the router answers that fragmentation is needed"""
    run.lab.build()
    run.lab.overlay_with_df()
    _small_link(run)
    run.lab.offloads_off()
    with run.capturing(filter=TUNNEL_AND_ICMP, snaplen=640):
        run.iperf("-n 64K -l 16K -b 8M")
    run.check()
    run.expect_sizes(largest_inner=1450, syn_mss=1410)
    run.expect(
        {
            "dropped": "nft: in * less forward *; equal to snmp IpFragFails of router",
            "other": "the same nft counters, less those of the tunnel: the router's ICMP errors, equal to snmp "
            "IcmpOutDestUnreachs of router",
        },
        other=run.counted.outcomes("other"),
    )


def ipv6_router_mtu_1400(run: Run) -> None:
    """the same link under an IPv6 underlay, which no router fragments: it answers that packets are too big"""
    run.lab.build(ipv6=True, pod_mtu=1430)
    run.lab.overlay(underlay=6, ipv6=True, mtu="1430")
    _small_link(run)
    run.lab.offloads_off()
    with run.capturing(filter=TUNNEL_AND_ICMPV6, snaplen=640), run.web_server("pod-b"):
        run.ping("pod-a", POD_B)
        _post(run)
    run.check()
    run.expect_sizes(largest_inner=1430, syn_mss=1390)
    run.expect({"dropped": "nft: in * less forward *; equal to snmp Ip6FragFails of router"})


def too_big_ignored(run: Run) -> None:
    """the router answers that fragmentation is needed, and the node's netfilter drops the answers"""
    run.lab.build()
    run.lab.overlay_with_df()
    _small_link(run)
    run.lab.offloads_off()
    rule = (
        "table inet deaf { chain deaf { type filter hook input priority -10; "
        "icmp type destination-unreachable drop; }; }"
    )
    run.lab.run("k8s-ctr", ["nft", rule])
    run.traffic.append({"on": "k8s-ctr", "command": f"nft '{rule}'"})
    with run.capturing(filter=TUNNEL_AND_ICMP, snaplen=640), run.web_server("pod-b"):
        run.ping("pod-a", POD_B)
        _post(run)
    run.check()
    run.expect_sizes(largest_inner=1450, syn_mss=1410)
    run.expect(
        {
            "dropped": "nft: in * less forward *; equal to snmp IpFragFails of router",
            "other": "the same nft counters, less those of the tunnel: the router's ICMP errors, equal to snmp "
            "IcmpOutDestUnreachs of router",
        },
        other=run.counted.outcomes("other"),
    )


def black_hole_behind(run: Run) -> None:
    """netfilter on the receiving node drops large packets in silence: they leave the router"""
    run.lab.build()
    run.lab.overlay()
    run.lab.offloads_off()
    rule = (
        "table inet hole { chain hole { type filter hook input priority -10; "
        "udp dport 8472 meta length > 1400 drop; }; }"
    )
    run.lab.run("k8s-w0", ["nft", rule])
    run.traffic.append({"on": "k8s-w0", "command": f"nft '{rule}'"})
    with run.capturing(filter=TUNNEL_AND_ICMP), run.web_server("pod-b"):
        run.ping("pod-a", POD_B)
        _post(run)
    run.check()
    run.expect_sizes(largest_inner=1450, syn_mss=1410)


def ipv6_pods_mtu_1500(run: Run) -> None:
    """pods left at MTU 1500 over an IPv6 underlay: their node tells them that 1430 fit"""
    run.lab.build(ipv6=True, pod_mtu=1500)
    run.lab.overlay(underlay=6, ipv6=True, mtu="lock 1500")
    run.lab.offloads_off()
    with run.capturing(filter=TUNNEL_AND_ICMPV6):
        run.iperf("-n 64K -l 16K -b 8M", target=POD_B6)
    run.check()
    run.expect_sizes(largest_inner=1430, syn_mss=1440)


def _post(run: Run) -> None:
    """4000 bytes to pod-b's web server, which never arrive."""
    run.fetch("pod-a", f"http://{POD_B}/", options="-X POST -H Expect: --data-binary " + "x" * 4000, seconds=4)
    run.traffic[-1]["command"] = f"curl -X POST with 4000 bytes, http://{POD_B}/, given up after 4 s"


def _small_link(run: Run) -> None:
    run.lab.run("router", "ip link set eth2 mtu 1400")
    run.lab.run("k8s-w0", "ip link set eth1 mtu 1400")
    run.traffic.append({"on": "router", "command": "ip link set eth2 mtu 1400 (and k8s-w0's end of that link)"})


def inner_fragments(run: Run) -> None:
    """pods that fragment for themselves: each inner fragment rides in a tunnel packet of its own"""
    run.lab.build()
    run.lab.overlay()
    run.lab.offloads_off()
    with run.capturing():
        run.ping("pod-a", POD_B, size=3000)
    run.check()
    run.expect_sizes(largest_inner=1444)
    run.expect({"largest_inner": "20 + the largest multiple of 8 that fits into 1430"})


def ipv6_pods(run: Run) -> None:
    """IPv6 pods over the IPv4 underlay: ping, HTTP and iperf3"""
    run.lab.build(ipv6=True)
    run.lab.overlay(ipv6=True)
    run.lab.offloads_off()
    with run.capturing(), run.web_server("pod-b"):
        run.ping("pod-a", POD_B6)
        run.ping("pod-b", POD_A6, count=2)
        run.fetch("pod-a", f"http://[{POD_B6}]/")
        run.iperf("-n 64K -l 16K -b 8M", target=POD_B6)
    run.check()
    run.expect_sizes(largest_inner=1450, syn_mss=1390)


def ipv6_underlay(run: Run) -> None:
    """IPv4 and IPv6 pods over an IPv6 underlay: 70 bytes of overhead"""
    run.lab.build(ipv6=True, pod_mtu=1430)
    run.lab.overlay(underlay=6, ipv6=True, mtu="1430")
    run.lab.offloads_off()
    with run.capturing(), run.web_server("pod-b"):
        run.ping("pod-a", POD_B)
        run.ping("pod-a", POD_B6)
        run.fetch("pod-a", f"http://{POD_B}/")
        run.fetch("pod-a", f"http://[{POD_B6}]/")
    run.check()
    run.expect_sizes(largest_inner=1430, syn_mss=1370)


def unfiltered(run: Run) -> None:
    """everything on the router: VXLAN, its own HTTP server, pings to it, loopback, ARP"""
    run.lab.build()
    run.lab.overlay()
    run.lab.offloads_off()
    with run.capturing(filter=""), run.web_server("pod-b"), run.web_server("router", 22, size=1000):
        run.ping("pod-a", POD_B)
        run.fetch("pod-a", f"http://{POD_B}/")
        run.ping("k8s-ctr", "192.168.10.200")
        run.ping("router", "192.168.20.100", count=2)
        run.fetch("k8s-ctr", "http://192.168.10.200:22/")
        run.fetch("router", "http://127.0.0.1:22/")
    run.check()
    run.check(scope="ip")
    run.expect_sizes(largest_inner=1450, syn_mss=1410)
    other = run.counted.outcomes("other")
    run.expect(
        {"other": "the same nft counters, less those of the tunnel; loopback counts as delivered"},
        other=other,
    )


def bridge(run: Run) -> None:
    """eth1 is a port of br1 on the router: each packet is seen on both"""
    run.lab.build()
    run.lab.run("router", "ip addr del 192.168.10.200/24 dev eth1")
    run.lab.run("router", "ip link add name br1 index 8 type bridge forward_delay 0")
    run.lab.run("router", "ip link set eth1 master br1")
    run.lab.run("router", "ip link set br1 up")
    run.lab.run("router", "ip addr add 192.168.10.200/24 dev br1")
    run.lab.overlay()
    run.lab.offloads_off()
    with run.capturing(), run.web_server("pod-b"):
        run.ping("pod-a", POD_B)
        run.fetch("pod-a", f"http://{POD_B}/")
    run.check(slaves={"eth1": "br1"})
    run.expect_sizes(largest_inner=1450, syn_mss=1410)
    paths = [
        ["eth1" if name == "br1" else name for name in path[:2]] + path[2:]
        for path in run.counted.outcomes("tunnel")["paths"]
    ]
    run.expect(
        {"paths": "nft, which counts at br1; packets come in first and go out last at its only port, eth1"},
        paths=paths,
        via=["br1"],
    )


def rewrite(run: Run) -> None:
    """the router rewrites the outer source of one direction (masquerade)"""
    run.lab.build()
    run.lab.overlay()
    run.lab.offloads_off()
    rule = (
        "table ip rewrite { chain post { type nat hook postrouting priority srcnat; "
        'oifname "eth2" ip saddr 192.168.10.100 udp dport 8472 snat to 192.168.20.200; }; }'
    )
    run.lab.run("router", ["nft", rule])
    run.traffic.append({"on": "router", "command": f"nft '{rule}'"})
    with run.capturing(), run.web_server("pod-b"):
        run.ping("pod-a", POD_B)
        run.fetch("pod-a", f"http://{POD_B}/")
    run.check()
    run.expect_sizes(largest_inner=1450, syn_mss=1410)
    translated = run.counted.whole("forward", "tunnel").get(("eth1", "eth2"), 0)
    run.expect({"translated": "nft: forward eth1 eth2; the rule rewrites all of them"}, translated=translated)


def node(run: Run) -> None:
    """taken on k8s-ctr: plain on the pod's veth and on cilium_vxlan, VXLAN on eth1"""
    run.lab.build()
    run.lab.overlay()
    run.lab.offloads_off()
    tap = Tap("node.pcap", filter="udp port 8472 or net 172.20.0.0/16 and not arp")
    with run.capturing([tap], watched="k8s-ctr"), run.web_server("pod-b"):
        run.ping("pod-a", POD_B)
        run.fetch("pod-a", f"http://{POD_B}/")
    run.check()
    run.check(scope="ip")
    run.expect_sizes(largest_inner=1450, syn_mss=1410)
    forward = run.counted.whole("forward", "ip")
    out, back = forward[LXC_A, "cilium_vxlan"], forward["cilium_vxlan", LXC_A]
    outer_out = run.counted.whole("sent", "tunnel")[("eth1",)]
    outer_in = run.counted.whole("local", "tunnel")[("eth1",)]
    if (out, back) != (outer_out, outer_in):
        raise Disagreement(f"node: {out} and {back} inner packets, but {outer_out} and {outer_in} outer ones")
    source = (
        f"nft: forward {LXC_A} cilium_vxlan (equal to sent eth1 tunnel) and forward cilium_vxlan {LXC_A} "
        "(equal to local eth1 tunnel): a datagram changes what it wears on the node, and is one journey"
    )
    run.expect(
        dict.fromkeys(("datagrams", "forwarded", "delivered", "originated", "paths"), source),
        datagrams=out + back, forwarded=out + back, delivered=0, dropped=0, originated=0,
        paths=[[LXC_A, "eth1", out], ["eth1", LXC_A, back]], via=["cilium_vxlan"],
    )  # fmt: skip


def four_ways(run: Run) -> None:
    """the same traffic captured at once as SLL2, SLL, one Ethernet file for each interface, and pcapng"""
    run.lab.build()
    run.lab.overlay()
    run.lab.offloads_off()
    _four_ways(run, "-n 96K -l 16K -b 8M")
    run.check()


def four_ways_drops(run: Run) -> None:
    """the same four ways, with a queue on eth2 that drops"""
    run.lab.build()
    run.lab.overlay()
    run.lab.offloads_off()
    run.lab.fix_neighbours()
    queue = "tc qdisc add dev eth2 root tbf rate 20mbit burst 4000 limit 16000"
    run.lab.run("router", queue)
    run.traffic.append({"on": "router", "command": queue})
    _four_ways(run, "-n 160K -l 16K -w 40K")
    run.check()
    if not run.counted.drops("eth2"):
        raise Disagreement(f"{run.name}: the queue dropped nothing")


def _four_ways(run: Run, iperf: str) -> None:
    name = run.name
    taps = [
        Tap(f"{name}-sll2.pcap"),
        Tap(f"{name}-sll.pcap", link_type="LINUX_SLL"),
        Tap(f"{name}-eth1.pcap", interfaces=("eth1",)),
        Tap(f"{name}-eth2.pcap", interfaces=("eth2",)),
        Tap(f"{name}.pcapng", interfaces=("eth1", "eth2"), tool="dumpcap"),
    ]
    with run.capturing(taps):
        run.ping("pod-a", POD_B)
        run.iperf(iperf)
    totals = run.record_totals()
    sll2, sll, eth1, eth2, pcapng = (totals[tap.file] for tap in taps)
    if not sll2 == sll == eth1 + eth2 == pcapng:
        raise Disagreement(f"{name}: the captures hold {totals} records")
    run.expect_sizes(largest_inner=1450, syn_mss=1410)
    paths = run.counted.outcomes("tunnel")["paths"]
    run.views(
        [
            {"files": [f"{name}-sll2.pcap"]},
            {
                "files": [f"{name}-sll.pcap"],
                "note": "LINUX_SLL has no interface: the stages are in and out only",
                "expect": {"paths": [[None, None, sum(path[2] for path in paths)]]},
            },
            {"files": [f"{name}-eth1.pcap", f"{name}-eth2.pcap"], "interfaces": ["eth1", "eth2"]},
            {"files": [f"{name}.pcapng"]},
        ]
    )


Scenario = Callable[[Run], None]
SCENARIOS: dict[str, Scenario] = {
    function.__name__.replace("_", "-"): function
    for function in (
        ping_http, drops, drops_udp, drops_offload_on, drops_offload_on_ipv6, drops_udp_offload_on,
        iperf_offload_off, iperf_offload_on, iperf_resegmented, resegmented_ethernet, udp_resegmented,
        pods_mtu_1500, native_misroute, four_ways, four_ways_drops,
        router_mtu_1400, router_mtu_1400_offload_on, router_mtu_1400_df, ipv6_router_mtu_1400, ipv6_pods_mtu_1500,
        too_big_ignored,
        black_hole, black_hole_behind, inner_fragments, ipv6_pods, ipv6_underlay,
        unfiltered, bridge, rewrite, node,
    )
}  # fmt: skip


def play(name: str, directory: Path) -> dict[str, Any]:
    """Run one scenario in a fresh lab. Returns what is expected.

    Its files reach ``directory`` only when all of them are there and agree.
    """
    function = SCENARIOS[name]
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, Lab() as lab:
        run = Run(lab, name, (function.__doc__ or "").strip(), Path(work))
        function(run)
        expected = run.finish()
        for file in Path(work).iterdir():
            shutil.copyfile(file, directory / file.name)
    return expected
