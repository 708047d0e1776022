"""Tables as kubectl prints them and as people paste them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vxtool.cluster.knowledge import Backend, Endpoint, Facts, NodeAddress, Service
from vxtool.cluster.tables import parse_tables

ENDPOINTS = """\
NAME                      SECURITY IDENTITY   ENDPOINT STATE   IPV4           IPV6
curl-pod                  36705               ready            172.20.0.107   \n\
webpod-697b545f57-7q4gk   17701               ready            172.20.1.25    \n\
webpod-697b545f57-8tcp6   17701               ready            172.20.2.4     \n\
"""
CURL = Endpoint("curl-pod", "default", 36705, ("172.20.0.107",))
WEB_1 = Endpoint("webpod-697b545f57-7q4gk", "default", 17701, ("172.20.1.25",))
WEB_2 = Endpoint("webpod-697b545f57-8tcp6", "default", 17701, ("172.20.2.4",))


def endpoints(text: str, namespace: str | None = "default") -> list[Endpoint]:
    return parse_tables(text, namespace).endpoints


def test_the_table_of_endpoints_gives_name_identity_and_address() -> None:
    facts = parse_tables(ENDPOINTS, "default")
    assert facts.endpoints == [CURL, WEB_1, WEB_2]
    assert facts.kinds == {"ciliumendpoints": 3}
    assert not facts.skipped


def test_without_a_namespace_none_is_made_up() -> None:
    assert endpoints(ENDPOINTS, None)[0].namespace is None


PASTES = {
    "prompt and command before": "root@k8s-ctr:~# kubectl get ciliumendpoints\n" + ENDPOINTS,
    "a prompt that begins like JSON": "[root@k8s-ctr ~]# kubectl get ciliumendpoints\n" + ENDPOINTS,
    "prompt behind": ENDPOINTS + "(⎈|lab:N/A) root@k8s-ctr:~# ",
    "blank lines around": "\n\n" + ENDPOINTS.replace("\n", "\n\n") + "\n",
    "indented": "".join("    " + line + "\n" for line in ENDPOINTS.splitlines()),
    "indented but for the first line": ENDPOINTS.replace("\n", "\n    "),
    "CRLF": ENDPOINTS.replace("\n", "\r\n"),
    "trailing blanks cut": "\n".join(line.rstrip() for line in ENDPOINTS.splitlines()),
    "padded to a wide terminal": "\n".join(line.ljust(240) for line in ENDPOINTS.splitlines()),
    "blanks squeezed": re.sub(r" +", " ", ENDPOINTS),
    "tabs for blanks": re.sub(r" {2,}", "\t", ENDPOINTS),
    "kind before the names": re.sub(r"^(?=curl|web)", "ciliumendpoint.cilium.io/", ENDPOINTS, flags=re.M),
}


@pytest.mark.parametrize("paste", PASTES.values(), ids=PASTES.keys())
def test_a_paste_says_the_same(paste: str) -> None:
    assert endpoints(paste) == [CURL, WEB_1, WEB_2]


def test_a_namespace_column_wins_over_the_option() -> None:
    text = """\
NAMESPACE     NAME        SECURITY IDENTITY   ENDPOINT STATE   IPV4           IPV6
default       curl-pod    36705               ready            172.20.0.107
kube-system   coredns-0   102                 ready            172.20.0.9
"""
    assert [(entry.namespace, entry.name) for entry in endpoints(text, "other")] == [
        ("default", "curl-pod"),
        ("kube-system", "coredns-0"),
    ]


def test_an_empty_ipv4_column_does_not_shift_the_ipv6_address() -> None:
    text = """\
NAME       SECURITY IDENTITY   ENDPOINT STATE   IPV4         IPV6
six-only   300                 ready                         fd00:172:20:0:0:0:0:6b
both       301                 ready            172.20.0.8   fd00:172:20::8
"""
    assert [entry.addresses for entry in endpoints(text)] == [
        ("fd00:172:20::6b",),
        ("172.20.0.8", "fd00:172:20::8"),
    ]


def test_an_endpoint_without_identity_or_without_address_keeps_the_other() -> None:
    text = """\
