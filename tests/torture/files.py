"""Section files: what is given beside a capture. Cluster files, links, routes, expectations, defaults, reports."""

from __future__ import annotations

import copy
import io
import json
import os
import random
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from torture.jobs import Case, Job
from torture.tally import Wrong
from torture.ways import (
    CAPTURES,
    REFUSED,
    UNDERSTOOD,
    Done,
    as_file,
    command,
    ended_well,
    plain,
    process,
    work_folder,
)

CAPTURE = str(CAPTURES / "vxlan.pcap")
# What each value of each file is replaced by. `None` among them is JSON's null.
OTHERS: tuple[Any, ...] = (
    None, True, 0, -1, 7, 1 << 32, 1 << 70, 0.5, 1e300, "", "text", "10.0.0.1", "10.0.0.0/8", "x" * 10_000, "\0",
    "\ud800", "\x1b[31m", [], ["text"], [None], [[]], {}, {"a": 1}, {"ip": None},
)  # fmt: skip
FORMATS = ("json", "text", "markdown", "junit", "github", "sarif")
LARGE = 120_000_000  # bytes of a large file; 128 MiB are read at most
LARGE_MEMORY = 4 << 30  # bytes that one may take: some 26 for each of its own where it holds nothing but brackets
NESTED = 100_000
TRACE = "/tmp/torture-was-here"  # what would be left by a command that a file makes run

