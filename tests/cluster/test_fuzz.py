"""Whatever a file holds: it is understood, or refused in one line."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from conftest import require_module
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vxtool.cluster import load_cluster
from vxtool.errors import UsageError

WORDS = (
    "kind", "items", "metadata", "name", "namespace", "spec", "status", "identity", "id", "labels", "networking",
    "addressing", "ipv4", "ipv6", "node", "security-labels", "addresses", "ip", "address", "type", "ipam",
    "podCIDRs", "podCIDR", "pools", "allocated", "cidrs", "health", "ingress", "endpoints", "clusterIP",
    "clusterIPs", "ports", "port", "protocol", "loadBalancer", "externalIPs", "creationTimestamp", "podIP",
    "hostIP", "nodeName", "phase", "kubernetes.io/service-name",
)  # fmt: skip
KINDS = (
    "List", "CiliumEndpoint", "CiliumEndpointList", "CiliumEndpointSlice", "CiliumIdentity", "CiliumNode",
    "EndpointSlice", "Node", "Pod", "PodList", "Service", "Secret",
)  # fmt: skip
TEXTS = (
    *KINDS, "10.0.0.1", "10.0.0.1/32", "fd00::/64", "0.0.0.0/0", "300", "16777216", "InternalIP", "a", "",
    "2025-08-09T16:01:52Z", "9999-12-31T23:59:59-23:59", "identity=300 encryptkey=0", "k8s:app=a", "reserved:host",
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 1 << 33),
    st.floats(allow_nan=False),
    st.sampled_from(TEXTS),
    st.text(max_size=8),
)
KEYS = st.one_of(st.sampled_from(WORDS), st.sampled_from(TEXTS), st.text(max_size=4))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=5),
        st.builds(lambda kind, rest: {"kind": kind} | rest, st.sampled_from(KINDS), st.dictionaries(KEYS, inner)),
    ),
    max_leaves=24,
)
MARKS = ("kind:", "items:", "apiVersion:", "- ", "? ", ": ", "&a ", "*a", "!!set ", "!!binary ", "!!timestamp ",
         "<<: ", "|", ">", "---", "...", "{", "}", "[", "]", '"', "'", "%YAML 1.1", "#", "\t", "0x", "1e", "=",
         ".inf", "190:20:30", "2025-13-40")  # fmt: skip
YAML = st.lists(
    st.one_of(
        st.sampled_from(MARKS),
        st.sampled_from(("\n", "\n  ", "\n    ", " ")),
        st.sampled_from(TEXTS),
        st.text(max_size=3),
    ),
    max_size=30,
).map(lambda parts: "kind: List\n" + "".join(parts))
FUZZ = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _with_yaml() -> None:
    require_module("yaml")


def read(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    refusal = None
    try:
        cluster = load_cluster([str(path)], cluster_id_bits=9)
    except UsageError as error:
        refusal = str(error)
    if refusal is not None:
        assert refusal.isprintable()
        assert str(path) in refusal
        return
    # What was understood can be asked.
    assert len(cluster.sources) == 1
    for address in ("10.0.0.1", "fd00::1"):
        number = cluster.identity_of(address)
        assert number is None or 0 <= number < 1 << 24
        assert cluster.is_node_address(address) in (True, False)
        share, service = cluster.pod_cidr(address), cluster.service(address, 80)
        assert share is None or share.node
        assert service is None or service.name
        assert all(cluster.services_of(address))


@given(document=VALUES)
@FUZZ
def test_any_json_is_understood_or_refused(document: object, tmp_path: Path) -> None:
    read(tmp_path / "a.json", json.dumps(document).encode())


@given(document=VALUES)
@FUZZ
def test_any_json_is_understood_as_yaml_or_refused(document: object, tmp_path: Path) -> None:
    read(tmp_path / "a.yaml", b"---\nkind: List\nitems:\n- " + json.dumps(document).encode())


@given(text=YAML)
@FUZZ
@example(text="kind: !!timestamp 2025-13-40")
@example(text="kind: !!int ''")
@example(text="kind: !!float x")
@example(text="kind: !!binary x")
@example(text="kind: !!bool x")
@example(text="kind: 0b")
@example(text="kind: !!set {{a: b}: c}")
def test_any_yaml_is_understood_or_refused(text: str, tmp_path: Path) -> None:
    read(tmp_path / "a.yaml", text.encode("utf-8", "replace"))


@given(data=st.binary(max_size=64))
@FUZZ
def test_any_bytes_are_understood_or_refused(data: bytes, tmp_path: Path) -> None:
    read(tmp_path / "a", data)


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as whole:
        for name in ("ciliumendpoints", "k8s-pods"):
            item = {"metadata": {"name": "a"}, "status": {"identity": {"id": 300}, "podIP": "10.0.0.1"}}
            whole.writestr(f"dump/{name}-20250809-172750.json", json.dumps({"items": [item]}))
    return out.getvalue()


@given(
    changes=st.lists(st.tuples(st.integers(0, len(archive()) - 1), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, len(archive())),
)
@FUZZ
def test_any_damage_to_an_archive_is_survived(changes: list[tuple[int, int]], cut: int, tmp_path: Path) -> None:
    data = bytearray(archive())
    for at, value in changes:
        data[at] = value
    read(tmp_path / "a.zip", bytes(data[: cut if len(changes) < 2 else None]))