NAME       SECURITY IDENTITY   ENDPOINT STATE         IPV4         IPV6
starting   300                 waiting-for-identity
unnamed                        ready                  172.20.0.8
nothing                        creating
"""
    facts = parse_tables(text)
    assert facts.endpoints == [
        Endpoint("starting", None, 300),
        Endpoint("unnamed", None, None, ("172.20.0.8",)),
    ]
    assert facts.skipped.total() == 1


def test_rows_wider_than_the_header_are_read_by_their_words() -> None:
    text = """\
NAME   SECURITY IDENTITY   ENDPOINT STATE   IPV4        IPV6
a      300                 ready            10.0.0.1
a-name-that-came-later-while-watching   301   ready   10.0.0.2   fd00::2
"""
    assert endpoints(text)[1] == Endpoint(
        "a-name-that-came-later-while-watching", "default", 301, ("10.0.0.2", "fd00::2")
    )


def test_older_columns_tell_the_identity_from_the_endpoint_id() -> None:
    text = """\
NAME       ENDPOINT ID   IDENTITY ID   INGRESS ENFORCEMENT   EGRESS ENFORCEMENT   ENDPOINT STATE   IPV4       IPV6
curl-pod   2117          36705         false                 false                ready            10.0.0.7
"""
    assert endpoints(text) == [Endpoint("curl-pod", "default", 36705, ("10.0.0.7",))]
    assert endpoints(re.sub(r" +", " ", text)) == [Endpoint("curl-pod", "default", 36705, ("10.0.0.7",))]


@pytest.mark.parametrize("number", ["16777216", "99999999999999999999", "-5", "0x10", "٣"])
def test_a_number_that_is_no_identity_is_none(number: str) -> None:
    text = f"""\
NAME       SECURITY IDENTITY      ENDPOINT STATE   IPV4       IPV6
curl-pod   {number:20}   ready            10.0.0.7
"""
    assert all(entry.identity is None for entry in endpoints(text))


PODS = """\
NAME           READY   STATUS      RESTARTS     AGE   IP             NODE      NOMINATED NODE
curl-pod       1/1     Running     1 (3h ago)   21m   172.20.0.107   k8s-ctr   <none>
waiting        0/1     Pending     0            1m    <none>         <none>    <none>
old-job-x      0/1     Completed   0            9d    172.20.0.107   k8s-ctr   <none>
kube-proxy-a   1/1     Running     0            9d    192.168.10.1   k8s-ctr   <none>
cilium-a       1/1     Running     0            9d    192.168.10.1   k8s-ctr   <none>
"""


def test_the_wide_table_of_pods_gives_names_addresses_and_nodes() -> None:
    facts = parse_tables(PODS, "default")
    assert facts.endpoints == [Endpoint("curl-pod", "default", None, ("172.20.0.107",), node_name="k8s-ctr")]


def test_an_address_that_pods_share_is_their_nodes() -> None:
    assert parse_tables(PODS).nodes == [NodeAddress("192.168.10.1", "k8s-ctr", internal=True)]


def test_pods_are_read_by_words_where_blanks_are_squeezed() -> None:
    facts = parse_tables(re.sub(r" +", " ", PODS), "default")
    assert facts.endpoints == [Endpoint("curl-pod", "default", None, ("172.20.0.107",), node_name="k8s-ctr")]


def test_tables_of_nodes_give_their_addresses() -> None:
    text = """\
NAME      CILIUMINTERNALIP   INTERNALIP       AGE
k8s-ctr   172.20.0.229       192.168.10.100   21m