POD = {
    "kind": "Pod", "apiVersion": "v1",
    "metadata": {"name": "curl-pod", "namespace": "default", "labels": {"app": "curl"},
                 "creationTimestamp": "2025-08-09T16:01:52Z"},
    "spec": {"nodeName": "k8s-ctr", "hostNetwork": False},
    "status": {"phase": "Running", "podIP": "172.20.0.107", "podIPs": [{"ip": "172.20.0.107"}],
               "hostIP": "192.168.10.100"},
}  # fmt: skip
SERVICE = {
    "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
    "spec": {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "externalIPs": ["10.1.1.1"],
             "ports": [{"port": 80, "protocol": "TCP", "name": "http", "targetPort": 8080, "nodePort": 30080}],
             "selector": {"app": "web"}, "type": "LoadBalancer"},
    "status": {"loadBalancer": {"ingress": [{"ip": "10.2.2.2"}]}},
}  # fmt: skip
NODE = {
    "kind": "Node", "metadata": {"name": "k8s-ctr", "labels": {"a": "b"}, "annotations": {"a": "b"}},
    "spec": {"podCIDR": "172.20.0.0/24", "podCIDRs": ["172.20.0.0/24"]},
    "status": {"addresses": [{"type": "InternalIP", "address": "192.168.10.100"},
                             {"type": "Hostname", "address": "k8s-ctr"}]},
}  # fmt: skip
SLICE = {
    "kind": "EndpointSlice", "addressType": "IPv4",
    "metadata": {"name": "web-abc", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
    "endpoints": [{"addresses": ["172.20.2.4"], "conditions": {"ready": True}, "nodeName": "k8s-w0",
                   "targetRef": {"kind": "Pod", "name": "webpod", "namespace": "default"}}],
    "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
}  # fmt: skip
ENDPOINT_SLICE = {
    "kind": "CiliumEndpointSlice", "namespace": "default", "metadata": {"name": "ces-1"},
    "endpoints": [{"name": "webpod", "id": 17_701, "networking": {"node": "192.168.20.100",
                   "addressing": [{"ipv4": "172.20.2.4", "ipv6": "fd00::4"}]}, "encryption": {"key": 0}}],
}  # fmt: skip
IDENTITIES = [{"id": 36_705, "labels": ["k8s:app=curl", "k8s:io.kubernetes.pod.namespace=default"]}]
IPCACHE = {"172.20.0.107/32": ["identity=36705 encryptkey=0 tunnelendpoint=192.168.10.100, flags=<none>"]}


def _sample(name: str) -> Any:
    return json.loads((CAPTURES / name).read_text())


def documents() -> Iterator[tuple[str, str, Any]]:
    """Name, option, and the value of a file that is right."""
    for name in ("ciliumendpoints", "ciliumidentities", "ciliumnodes"):
        value = _sample(f"cluster/{name}.json")
        if isinstance(value, dict) and isinstance(value.get("items"), list):
            value["items"] = value["items"][:2]
        yield name, "--cluster", value
    objects = {"kind": "List", "apiVersion": "v1", "items": [POD, SERVICE, NODE, SLICE, ENDPOINT_SLICE]}
    yield "objects", "--cluster", objects
    yield "identities", "--cluster", IDENTITIES
    yield "ipcache", "--cluster", IPCACHE
    yield "links", "--links", _sample("vxlan.links.json")
    yield "routes", "--routes", _sample("vxlan.routes.json")


def jobs() -> Iterator[Job]:
    for name, option, value in documents():
        yield Job("files", f"{name}-values", wrong_values, (name, option, value))
        yield Job("files", f"{name}-bytes", wrong_bytes, (name, option, value))
    yield Job("files", "table", tables)
    yield Job("files", "nesting", nesting)
    yield Job("files", "yaml", yaml_files)
    yield Job("files", "contradictions", contradictions)
    yield Job("files", "sysdumps", sysdumps)
    yield Job("files", "expectations", expectations)
    yield Job("files", "defaults", defaults)
    yield Job("files", "reports", reports)
    yield Job("files", "large", large)


def paths_of(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value within a JSON value."""
    yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths_of(item, (*at, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from paths_of(item, (*at, number))


def replaced(value: Any, way: Sequence[Any], other: Any, *, drop: bool = False) -> Any:
    """A copy with another value in one place, or without that place."""
    if not way:
        return other
    changed = copy.deepcopy(value)
    inside = changed
    for step in way[:-1]:
        inside = inside[step]
    if drop:
        del inside[way[-1]]
    else:
        inside[way[-1]] = other
    return changed


def _analyzed(option: str, data: bytes | Callable[[], bytes], format_: str, suffix: str = "json") -> str:
    """`vxtool analyze` with such a file, within this process: an answer, or one line."""
    path = as_file(data if isinstance(data, bytes) else data(), f"case.{suffix}")
    done = command(["analyze", CAPTURE, option, path, "--format", format_])
    return _judged(done, path, format_)


def _judged(done: Done, path: str, what: str) -> str:
    ended_well(done)
    if done.code in (2, 3):  # 3: what is given to diff may be no report, but a capture that is none
        if done.output:
            raise Wrong(f"refused, but wrote {done.output[:100]!r}")
        if path and os.path.basename(path) not in done.error:
            raise Wrong(f"an error that does not name {path}: {done.error!r}")
        return REFUSED
    if done.error:
        raise Wrong(f"exit code {done.code}, and {done.error!r}")
    plain(done.output.decode(), what)
    return UNDERSTOOD


def _processed(
    option: str, data: bytes | Callable[[], bytes], suffix: str = "json", *arguments: str
) -> tuple[str, Done]:
    path = as_file(data if isinstance(data, bytes) else data(), f"case.{suffix}")
    done = process(["analyze", CAPTURE, option, path, "--format", "json", *arguments])
    return _judged(done, path, "json"), done


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _as_yaml(value: Any) -> bytes:
    """JSON that YAML understands, under a line that only YAML has."""
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return b"---\nkind: List\nitems:\n- " + text + b"\n"


def wrong_values(name: str, option: str, value: Any) -> Iterator[Case]:
    """Each value replaced by others, left out, and given twice."""
    chance = random.Random(f"files {name}")
    row = "a value replaced by another, left out or doubled"
    ways = list(paths_of(value))
    for way in ways:
        place = "/".join(map(str, way)) or "all of it"
        changes: list[tuple[str, Any]] = [
            (f"{place} is {str(other)[:20]!r}", replaced(value, way, other)) for other in OTHERS
        ]
        if way:
            changes.append((f"without {place}", replaced(value, way, None, drop=True)))
            old = value
            for step in way:
                old = old[step]
            changes.append((f"{place} in a list", replaced(value, way, [old, old])))
        for label, changed in changes:
            data = _dumped(changed)
            format_ = chance.choice(FORMATS)
            yield Case(f"{name}: {label}", row, partial(_analyzed, option, data, format_), len(data))
            if option == "--cluster" and chance.random() < 0.1:
                run = partial(_analyzed, option, partial(_as_yaml, changed), format_, "yaml")
                yield Case(f"{name}, YAML: {label}", f"{row}, as YAML", run, len(data))
            if chance.random() < 1 / 400:
                yield Case(f"{name}: {label}", f"{row}: processes", partial(_processed, option, data), len(data))


def wrong_bytes(name: str, option: str, value: Any) -> Iterator[Case]:
    """Cut at every byte of the first 4 KiB, and single bytes changed."""
    chance = random.Random(f"bytes {name}")
    data = _dumped(value)
    for place in range(0, min(len(data), 4096), 1 if option == "--cluster" else 3):
        cut = data[:place]
        yield Case(
            f"{name} cut at byte {place}", "files cut at a byte", partial(_analyzed, option, cut, "github"), place
        )
    for number in range(1500):
        changed = bytearray(data)
        for _ in range(chance.choice([1, 1, 1, 3, 20])):
            changed[chance.randrange(len(changed))] = chance.choice(
                [0, 0x1B, 0x22, 0x5C, 0x7B, 0xFF, chance.randrange(256)]
            )
        run = partial(_analyzed, option, bytes(changed), "text")
        yield Case(f"{name} with bytes changed, number {number}", "files with bytes changed", run, len(data))


def tables() -> Iterator[Case]:
    """The table that kubectl prints."""
    chance = random.Random("tables")
    data = (CAPTURES / "cluster" / "ciliumendpoints.txt").read_bytes()
    row = "tables of kubectl, cut and with bytes changed"
    for place in range(len(data)):
        yield Case(f"cut at byte {place}", row, partial(_analyzed, "--cluster", data[:place], "text", "txt"), place)
        for value in (0, 9, 10, 32, 0x1B, 0x85, 0xE2, 0xFF):
            changed = bytearray(data)
            changed[place] = value
            run = partial(_analyzed, "--cluster", bytes(changed), chance.choice(FORMATS), "txt")
            yield Case(f"{value:#x} at byte {place}", row, run, len(data))


def nesting() -> Iterator[Case]:
    """100,000 levels, and numbers and texts that no program writes."""
    row = "nesting, numbers, texts and encodings"
    deep = NESTED
    texts: dict[str, bytes] = {
        "lists": b"[" * deep + b"]" * deep,
        "lists without end": b"[" * deep,
        "objects": b'{"a":' * deep + b"1" + b"}" * deep,
        "items": b'{"kind":"List","items":[' * deep + b"]}" * deep,
        "both": b'[{"a":' * deep,
        "a number of 5,000 digits": b'{"kind":"List","items":[' + b"9" * 5_000 + b"]}",
        "a number of a million digits": b'{"kind":"List","items":[' + b"9" * 1_000_000 + b"]}",
        "1e999999": b'[{"ifindex": 1e999999, "ifname": "eth1"}]',
        "-1e999999": b'[{"ifindex": -1e999999, "ifname": "eth1"}]',
        "NaN": b'[{"ifindex": NaN, "ifname": "eth1", "mtu": Infinity}]',
        "a float index": b'[{"ifindex": 3.0, "ifname": "eth1"}]',
        "NUL bytes": b"\0" * 1_000,
        "NUL in a name": b'[{"ifindex": 3, "ifname": "et\0h1"}]',
        "escaped NUL": b'[{"ifindex": 3, "ifname": "et\\u0000h1"}]',
        "lone surrogate": b'[{"ifindex": 3, "ifname": "\\ud800"}]',
        "invalid UTF-8": b'[{"ifindex": 3, "ifname": "\xff\xfe"}]',
        "UTF-16": '[{"ifindex": 3, "ifname": "eth1"}]'.encode("utf-16"),
        "half of UTF-16": '[{"ifindex": 3}]'.encode("utf-16")[:-1],
        "UTF-16 surrogates": b"\xff\xfe\x00\xd8" * 100,
        "UTF-32": '[{"ifindex": 3}]'.encode("utf-32"),
        "byte order mark alone": b"\xef\xbb\xbf",
        "keys twice": b'{"kind":"List","kind":"Pod","items":[],"items":[1]}',
        "a million keys": b'{"kind":"List",' + b",".join(b'"%d":1' % n for n in range(1_000_000)) + b"}",
        "a million objects": b'{"kind":"List","items":[' + b'{"kind":"Pod"},' * 1_000_000 + b"1]}",
        "a million lines before it": b"x\n" * 1_000_000 + b'{"kind":"List","items":[]}',
        "a million brackets at line ends": b"[ x\n" * 1_000_000,
        "blanks": b" " * 2_000_000,
        "line feeds": b"\n" * 2_000_000,
    }
    for label, data in texts.items():
        for option in ("--cluster", "--links", "--routes", "--expect"):
            for suffix in ("json", "yaml"):
                head = b"kind: List\nitems: " if suffix == "yaml" else b""
                run = partial(_processed, option, head + data, suffix)
                yield Case(f"{label}, {suffix}, {option}", row, run, len(data))


def yaml_files() -> Iterator[Case]:
    row = "YAML"
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    texts = {
        "billion laughs": f"kind: List\n{laughs}items: *a11\n",
        "an alias of itself": "kind: List\nitems: &a [*a]\n",
        "a merge key": "kind: List\nbase: &b {a: 1}\nitems:\n- <<: *b\n",
        "an object of Python": f"kind: List\nitems: !!python/object/apply:os.system ['touch {TRACE}']\n",
        "a name of Python": "kind: List\nitems: !!python/name:os.system\n",
        "a module of Python": "kind: List\nitems: !!python/module:antigravity\n",
        "a new object": "kind: List\nitems: !!python/object/new:os.system [id]\n",
        "a tag of its own": "%TAG ! tag:yaml.org,2002:python/\n---\nkind: List\nitems: !object/apply:os.abort []\n",
        "an include": "kind: List\nitems: !include /etc/passwd\n",
        "binary": "kind: List\nitems: !!binary aGk=\n",
        "keys that are lists": "kind: List\nitems:\n- ? [a, b]\n  : 1\n",
        "keys that are objects": "kind: List\nitems:\n- ? {a: b}\n  : 1\n",
        "100,000 documents": "---\nkind: List\n" * 100_000,
        "100,000 anchors": "kind: List\nitems:\n" + "".join(f"- &a{n} x\n" for n in range(100_000)),
        "deep flow": "kind: List\nitems: " + "[" * NESTED,
        "deep flow, closed": "kind: List\nitems: " + "[" * NESTED + "]" * NESTED,
        "deep objects": "kind: List\nitems: " + "{a: " * NESTED,
        "deep blocks": "kind: List\nitems:\n" + "".join(f"{' ' * n}- \n" for n in range(2_000)),
        "deep dashes": "kind: List\nitems: \n" + "- " * 20_000 + "x\n",
        "deep questions": "kind: List\n" + "? " * 20_000 + "x\n",
        "a key without end": "kind: List\n" + "k" * 1_000_000 + ": 1\n",
        "a text without end": 'kind: List\nitems: "' + "x" * 1_000_000,
        "a block text": "kind: List\nitems: |\n" + "  x\n" * 300_000,
        "folded": "kind: List\nitems: >\n" + "  x\n\n" * 200_000,
        "control characters": "kind: List\nitems: \x01\x02\x07\x1b[31m\n",
        "escapes": 'kind: List\nitems: "\\x1b[31m \\uD800 \\U0010FFFF \\0"\n',
        "tabs": "kind: List\nitems:\n\t- x\n",
        "directives": "%YAML 9.9\n---\nkind: List\n",
        "a number of 5,000 digits": "kind: List\nitems: " + "9" * 5_000 + "\n",
        "sexagesimal": "kind: List\nitems: 190:20:30\n",
        "dates": "kind: List\nitems: 2025-13-40T99:99:99Z\n",
        "comments": "kind: List\n" + "# x\n" * 500_000,
        "colons": "kind: List\n" + ": " * 100_000,
        "quotes": "kind: List\nitems: " + "'" * 100_001,
        "exclamation marks": "kind: List\nitems: " + "! " * 50_000,
        "stars": "kind: List\nitems: [" + "*a, " * 50_000 + "]",
    }
    for label, text in texts.items():
        data = text.encode("utf-8", "surrogatepass")
        for option in ("--cluster", "--routes"):
            yield Case(f"{label}, {option}", row, partial(_safe_yaml, option, data), len(data))


def _safe_yaml(option: str, data: bytes) -> tuple[str, Done]:
    answer = _processed(option, data, "yaml")
    if os.path.exists(TRACE):
        raise Wrong("YAML ran a command")
    return answer


def contradictions() -> Iterator[Case]:
    """Objects that say the opposite of each other, in one file and in two."""
    row = "files that contradict each other"
    chance = random.Random("contradictions")
    pick = chance.choice

    def pod(name: str, address: str, identity: int, node: str) -> Any:
        return {
            "kind": "CiliumEndpoint", "metadata": {"name": name, "namespace": "default"},
            "status": {"identity": {"id": identity, "labels": [f"k8s:app={name}"]}, "id": identity,
                       "networking": {"addressing": [{"ipv4": address}], "node": node}},
        }  # fmt: skip

    for number in range(300):
        items = [
            pod(pick(["a", "b"]), f"172.20.0.{pick([107, 1])}", pick([36705, 17701, 0, -1]),
                f"192.168.{pick([10, 20])}.100")
            for _ in range(pick([2, 3, 50]))
        ]  # fmt: skip
        data = _dumped({"kind": "List", "items": items})
        run = partial(_analyzed, "--cluster", data, chance.choice(FORMATS))
        yield Case(f"endpoints {number}", row, run, len(data))
        links = [{"ifindex": chance.choice([2, 3, 4]), "ifname": chance.choice(["eth0", "eth1"]),
                  "mtu": pick([0, 68, 1500, 1 << 31]), "address": pick(["02:00:00:00:00:01", "x"]),
                  "addr_info": [{"local": "192.168.10.1", "prefixlen": chance.choice([0, 24, 33, 128, -1])}],
                  "master": chance.choice(["eth0", "eth1", "br0"])} for _ in range(4)]  # fmt: skip
        data = _dumped(links)
        yield Case(f"links {number}", row, partial(_analyzed, "--links", data, chance.choice(FORMATS)), len(data))
        routes = [{"dst": chance.choice(["default", "172.20.0.0/16", "172.20.0.0/99", "::/0"]),
                   "dev": pick(["eth0", "eth1", "lo"]), "gateway": pick(["192.168.10.1", "x", "fe80::1"]),
                   "metrics": [{"mtu": pick([0, 1450, 1 << 31])}], "table": pick(["main", "local", 7]),
                   "type": chance.choice(["unicast", "blackhole", "local", "x"])} for _ in range(5)]  # fmt: skip
        data = _dumped(routes)
        yield Case(f"routes {number}", row, partial(_analyzed, "--routes", data, chance.choice(FORMATS)), len(data))
    many = _dumped(
        {"kind": "List", "items": [pod(f"p{n}", "172.20.0.107", 256 + n, "192.168.10.100") for n in range(20_000)]}
    )
    yield Case("20,000 pods of one address", row, partial(_processed, "--cluster", many), len(many))
    many = _dumped(
        {
            "kind": "List",
            "items": [
                pod("p", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 256 + n % 60_000, "192.168.10.100")
                for n in range(20_000)
            ],
        }
    )
    yield Case("20,000 addresses of one pod", row, partial(_processed, "--cluster", many), len(many))
    many = _dumped([{"ifindex": n, "ifname": "eth1"} for n in range(100_000)])
    yield Case("100,000 interfaces of one name", row, partial(_processed, "--links", many), len(many))
    many = _dumped([{"dst": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", "dev": "eth1"} for n in range(200_000)])
    yield Case("200,000 routes", row, partial(_processed, "--routes", many), len(many))


def _archive(members: Sequence[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as whole:
        for name, data in members:
            whole.writestr(name, data)
    return out.getvalue()


def sysdumps() -> Iterator[Case]:
    """Archives: damaged, with bombs, with names that lead elsewhere."""
    row = "archives of cilium sysdump"
    chance = random.Random("sysdumps")
    endpoints = _dumped(_sample("cluster/ciliumendpoints.json"))
    good = _archive([("dump/ciliumendpoints-20250809-172750.json", endpoints),
                     ("dump/k8s-pods-20250809-172750.json", _dumped({"items": [POD]}))])  # fmt: skip
    for place in range(0, len(good), 2):
        yield Case(f"cut at byte {place}", row, partial(_analyzed, "--cluster", good[:place], "text", "zip"), place)
        changed = bytearray(good)
        changed[place] ^= chance.randrange(1, 256)
        run = partial(_analyzed, "--cluster", bytes(changed), "text", "zip")
        yield Case(f"byte {place} changed", row, run, len(good))
    zeros = bytes(150_000_000)
    bombs = {
        "a list of 150 MB of zeros": [("ciliumendpoints.json", zeros)],
        "ten lists of 100 MB of blanks": [(f"a{n}/ciliumendpoints.json", b" " * 100_000_000) for n in range(10)],
        "names that lead elsewhere": [
            ("../../../tmp/ciliumendpoints.json", b"{}"),
            ("/etc/k8s-pods.json", b"{}"),
            ("a\\..\\ciliumnodes.json", b"{}"),
            ("\x1b[31m/k8s-nodes.json", b"x"),
        ],
        "50,000 members": [(f"a{n}/ciliumendpoints.json", b"") for n in range(50_000)],
        "a name of 60,000 bytes": [("a" * 60_000 + "/ciliumendpoints.json", b"x")],
        "an archive in an archive": [("ciliumendpoints.json", good)],
    }
    for label, members in bombs.items():
        data = _archive(members)
        size = max(sum(len(content) for _, content in members), len(data))
        yield Case(label, row, partial(_processed, "--cluster", data, "zip"), size)
    lies = bytearray(good)
    at = good.rfind(b"PK\x01\x02")
    struct.pack_into("<II", lies, at + 20, 1 << 31, 0xFFFFFFFE)
    yield Case("sizes that lie", row, partial(_processed, "--cluster", bytes(lies), "zip"), len(lies))
    yield Case("an end alone", row, partial(_processed, "--cluster", b"PK\x05\x06" + bytes(18), "zip"), 22)


def expectations() -> Iterator[Case]:
    """Expectation files: each value another, and TOML that is none."""
    row = "expectations"
    text = (CAPTURES / "overlay.toml").read_text()
    lines = [line for line in text.splitlines() if "=" in line]
    values = ("0", "-1", "1e400", "nan", "inf", "true", '""', '"x"', '"1ms"', '"\\u001b[31m"', "[]", "[1]", '["x"]',
              "[[]]", "{}", "{a = 1}", "2025-08-09", "9" * 30, "0x7fffffffffffffff", '"' + "x" * 10_000 + '"',
              '["* -> *"]', '["<->"]', '["a <-> b <-> c"]', '["eth1 → eth2"]', "07:32:00")  # fmt: skip
    keys = [line.partition("=")[0].strip() for line in lines]
    from vxtool.analysis.expectation_file import expectation_schema

    for key in sorted({*keys, *expectation_schema()["properties"], "no_such", "a.b", '"\\u001b"'}):
        for value in values:
            data = f"{key} = {value}\n".encode()
            for format_ in ("text", "json", "junit"):
                run = partial(_analyzed, "--expect", data, format_, "toml")
                yield Case(f"{key} = {value[:20]}, {format_}", row, run, len(data))
    for place in range(len(text)):
        yield Case(
            f"cut at {place}", row, partial(_analyzed, "--expect", text[:place].encode(), "text", "toml"), place
        )
    for label, data in _odd_toml():
        yield Case(label, row, partial(_processed, "--expect", data, "toml"), len(data))


def _odd_toml() -> Iterator[tuple[str, bytes]]:
    yield "nested lists", b"a = " + b"[" * 50_000
    yield "nested lists, closed", b"a = " + b"[" * 50_000 + b"]" * 50_000
    yield "nested tables", b"a = " + b"{a = " * 50_000
    yield "a dotted key", b".".join([b"a"] * 50_000) + b" = 1"
    yield "a dotted table", b"[" + b".".join([b"a"] * 50_000) + b"]"
    yield "100,000 tables", b"".join(b"[a%d]\n" % n for n in range(60_000))
    yield "100,000 lists of tables", b"[[a]]\n" * 100_000
    yield "100,000 keys", b"".join(b"a%d = 1\n" % n for n in range(60_000))
    yield "deeper and deeper", b"".join(b"[" + b".".join([b"a"] * n) + b"]\n" for n in range(1, 900))
    yield "keys twice", b"max_dropped = 0\nmax_dropped = 1\n"
    yield "a number of 5,000 digits", b"max_dropped = " + b"9" * 5_000
    yield "NUL", b"max_dropped = \0"
    yield "invalid UTF-8", b"max_dropped = '\xff'"
    yield "a lone surrogate", b'talks = ["\\ud800"]'
    yield "a byte order mark", b"\xef\xbb\xbfmax_dropped = 0"
    yield "carriage returns", b"max_dropped = 0\r" * 100
    yield "a text without end", b'a = "' + b"x" * 900_000
    yield "a comment of 900 KB", b"#" + b"x" * 900_000
    yield "line feeds", b"\n" * 900_000
    yield "blanks", b" " * 900_000
    yield "equals signs", b"=" * 900_000
    yield "quotes", b'"' * 900_000
    yield "nothing", b""


def _with_defaults(data: bytes, arguments: Sequence[str]) -> tuple[str, Done]:
    """`vxtool` in a folder with such a vxtool.toml."""
    folder = work_folder() / "folder"
    folder.mkdir(exist_ok=True)
    (folder / "vxtool.toml").write_bytes(data)
    done = process(arguments, folder=folder)
    return _judged(done, "", "text"), done  # files that it names may be what is wrong


def defaults() -> Iterator[Case]:
    """A vxtool.toml in a folder with captures, which a stranger made."""
    row = "vxtool.toml"
    values = ("0", "-1", "1e400", "true", '""', '"x"', '"/etc/passwd"', '["/etc/passwd"]', "[]", "[[]]", "{}",
              '"\\u001b[31m"', "2025-08-09", "9" * 400, '["a", 1]')  # fmt: skip
    from vxtool.cli.commands import commands_with_defaults
    from vxtool.cli.defaults import options_of

    chance = random.Random("defaults")
    keys = sorted({key for one in commands_with_defaults().values() for key in options_of(one)})
    for key in [*keys, "no-such", "output"]:
        for value in values:
            for table in ("", "[analyze]\n"):
                if chance.random() < 0.5:
                    continue
                data = f"{table}{key} = {value}\n".encode()
                run = partial(_with_defaults, data, ["analyze", CAPTURE])
                yield Case(f"{table.strip()} {key} = {value[:20]}", row, run, len(data))
    for label, data in _odd_toml():
        yield Case(label, row, partial(_with_defaults, data, ["analyze", CAPTURE]), len(data))
    huge = b"# " + b"x" * 300_000_000
    yield Case("300 MB", row, partial(_with_defaults, huge, ["analyze", CAPTURE]), 1 << 20)


def _compared(data: bytes, format_: str) -> str:
    path = as_file(data, "report.json")
    done = command(["diff", path, CAPTURE, "--format", format_])
    return _judged(done, path, format_)


def _compared_in_process(data: bytes) -> tuple[str, Done]:
    path = as_file(data, "report.json")
    done = process(["diff", CAPTURE, path])
    return _judged(done, path, "text"), done


def reports() -> Iterator[Case]:
    """Reports as JSON for diff: each value another, each left out, cut anywhere."""
    row = "reports for diff"
    chance = random.Random("reports")
    import vxtool
    from vxtool.report.json import render

    text = render(vxtool.analyze([CAPTURE], links=[str(CAPTURES / "vxlan.links.json")]))
    value = json.loads(text)
    for way in list(paths_of(value)):
        place = "/".join(map(str, way)) or "all of it"
        for other in OTHERS:
            data = _dumped(replaced(value, way, other))
            run = partial(_compared, data, chance.choice(["text", "json", "markdown"]))
            yield Case(f"{place} is {str(other)[:20]!r}", row, run, len(data))
        if way:
            data = _dumped(replaced(value, way, None, drop=True))
            yield Case(f"without {place}", row, partial(_compared, data, "text"), len(data))
    data = text.encode()
    for place in range(0, len(data), 40):
        yield Case(f"cut at byte {place}", row, partial(_compared, data[:place], "text"), place)
    for number in range(800):
        changed = bytearray(data)
        changed[chance.randrange(len(data))] = chance.choice([0, 0x1B, 0x22, 0x2D, 0x39, 0x5C, 0x7B, 0xFF])
        yield Case(f"bytes changed, number {number}", row, partial(_compared, bytes(changed), "text"), len(data))
    for label, data in {
        "nested": b'{"schema":' + b"[" * NESTED, "digits": b'{"schema":' + b"9" * 100_000 + b"}",
        "nothing but a schema": b'{"schema": "vxtool.report/1"}', "1e999": b'{"schema": 1e999}',
    }.items():  # fmt: skip
        yield Case(label, row, partial(_compared_in_process, data), len(data))


def _filled(before: bytes, part: bytes, after: bytes) -> bytes:
    return before + part * ((LARGE - len(before) - len(after)) // len(part)) + after


def large() -> Iterator[Case]:
    """120 MB: of one line, of brackets, of lines of two bytes."""
    row = "files of 120 MB"
    files: dict[str, tuple[bytes, bytes, bytes]] = {
        "empty lists": (b'{"kind":"List","items":[', b"[],", b"1]}"),
        "empty objects": (b'{"kind":"List","items":[', b"{},", b"1]}"),
        "objects of a kind": (b'{"kind":"List","items":[', b'{"kind":"Pod"},', b"1]}"),
        "numbers": (b'{"kind":"List","items":[', b"1,", b"1]}"),
        "one text": (b'{"kind":"', b"a", b'"}'),
        "one text with a wide character": ('{"kind":"\U0001f600'.encode(), b"a", b'"}'),
        "one line of no JSON": (b"", b"a", b""),
        "lines": (b"", b"a\n", b""),
        "a table": (b"NAME ENDPOINT ID IDENTITY ID\n", b"a 1 1\n", b""),
        "too much": (b'{"kind":"List","items":[' + b" " * 20_000_000, b"[],", b"1]}"),
    }
    for label, parts in files.items():
        for option in ("--cluster", "--links", "--routes"):
            run = partial(_processed, option, partial(_filled, *parts))
            yield Case(f"{label}, {option}", row, run, LARGE, 1_200, LARGE_MEMORY)
    yaml = {
        "YAML, a list": (b"kind: List\nitems:\n", b"- a\n", b""),
        "YAML, lists": (b"kind: List\nitems: [", b"[],", b"]\n"),
        "YAML, one text": (b"kind: List\nitems: ", b"a", b"\n"),
    }
    for label, parts in yaml.items():
        run = partial(_processed, "--cluster", partial(_filled, *parts), "yaml")
        yield Case(label, row, run, LARGE, 1_800, LARGE_MEMORY)
