"""Kubernetes objects in YAML say the same as in JSON; what is dangerous or no YAML is refused in one line."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import CLUSTER_FILES, require_module, require_tool

from vxtool.cluster import load_cluster
from vxtool.errors import UsageError

require_yaml = pytest.fixture(autouse=True)(lambda: require_module("yaml"))

# As `kubectl get pods,services -A -o yaml` prints them, cut to what is read.
LIST = """\
apiVersion: v1
items:
- apiVersion: v1
  kind: Pod
  metadata:
    creationTimestamp: "2025-08-09T16:01:50Z"
    name: curl-pod
    namespace: default
  spec:
    nodeName: k8s-ctr
  status:
    hostIP: 192.168.10.100
    phase: Running
    podIP: 172.20.0.107
    podIPs:
    - ip: 172.20.0.107
- apiVersion: v1
  kind: Service
  metadata:
    name: webpod
    namespace: default
  spec:
    clusterIP: 10.96.17.34
    clusterIPs:
    - 10.96.17.34
    ports:
    - port: 80
      protocol: TCP
      targetPort: 80
kind: List
metadata:
  resourceVersion: ""
"""
IDENTITY = """\
apiVersion: cilium.io/v2
kind: CiliumIdentity
metadata:
  creationTimestamp: 2025-08-09T16:01:46Z
  name: "17701"
security-labels:
  k8s:app: webpod
  k8s:io.kubernetes.pod.namespace: default
"""


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_list_of_several_kinds_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "cluster.yaml", LIST)
    cluster = load_cluster([path])
    assert str(cluster.pod("172.20.0.107")) == "default/curl-pod"
    assert cluster.node("192.168.10.100") == "k8s-ctr"
    assert str(cluster.service("10.96.17.34")) == "default/webpod"
    # 2025-08-09 16:01:50 UTC is 1754755310 s after 1970, as `date -d` has it.
    assert [source[:6] for source in cluster.sources] == [
        (path, "pods + services", 2, 0, None, 1_754_755_310_000_000_000)
    ]


def test_several_documents_in_a_file_are_read(tmp_path: Path) -> None:
    cluster = load_cluster([written(tmp_path / "all.yaml", f"---\n{LIST}---\n---\n{IDENTITY}")])
    assert cluster.pod("172.20.0.107") is not None
    info = cluster.identity(17701)
    assert info is not None
    assert (info.name, info.namespace) == ("webpod", "default")


@pytest.mark.parametrize("name", ["ciliumendpoints", "ciliumidentities", "ciliumnodes"])
def test_what_kubectl_itself_writes_as_yaml_says_the_same_as_its_json(name: str, tmp_path: Path) -> None:
    kubectl = require_tool("kubectl")
    source = CLUSTER_FILES / f"{name}.json"
    # Of the commands that need no cluster, this one prints any object that it reads.
    command = [kubectl, "annotate", "--local", "-f", str(source), "a=b", "-o", "yaml"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    one, other = load_cluster([str(source)]), load_cluster([written(tmp_path / f"{name}.yaml", text)])
    assert text.startswith("apiVersion: cilium.io/v2\n")
    assert one.pods == other.pods
    assert one.nodes == other.nodes
    assert one.identities == other.identities
    assert one.pod_cidrs == other.pod_cidrs


def test_without_pyyaml_the_way_out_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "cluster.yaml", LIST)
    program = (
        "import sys; sys.modules['yaml'] = None; from vxtool.cluster import load_cluster; "
        "from vxtool.errors import UsageError\n"
        "try: load_cluster([sys.argv[1]])\nexcept UsageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program, path], check=True, capture_output=True, text=True)
    assert done.stdout == (
        f"{path}: is YAML, and PyYAML is not installed: `pip install 'vxtool[yaml]'`, or take it with `-o json` "
        "instead\n"
    )


BOMB = "kind: List\na: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

REFUSED = {
    "aliases": (BOMB, r"line \d, column \d+: an alias"),
    "an alias of itself": ("kind: List\nitems: &a\n- *a\n", r"line \d, column \d+: an alias"),
    "a merge": ("kind: &a {b: c}\nitems:\n  <<: *a\n", r"line \d, column \d+: an alias"),
    "cut short": ('kind: List\nitems:\n- kind: "Po', "line 3, column"),
    "a tab": ("kind: List\n\titems: []\n", "line 2, column 1"),
    "deep nesting": ("kind: " + "[" * 100_000, "line 1|nested too deeply"),
    "a Python object": ("kind: !!python/object/apply:os.system ['true']\n", "line 1, column 7: a tag"),
    "a set": ("kind: !!set {a, b}\n", "line 1, column 7: a tag"),
    "a forbidden character": ("kind: \x01\n", "is no YAML that can be used"),
    "a number of many digits": ("kind: List\nitems: " + "1" * 5000 + "\n", "used .a number has more than 4,300 d"),
    "nothing of use": ("kind: ConfigMap\nmetadata:\n  name: a\n", "'ConfigMap'"),
    "only a list of others": ("kind: List\nitems:\n- kind: Secret\n- 7\n", "'Secret', 'no kind'"),
    "a key that JSON has not": ("kind: {[a]: b}\n", "line 1, column 8: a key that is no text"),
}


@pytest.mark.parametrize(("text", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_yaml_of_use_is_refused_in_one_line(text: str, told: str, tmp_path: Path) -> None:
    path = written(tmp_path / "cluster.yaml", text)
    begin = time.monotonic()
    with pytest.raises(UsageError, match=told) as caught:
        load_cluster([path])
    message = str(caught.value)
    assert message.startswith(path)
    assert message.isprintable()
    assert len(message) < 700
    # 9 ** 8 copies of a list would take minutes.
    assert time.monotonic() - begin < 10


def test_an_asterisk_in_a_text_is_no_alias(tmp_path: Path) -> None:
    text = LIST.replace('resourceVersion: ""', 'note: "see *this"\n  schedule: "* */5 * * *"\n  more: a *b c')
    assert load_cluster([written(tmp_path / "cluster.yaml", text)]).pod("172.20.0.107") is not None