NAME     STATUS   ROLES    AGE   VERSION   INTERNAL-IP      EXTERNAL-IP   OS-IMAGE
k8s-w0   Ready    <none>   21m   v1.33.2   192.168.20.100   <none>        Ubuntu 24.04
"""
    facts = parse_tables(text)
    assert set(facts.nodes) == {
        NodeAddress("172.20.0.229", "k8s-ctr"),
        NodeAddress("192.168.10.100", "k8s-ctr", internal=True),
        NodeAddress("192.168.20.100", "k8s-w0", internal=True),
    }
    assert facts.kinds == {"ciliumnodes": 1, "nodes": 1}


def test_a_table_without_addresses_is_of_no_use() -> None:
    facts = parse_tables(
        "NAME       READY   STATUS    RESTARTS   AGE\ncurl-pod   1/1     Running   0          21m\n"
    )
    assert not facts.kinds
    assert facts.skipped.total() == 1


@given(st.text(alphabet=st.sampled_from("abN M3.:-/<>\t\r\n\x1b\u202e"), max_size=400))
def test_any_text_behind_a_header_is_read_or_counted(text: str) -> None:
    facts = parse_tables(ENDPOINTS + text)
    assert isinstance(facts, Facts)
    assert facts.endpoints[:2] == [
        Endpoint(entry.name, None, entry.identity, entry.addresses) for entry in (CURL, WEB_1)
    ]


# The founding case's own two tables, as pasted (services.txt).
SERVICES = """\
NAME         TYPE        CLUSTER-IP    EXTERNAL-IP   PORT(S)   AGE
kubernetes   ClusterIP   10.96.0.1     <none>        443/TCP   65m
webpod       ClusterIP   10.96.17.34   <none>        80/TCP    11m

NAME               ENDPOINTS                                     AGE
endpoints/webpod   172.20.0.37:80,172.20.1.25:80,172.20.2.4:80   54s
"""


def test_tables_of_services_and_their_endpoints_are_read() -> None:
    facts = parse_tables(SERVICES, "default")
    assert facts.services == [
        Service("kubernetes", "default", ("10.96.0.1",), (("TCP", 443),)),
        Service("webpod", "default", ("10.96.17.34",), (("TCP", 80),)),
    ]
    assert facts.backends == [
        Backend(address, "default/webpod") for address in ("172.20.0.37", "172.20.1.25", "172.20.2.4")
    ]
    assert facts.kinds == {"services": 2, "endpoints": 1}
    assert not facts.skipped


def test_services_of_all_kinds_and_namespaces_are_read() -> None:
    # As `kubectl get services -A` prints them.
    text = """\
NAMESPACE     NAME       TYPE           CLUSTER-IP   EXTERNAL-IP              PORT(S)                      AGE
default       web        LoadBalancer   10.96.1.2    192.0.2.50,192.0.2.51    80:30080/TCP,443:30443/TCP   1d
kube-system   kube-dns   ClusterIP      10.96.0.10   <none>                   53/UDP,53/TCP,9153/TCP       1d
default       waiting    LoadBalancer   10.96.1.3    <pending>                80/TCP                       1d
default       six        ClusterIP      fd00:96::a   <none>                   80/TCP                       1d
default       db         ClusterIP      None         <none>                   5432/TCP                     1d
default       away       ExternalName   <none>       db.example.com           <none>                       1d
"""
    facts = parse_tables(text)
    assert [(str(each), each.addresses, each.ports) for each in facts.services] == [
        ("default/web", ("10.96.1.2", "192.0.2.50", "192.0.2.51"), (("TCP", 80), ("TCP", 443))),
        ("kube-system/kube-dns", ("10.96.0.10",), (("UDP", 53), ("TCP", 53), ("TCP", 9153))),
        ("default/waiting", ("10.96.1.3",), (("TCP", 80),)),
        ("default/six", ("fd00:96::a",), (("TCP", 80),)),
    ]
    # Those have no address: the headless one's are its pods', the other's is a name.
    assert facts.skipped == {"row": 2}


def test_a_long_list_of_endpoints_is_read_as_far_as_it_is_printed() -> None:
    text = """\
NAMESPACE   NAME   ENDPOINTS                                      AGE
default     web    10.0.0.1:80,[fd00::1]:80,10.0.0.3:80 + 7 more...   1d
default     none   <none>                                         1d
"""
    facts = parse_tables(text)
    assert facts.backends == [Backend(address, "default/web") for address in ("10.0.0.1", "fd00::1", "10.0.0.3")]
    assert facts.skipped == {"row": 1}


def test_endpointslices_as_a_table_do_not_name_their_service() -> None:
    text = """\
NAME           ADDRESSTYPE   PORTS   ENDPOINTS                AGE
webpod-x7f2p   IPv4          80      172.20.0.37,172.20.1.25   11m
"""
    facts = parse_tables(text)
    assert not facts.kinds
    assert not facts.backends
