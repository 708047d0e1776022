"""The lab: five namespaces in a row, and the kernel's own VXLAN between the nodes.

    pod-a --- k8s-ctr --- [eth1] router [eth2] --- k8s-w0 --- pod-b
                              [eth0]
                                |
                             uplink

It is the founding case without a cluster. A node encapsulates as Cilium's does, because its routes
carry the tunnel: `ip route add PODS encap ip id VNI dst OTHER-NODE dev cilium_vxlan`, so that the VNI
is the identity of the source. Interface names and indexes on the router are those of the founding
case: eth0 is 2, eth1 is 3, eth2 is 4.

Everything that is made here lives in namespaces named after this process, and `Lab.close` removes
them; processes are remembered and ended one by one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import Any

PORT = 8472
NAMESPACES = ("pod-a", "k8s-ctr", "router", "k8s-w0", "pod-b", "uplink")
ROUTER_INTERFACES = ("eth0", "eth1", "eth2")

CURL_POD_IDENTITY, WEBPOD_IDENTITY = 36705, 17701
POD_A, POD_B = "172.20.0.107", "172.20.2.4"
POD_A6, POD_B6 = "fd00:172:20::107", "fd00:172:20:2::4"
LXC_A, LXC_B = "lxc5c1f0e7a92d4", "lxcb82d36ef4071"

# (namespace, interface, index, MAC) of both ends of each link.
LINKS = (
    (("pod-a", "eth0", 2, "9a:4e:31:c0:5d:17"), ("k8s-ctr", LXC_A, 9, "3e:70:ab:2f:96:84")),
    (("k8s-ctr", "eth1", 3, "08:00:27:42:a3:c1"), ("router", "eth1", 3, "08:00:27:b4:cc:4c")),
    (("router", "eth2", 4, "08:00:27:3b:e2:f7"), ("k8s-w0", "eth1", 3, "08:00:27:d9:0b:58")),
    (("k8s-w0", LXC_B, 9, "c6:0d:58:e1:7b:29"), ("pod-b", "eth0", 2, "72:f5:8c:64:1a:e0")),
    (("router", "eth0", 2, "08:00:27:6b:69:c9"), ("uplink", "eth0", 2, "52:54:00:12:35:02")),
)
ADDRESSES = (
    ("pod-a", "eth0", "172.20.0.107/24", "fd00:172:20::107/64"),
    ("k8s-ctr", LXC_A, "172.20.0.229/24", "fd00:172:20::229/64"),
    ("k8s-ctr", "eth1", "192.168.10.100/24", "fd00:10::100/64"),
    ("router", "eth1", "192.168.10.200/24", "fd00:10::200/64"),
    ("router", "eth2", "192.168.20.200/24", "fd00:20::200/64"),
    ("router", "eth0", "10.0.2.15/24", None),
    ("uplink", "eth0", "10.0.2.2/24", None),
    ("k8s-w0", "eth1", "192.168.20.100/24", "fd00:20::100/64"),
    ("k8s-w0", LXC_B, "172.20.2.98/24", "fd00:172:20:2::98/64"),
    ("pod-b", "eth0", "172.20.2.4/24", "fd00:172:20:2::4/64"),
)
TUNNEL_MAC = {"k8s-ctr": "5a:a6:d1:44:0e:93", "k8s-w0": "d6:2f:b8:90:7c:15"}
TUNNEL_INDEX = 7


class LabError(Exception):
    """A step of the lab that failed, in one line."""


class Lab:
    """The namespaces of one scenario, and the processes in them. A context manager."""

    def __init__(self) -> None:
        self._prefix = f"vxlab{os.getpid()}-"
        self._made: list[str] = []
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that still run, then remove the namespaces."""
        # A second Ctrl-C must not leave half of the lab behind.
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for process in reversed(self._processes):
            if process.poll() is None:
                self.stop(process)
        for name in self._made:
            subprocess.run(["ip", "netns", "delete", self._prefix + name], check=False)
        self._made.clear()
        signal.signal(signal.SIGINT, interrupt)

    # Commands and processes

    def argv(self, namespace: str, command: list[str]) -> list[str]:
        """Return ``command`` as it is run inside a namespace."""
        return ["ip", "netns", "exec", self._prefix + namespace, *command]

    def run(self, namespace: str, command: str | list[str], *, check: bool = True, timeout: float = 60) -> str:
        """Run a command in a namespace to its end and return what it printed on stdout."""
        words = command.split() if isinstance(command, str) else command
        result = subprocess.run(
            self.argv(namespace, words), capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and result.returncode != 0:
            said = " ".join((result.stderr or result.stdout).split())
            raise LabError(f"{namespace}: `{' '.join(words)}` failed: {said}")
        return result.stdout

    def json(self, namespace: str, command: str) -> Any:
        """Run a command that prints JSON, and return it read."""
        return json.loads(self.run(namespace, command) or "[]")

    def start(self, namespace: str, command: str | list[str], *, cwd: str | None = None) -> subprocess.Popen[str]:
        """Start a process in a namespace; a session of its own keeps Ctrl-C for this script alone."""
        words = command.split() if isinstance(command, str) else command
        process = subprocess.Popen(
            self.argv(namespace, words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[str]) -> str:
        """Interrupt a process, as Ctrl-C would, and return what it printed on both streams."""
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        return out + err

    def wait_for_port(self, namespace: str, port: int) -> None:
        """Wait until something listens on a TCP port."""
        for _ in range(100):
            if self.run(namespace, ["ss", "-Hltn", f"sport = :{port}"]).strip():
                return
            time.sleep(0.05)
        raise LabError(f"{namespace}: nothing listens on port {port} after 5 s")

    # Building

    def build(self, *, ipv6: bool = False, pod_mtu: int = 1450) -> None:
        """Make the namespaces, links, addresses and underlay routes, without an overlay.

        ``pod_mtu`` goes on the pods' default routes while their devices stay at 1500, as Cilium
        does it. Without ``ipv6`` the namespaces speak IPv4 only, which keeps neighbour discovery
        and multicast reports out of unfiltered captures.
        """
        for name in NAMESPACES:
            subprocess.run(["ip", "netns", "add", self._prefix + name], check=True)
            self._made.append(name)
            self.run(name, "ip link set lo up")
            self.sysctl(name, "net.ipv6.conf.all.disable_ipv6", 0 if ipv6 else 1)
            self.sysctl(name, "net.ipv6.conf.default.accept_dad", 0)
            for scope in ("all", "default"):
                self.sysctl(name, f"net.ipv4.conf.{scope}.rp_filter", 0)
        for left, right in LINKS:
            self._link(left, right)
        for namespace, interface, address, address6 in ADDRESSES:
            self.run(namespace, f"ip addr add {address} dev {interface}")
            if ipv6 and address6:
                self.run(namespace, f"ip addr add {address6} dev {interface} nodad")
        for name in ("k8s-ctr", "router", "k8s-w0"):
            self.sysctl(name, "net.ipv4.ip_forward", 1)
            if ipv6:
                self.sysctl(name, "net.ipv6.conf.all.forwarding", 1)
        self.run("pod-a", f"ip route add default via 172.20.0.229 mtu {pod_mtu}")
        self.run("pod-b", f"ip route add default via 172.20.2.98 mtu {pod_mtu}")
        self.run("k8s-ctr", "ip route add default via 192.168.10.200")
        self.run("k8s-w0", "ip route add default via 192.168.20.200")
        self.run("router", "ip route add default via 10.0.2.2")
        # The uplink swallows what it gets: no answer, and no ICMP error either.
        self.run("uplink", "ip route add blackhole 172.20.0.0/16")
        if ipv6:
            self.run("pod-a", f"ip -6 route add default via fd00:172:20::229 mtu {pod_mtu}")
            self.run("pod-b", f"ip -6 route add default via fd00:172:20:2::98 mtu {pod_mtu}")
            self.run("k8s-ctr", "ip -6 route add default via fd00:10::200")
            self.run("k8s-w0", "ip -6 route add default via fd00:20::200")

    def _link(self, left: tuple[str, str, int, str], right: tuple[str, str, int, str]) -> None:
        ends = []
        for namespace, name, index, mac in (left, right):
            ends.append(f"name {name} index {index} address {mac} netns {self._prefix}{namespace}")
        words = f"ip link add {ends[0]} type veth peer {ends[1]}".split()
        result = subprocess.run(words, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise LabError(f"`{' '.join(words)}` failed: {' '.join(result.stderr.split())}")
        for namespace, name, _, _ in (left, right):
            self.run(namespace, f"ip link set {name} up")

    def sysctl(self, namespace: str, key: str, value: int) -> None:
        """Set one kernel parameter of a namespace."""
        self.run(namespace, ["sysctl", "-qw", f"{key}={value}"])

    def overlay(self, *, underlay: int = 4, ipv6: bool = False, mtu: str = "1450") -> None:
        """Put VXLAN between the nodes, with routes that carry the tunnel.

        ``underlay`` is the IP version between the nodes, ``mtu`` what the nodes' routes to the other
        node's pods say (`lock 1500` keeps the kernel from learning the smaller one by itself).
        """
        far = {4: ("192.168.20.100", "192.168.10.100"), 6: ("fd00:20::100", "fd00:10::100")}[underlay]
        encap = {4: "ip", 6: "ip6"}[underlay]
        # A zero UDP checksum is only allowed over IPv4.
        csum = "csum" if underlay == 6 else ""
        for node, peer, vni, remote, pods, gateway, pods6, gateway6 in (
            ("k8s-ctr", "k8s-w0", CURL_POD_IDENTITY, far[0], "172.20.2.0/24", "172.20.2.98",
             "fd00:172:20:2::/64", "fd00:172:20:2::98"),
            ("k8s-w0", "k8s-ctr", WEBPOD_IDENTITY, far[1], "172.20.0.0/24", "172.20.0.229",
             "fd00:172:20::/64", "fd00:172:20::229"),
        ):  # fmt: skip
            self._tunnel_device(node, "cilium_vxlan", TUNNEL_INDEX, f"external dstport {PORT} nolearning")
            self._remote_pods(
                node, "cilium_vxlan", peer, pods, gateway, mtu, f"encap {encap} id {vni} dst {remote} {csum}"
            )
            if ipv6:
                self._remote_pods(
                    node,
                    "cilium_vxlan",
                    peer,
                    pods6,
                    gateway6,
                    mtu,
                    f"encap {encap} id {vni} dst {remote} {csum}",
                )

    def overlay_with_df(self, *, mtu: str = "1450") -> None:
        """Put VXLAN between the nodes whose outer packets carry DF.

        Route encapsulation has no such option, so each node has one fixed tunnel device to send by
        (its own identity) and one to receive by (the other's).
        """
        for node, peer, local, remote, vni, peer_vni, pods, gateway in (
            ("k8s-ctr", "k8s-w0", "192.168.10.100", "192.168.20.100", CURL_POD_IDENTITY, WEBPOD_IDENTITY,
             "172.20.2.0/24", "172.20.2.98"),
            ("k8s-w0", "k8s-ctr", "192.168.20.100", "192.168.10.100", WEBPOD_IDENTITY, CURL_POD_IDENTITY,
             "172.20.0.0/24", "172.20.0.229"),
        ):  # fmt: skip
            ends = f"local {local} remote {remote} dstport {PORT} nolearning df set"
            # Else a router of pods keeps to its routes' MTU, and what the node learns never reaches them.
            self.sysctl(node, "net.ipv4.ip_forward_use_pmtu", 1)
            self._tunnel_device(node, "vxlan_out", TUNNEL_INDEX, f"id {vni} {ends}")
            self._tunnel_device(node, "vxlan_in", TUNNEL_INDEX + 1, f"id {peer_vni} {ends}")
            self._remote_pods(node, "vxlan_out", peer, pods, gateway, mtu, "")

    def _tunnel_device(self, node: str, name: str, index: int, options: str) -> None:
        mac = TUNNEL_MAC[node]
        self.run(node, f"ip link add name {name} index {index} address {mac} type vxlan {options}")
        self.run(node, f"ip link set {name} addrgenmode none mtu 1500")
        self.run(node, f"ip link set {name} up")

    def _remote_pods(
        self, node: str, device: str, peer: str, pods: str, gateway: str, mtu: str, encap: str
    ) -> None:
        family = "-6" if ":" in pods else "-4"
        self.run(node, f"ip {family} neigh add {gateway} lladdr {TUNNEL_MAC[peer]} nud permanent dev {device}")
        self.run(node, f"ip {family} route add {pods} {encap} via {gateway} dev {device} onlink mtu {mtu}")

    # Variations

    def offloads_off(self) -> None:
        """Switch segmentation offloads off everywhere, so that each record is one packet."""
        for ends in LINKS:
            for namespace, interface, _, _ in ends:
                self.offload_off(namespace, interface)
        for node in ("k8s-ctr", "k8s-w0"):
            for row in self.json(node, "ip -j link show type vxlan"):
                self.run(node, f"ethtool -K {row['ifname']} tso off gso off gro off")

    def offload_off(self, namespace: str, interface: str) -> None:
        """Switch segmentation offloads off on one veth."""
        features = "tso gso gro tx-udp_tnl-segmentation tx-udp_tnl-csum-segmentation tx-udp-segmentation"
        words = [word for feature in features.split() for word in (feature, "off")]
        self.run(namespace, ["ethtool", "-K", interface, *words])

    def fix_neighbours(self) -> None:
        """Make the underlay's neighbours permanent, so that a queue holds and drops IP packets only."""
        for node, interface, local, router in (
            ("k8s-ctr", "eth1", "192.168.10.100", "192.168.10.200"),
            ("k8s-w0", "eth2", "192.168.20.100", "192.168.20.200"),
        ):
            node_mac = self.json(node, "ip -j link show eth1")[0]["address"]
            router_mac = self.json("router", f"ip -j link show {interface}")[0]["address"]
            self.run("router", f"ip neigh replace {local} lladdr {node_mac} nud permanent dev {interface}")
            self.run(node, f"ip neigh replace {router} lladdr {router_mac} nud permanent dev eth1")
