"""Messages of applications read as Wireshark shows them, whatever the bytes, and never for long."""

from __future__ import annotations

import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import capture_files, require_tool
from hypothesis import given
from hypothesis import strategies as st
from summary.exchanges import (
    Packet,
    client_hello,
    comparable,
    datagram,
    dhcp,
    dns,
    encrypted_looks_plain,
    extension,
    handshake,
    listed,
    name,
    question,
    record,
    segments,
    server_hello,
    server_name,
    tls_record,
    tls_session,
    wireshark,
    write_capture,
)

from vxtool.listing.applications import TCP, UDP, Applications, describe, may_begin
from vxtool.listing.messages.columns import MOST_TEXT, PART

RESPONSE = 0x8180
IPV4 = bytes([93, 184, 216, 34])
IPV6 = bytes.fromhex("20010db8000000000000000000000001")
SOA = name("ns.example.com") + name("root.example.com") + struct.pack(">5I", 1, 2, 3, 4, 5)
OPT = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)
SERVICE = struct.pack(">3H", 1, 2, 5060) + name("sip.example.com")
KEY_SIGNED = struct.pack(">HBBIIIH", 1, 8, 2, 300, 1, 2, 3) + name("example.com") + b"x" * 64
LOCAL = "_ipp._tcp.local"

# A message, its port, and its columns: those of tshark 4.0.17, which a test below asks again.
DATAGRAMS: list[tuple[bytes, int, str, str]] = [
    (dns(question()), 53, "DNS", "Standard query 0x1a2b A example.com"),
    (
        dns(question(), answers=[record(1, IPV4)], flags=RESPONSE),
        53, "DNS", "Standard query response 0x1a2b A example.com A 93.184.216.34",
    ),
    (
        dns(question(), answers=[record(5, name("www.a.net")), record(1, IPV4), record(28, IPV6)], flags=RESPONSE),
        53, "DNS",
        "Standard query response 0x1a2b A example.com CNAME www.a.net A 93.184.216.34 AAAA 2001:db8::1",
    ),
    (
        dns(question("34.216.184.93.in-addr.arpa", 12), answers=[record(12, name("host.a.net"))], flags=RESPONSE),
        53, "DNS", "Standard query response 0x1a2b PTR 34.216.184.93.in-addr.arpa PTR host.a.net",
    ),
    (
        dns(question("_sip._tcp.example.com", 33), answers=[record(33, SERVICE)], flags=RESPONSE),
        53, "DNS", "Standard query response 0x1a2b SRV _sip._tcp.example.com SRV 1 2 5060 sip.example.com",
    ),
    (
        dns(question(kind=16), answers=[record(16, b"\x05hello\x05world")], flags=RESPONSE),
        53, "DNS", "Standard query response 0x1a2b TXT example.com TXT",
    ),
    (
        dns(question(kind=6), answers=[record(6, SOA)], flags=RESPONSE),
        53, "DNS", "Standard query response 0x1a2b SOA example.com SOA ns.example.com",
    ),
    (
        dns(question(kind=15), answers=[record(15, b"\0\x0a" + name("mx.example.com"))], flags=RESPONSE),
        53, "DNS", "Standard query response 0x1a2b MX example.com MX 10 mx.example.com",
    ),
    (
        dns(question(kind=2), answers=[record(2, name("a.net")), record(2, b"\1b\xc0\x0c")], flags=RESPONSE),
        53, "DNS", "Standard query response 0x1a2b NS example.com NS a.net NS b.example.com",
    ),
    (dns(question(), additional=[OPT]), 53, "DNS", "Standard query 0x1a2b A example.com OPT"),
    (
        dns(question(), authorities=[record(6, SOA)], flags=RESPONSE | 3),
        53, "DNS", "Standard query response 0x1a2b No such name A example.com SOA ns.example.com",
    ),
    (dns(question(), flags=RESPONSE | 2), 53, "DNS", "Standard query response 0x1a2b Server failure A example.com"),
    (dns(question(), flags=RESPONSE | 5), 53, "DNS", "Standard query response 0x1a2b Refused A example.com"),
    (
        dns(question(), flags=RESPONSE | 12),
        53, "DNS", "Standard query response 0x1a2b Unknown error (12) A example.com",
    ),
    (dns(question(), flags=0x8380), 53, "DNS", "Standard query response 0x1a2b A example.com"),
    (
        dns(question(kind=6), answers=[record(255, b"")], authorities=[record(1, IPV4)], flags=0x2800),
        53, "DNS", "Dynamic update 0x1a2b SOA example.com ANY A 93.184.216.34",
    ),
    (dns(question(), flags=0x2000), 53, "DNS", "Zone change notification 0x1a2b A example.com"),
    (dns(question("", 2)), 53, "DNS", "Standard query 0x1a2b NS <Root>"),
    (dns(question(), question("b.org", 28)), 53, "DNS", "Standard query 0x1a2b A example.com AAAA b.org"),
    (
        dns(question(kind=65), answers=[record(65, b"\0\1\0")], flags=RESPONSE),
        53, "DNS", "Standard query response 0x1a2b HTTPS example.com HTTPS",
    ),
    (
        dns(question(), answers=[record(1, IPV4), record(46, KEY_SIGNED)], flags=RESPONSE),
        53, "DNS", "Standard query response 0x1a2b A example.com A 93.184.216.34 RRSIG",
    ),
    (
        dns(question(kind=17), answers=[record(17, name("a.b") + name("c.d"))], flags=RESPONSE),
        53, "DNS", "Standard query response 0x1a2b RP example.com RP example.com",
    ),
    (dns(question(kind=1234)), 53, "DNS", "Standard query 0x1a2b Unknown (1234) example.com"),
    (dns(question("a\1b.com")), 53, "DNS", "Standard query 0x1a2b A a\\001b.com"),
    (dns(question("b\xc3\xbccher.de")), 53, "DNS", "Standard query 0x1a2b A bücher.de"),
    (dns(b"\xc0\x0c\0\1\0\1"), 53, "DNS", "Standard query 0x1a2b A <Name contains a pointer that loops>"),
    (dns(question(".".join(["a" * 63] * 6))), 53, "DNS", "Standard query 0x1a2b A <Name too long>"),
    (dns(b"\x41abc\0\0\1\0\1"), 53, "DNS", "Standard query 0x1a2b[Malformed Packet]"),
    (dns(question())[:20], 53, "DNS", "Standard query 0x1a2b[Malformed Packet]"),
    (
        dns(question(), answers=[record(1, IPV4)], flags=RESPONSE)[:-2],
        53, "DNS", "Standard query response 0x1a2b A example.com A[Malformed Packet]",
    ),
    (b"a", 53, "DNS", "[Malformed Packet]"),
    (
        dns(question(LOCAL, 12), question(LOCAL, 12, 0x8001), flags=0, identifier=0),
        5353, "MDNS", f'Standard query 0x0000 PTR {LOCAL}, "QM" question PTR {LOCAL}, "QU" question',
    ),
    (
        dns(answers=[record(1, IPV4, name("h.local"), 0x8001)], flags=0x8400, identifier=0),
        5353, "MDNS", "Standard query response 0x0000 A, cache flush 93.184.216.34",
    ),
    (dns(question("wpad")), 5355, "LLMNR", "Standard query 0x1a2b A wpad"),
    (b"\x23" + bytes(47), 123, "NTP", "NTP Version 4, client"),
    (b"\x1c" + bytes(47), 123, "NTP", "NTP Version 3, server"),
    (b"\x23" + bytes(20), 123, "NTP", "NTP Version 4, client[Malformed Packet]"),
    (dhcp(b"\x35\1\1\xff"), 67, "DHCP", "DHCP Discover - Transaction ID 0x1234abcd"),
    (dhcp(b"\x35\1\2\xff", 2), 67, "DHCP", "DHCP Offer    - Transaction ID 0x1234abcd"),
    (dhcp(b"\0\x0c\3abc\x35\1\3\xff", 1, 0xABC), 67, "DHCP", "DHCP Request  - Transaction ID 0xabc"),
    (dhcp(b"\xff"), 67, "BOOTP", "Boot Request from aa:aa:aa:aa:aa:aa (aa:aa:aa:aa:aa:aa)"),
    (
        b"\1\x12\x34\x56\0\1\0\x0a\0\3\0\1" + b"\xaa" * 6,
        547, "DHCPv6", "Solicit XID: 0x123456 CID: 00030001aaaaaaaaaaaa ",
    ),
    (
        b"\7\0\4\x56\0\3\0\x28" + bytes(12) + b"\0\5\0\x18" + IPV6 + bytes(8),
        547, "DHCPv6", "Reply XID: 0x000456 IAA: 2001:db8::1 ",
    ),
]  # fmt: skip

GET = b"GET /index.html HTTP/1.1\r\nHost: example.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
GET_TOLD = ("HTTP", "GET /index.html HTTP/1.1 ")
OK_TOLD = ("HTTP", "HTTP/1.1 200 OK ")
PAGE_TOLD = ("HTTP", "HTTP/1.1 200 OK  (text/html)")
OK_WAITING = ("TCP", "HTTP/1.1 200 OK  " + PART)
OWN = ("TCP", "")
HTML = b"Content-Type: text/html; charset=utf-8\r\n"

# What is said, and the columns of each segment.
HTTP: dict[str, list[tuple[bool, bytes, tuple[str, str]]]] = {
    "a page": [
        (True, GET, GET_TOLD),
        (
            False, b"HTTP/1.0 200 OK\r\n" + HTML + b"Content-Length: 5\r\n\r\nhello",
            ("HTTP", "HTTP/1.0 200 OK  (text/html)"),
        ),
    ],
    "a body in later segments": [
        (True, GET, GET_TOLD),
        (False, OK + HTML + b"Content-Length: 15\r\n\r\nab", OK_WAITING),
        (False, b"hello", ("TCP", PART)),
        (False, b"ellohell", PAGE_TOLD),
    ],
    "headers in two segments": [
        (True, b"GET / HTTP/1.1\r\nHost: exa", ("TCP", "GET / HTTP/1.1  " + PART)),
        (True, b"mple.com\r\n\r\n", ("HTTP", "GET / HTTP/1.1 ")),
        (False, OK + b"Conte", OK_WAITING),
        (False, b"nt-Length: 4\r\n\r\nabcd", OK_TOLD),
    ],
    "a first line in two segments": [
        (True, b"GET /ab", OWN),
        (True, b"cd HTTP/1.1\r\n\r\n", ("HTTP", "GET /abcd HTTP/1.1 ")),
    ],
    "no body by method or status": [
        (True, b"HEAD / HTTP/1.1\r\n\r\n", ("HTTP", "HEAD / HTTP/1.1 ")),
        (False, OK + HTML + b"Content-Length: 15\r\n\r\n", OK_TOLD),
        (True, GET, GET_TOLD),
        (False, b"HTTP/1.1 204 No Content\r\n\r\n", ("HTTP", "HTTP/1.1 204 No Content ")),
        (True, GET, GET_TOLD),
        (
            False, b"HTTP/1.1 304 Not Modified\r\n" + HTML + b"Content-Length: 15\r\n\r\n",
            ("HTTP", "HTTP/1.1 304 Not Modified "),
        ),
        (True, GET, GET_TOLD),
        (False, OK + b"Content-Length: 0\r\n\r\n", OK_TOLD),
    ],
    "a body that waits to be asked for": [
        (
            True, b"POST / HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
            ("TCP", "POST / HTTP/1.1  " + PART),
        ),
        (False, b"HTTP/1.1 100 Continue\r\n\r\n", ("HTTP", "HTTP/1.1 100 Continue ")),
        (True, b"a=bc", ("HTTP", "POST / HTTP/1.1 ")),
    ],
    "chunks": [
        (True, GET, GET_TOLD),
        (False, OK + HTML + b"Transfer-Encoding: chunked\r\n\r\n", OK_WAITING),
        (False, b"5\r\nhe", OK_WAITING),
        (False, b"ll", OK_WAITING),
        (False, b"o\r\n0", OK_WAITING),
        (False, b"\r\n\r\n", PAGE_TOLD),
        (True, GET, GET_TOLD),
        (False, OK + HTML + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", PAGE_TOLD),
        (True, GET, GET_TOLD),
        (False, OK + HTML + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", OK_TOLD),
    ],
    "two in a segment": [
        (True, GET + b"GET /b HTTP/1.1\r\n\r\n", ("HTTP", "GET /index.html HTTP/1.1 GET /b HTTP/1.1 ")),
        (False, (OK + b"Content-Length: 2\r\n\r\nok") * 2, ("HTTP", "HTTP/1.1 200 OK HTTP/1.1 200 OK ")),
        (True, GET + b"GET /c HTT", GET_TOLD),
        (True, b"P/1.1\r\n\r\n", ("HTTP", "GET /c HTTP/1.1 ")),
        (False, OK + HTML + b"Content-Length: 4\r\n\r\nab", OK_WAITING),
        (
            False, b"cd" + OK + b"Content-Length: 2\r\n\r\nok",
            ("HTTP", "HTTP/1.1 200 OK  (text/html)HTTP/1.1 200 OK "),
        ),
    ],
    "other readers' bodies": [
        (True, GET, GET_TOLD),
        (
            False, OK + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            ("HTTP/JSON", "HTTP/1.1 200 OK , JavaScript Object Notation (application/json)"),
        ),
        (True, GET, GET_TOLD),
        (False, OK + b"Content-Type: TEXT/XML\r\nContent-Length: 4\r\n\r\n<a/>", ("HTTP/XML", "HTTP/1.1 200 OK ")),
        (True, GET, GET_TOLD),
        (
            False, OK + b"Content-Type: IMAGE/PNG\r\nContent-Length: 1\r\n\r\nx",
            ("HTTP", "HTTP/1.1 200 OK  (image/png)"),
        ),
        (True, GET, GET_TOLD),
        (False, OK + b"Content-Type: application/octet-stream\r\nContent-Length: 1\r\n\r\nx", OK_TOLD),
    ],
    "line feeds alone": [
        (True, b"GET / HTTP/1.1\nHost: x\n\n", ("HTTP", "GET / HTTP/1.1 ")),
        (False, b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", OK_TOLD),
    ],
    "what does not print": [
        (True, b"GET /a\tb\1c\x1b[31m\x7f HTTP/1.1\r\n\r\n", ("HTTP", "GET /a\\tb\\001c\\033[31m\\177 HTTP/1.1 ")),
        (True, "GET /bü\u202e HTTP/1.1\r\n\r\n".encode(), ("HTTP", "GET /bü\\u202E HTTP/1.1 ")),
    ],
    "no more than a reason": [
        (True, GET, GET_TOLD),
        (False, b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", ("HTTP", "HTTP/1.1 200 ")),
    ],
    "a tunnel": [
        (True, b"CONNECT example.com:443 HTTP/1.1\r\n\r\n", ("HTTP", "CONNECT example.com:443 HTTP/1.1 ")),
        (False, b"HTTP/1.1 200 Connection established\r\n\r\n", ("HTTP", "HTTP/1.1 200 Connection established ")),
        (True, b"abcdefgh", OWN),
    ],
}  # fmt: skip

CHANGE = tls_record(20, b"\1")
DATA = tls_record(23, b"\x99" * 40)
FINISHED = tls_record(22, b"\x97" * 40)
IN_TLS13 = extension(43, b"\x03\x04")
OFFERS_TLS13 = extension(43, b"\x02\x03\x04")
CLIENT_HELLO = tls_record(22, client_hello(server_name(b"example.com")), 0x0301)
CLIENT_HELLO_TOLD = ("TLSv1", "Client Hello (SNI=example.com)")
CERTIFICATE = handshake(11, bytes(300))
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

TLS: dict[str, list[tuple[bool, bytes, tuple[str, str]]]] = {
    "TLS 1.2": [
        (True, CLIENT_HELLO, CLIENT_HELLO_TOLD),
        (
            False, tls_record(22, server_hello() + CERTIFICATE + handshake(14, b"")),
            ("TLSv1.2", "Server Hello, Certificate, Server Hello Done"),
        ),
        (
            True, tls_record(22, handshake(16, b"\x20" + b"k" * 32)) + CHANGE + FINISHED,
            ("TLSv1.2", "Client Key Exchange, Change Cipher Spec, Encrypted Handshake Message"),
        ),
        (False, CHANGE + tls_record(22, bytes(40)), ("TLSv1.2", "Change Cipher Spec, Encrypted Handshake Message")),
        (True, DATA, ("TLSv1.2", "Application Data")),
        (False, DATA * 3, ("TLSv1.2", "Application Data, Application Data, Application Data")),
        (True, tls_record(21, b"y" * 26), ("TLSv1.2", "Encrypted Alert")),
    ],
    "TLS 1.3, after a retry": [
        (True, tls_record(22, client_hello(OFFERS_TLS13), 0x0301), ("TLSv1", "Client Hello")),
        (
            False, tls_record(22, server_hello(IN_TLS13, random=RETRY)) + CHANGE,
            ("TLSv1.3", "Hello Retry Request, Change Cipher Spec"),
        ),
        (
            True, CHANGE + tls_record(22, client_hello(OFFERS_TLS13)),
            ("TLSv1.3", "Change Cipher Spec, Client Hello"),
        ),
        (False, tls_record(22, server_hello(IN_TLS13)) + DATA, ("TLSv1.3", "Server Hello, Application Data")),
        (True, DATA, ("TLSv1.3", "Application Data")),
    ],
    "refused": [
        (True, CLIENT_HELLO, CLIENT_HELLO_TOLD),
        (False, tls_record(21, b"\2\x28"), ("TLSv1.2", "Alert (Level: Fatal, Description: Handshake Failure)")),
    ],
    "from the middle": [
        (True, tls_record(23, b"x" * 20, 0x0301), ("TLSv1", "Application Data")),
        (False, DATA, ("TLSv1", "Application Data")),
    ],
    "SSL 3": [(True, tls_record(22, client_hello(), 0x0300), ("SSLv3", "Client Hello"))],
    "a message in two records": [
        (True, CLIENT_HELLO, CLIENT_HELLO_TOLD),
        (
            False, tls_record(22, server_hello()) + tls_record(22, CERTIFICATE[:50]),
            ("TLSv1.2", "Server Hello, [Certificate Fragment]"),
        ),
        (False, tls_record(22, CERTIFICATE[50:100]), ("TLSv1.2", "")),
        (
            False, tls_record(22, CERTIFICATE[100:] + handshake(14, b"")),
            ("TLSv1.2", "Certificate, Server Hello Done"),
        ),
    ],
    "records over segments": [
        (True, CLIENT_HELLO[:30], ("TCP", PART)),
        (True, CLIENT_HELLO[30:50], OWN),
        (True, CLIENT_HELLO[50:], CLIENT_HELLO_TOLD),
        (False, tls_record(22, server_hello()), ("TLSv1.2", "Server Hello")),
        (True, DATA + DATA[:20], ("TLSv1.2", "Application Data")),
        (True, DATA[20:] + DATA + DATA[:3], ("TLSv1.2", "Application Data, Application Data")),
        (True, DATA[3:], ("TLSv1.2", "Application Data")),
        (False, DATA[:20], ("TCP", PART)),
        (False, DATA[20:25], ("TCP", PART)),
        (False, DATA[25:] + DATA, ("TLSv1.2", "Application Data, Application Data")),
        (True, DATA + DATA[:4], ("TLSv1.2", "Application Data")),
        (True, DATA[4:], ("TLSv1.2", "Application Data")),
    ],
    "what is none": [
        (True, DATA + b"garbage behind", ("TLSv1.2", "Application Data, Ignored Unknown Record")),
        (True, DATA, ("TLSv1.2", "Application Data")),
    ],
    "heartbeats": [
        (True, CLIENT_HELLO, CLIENT_HELLO_TOLD),
        (False, tls_record(22, server_hello()), ("TLSv1.2", "Server Hello")),
        (True, tls_record(24, b"\1\0\x10" + b"h" * 32), ("TLSv1.2", "Heartbeat Request")),
        (False, tls_record(24, b"\x55" * 40), ("TLSv1.2", "Encrypted Heartbeat")),
    ],
}  # fmt: skip

QUERY = dns(question())
QUERY_TOLD = ("DNS", "Standard query 0x1a2b A example.com")
FRAMED = struct.pack(">H", len(QUERY)) + QUERY

DNS_OVER_TCP: dict[str, list[tuple[bool, bytes, tuple[str, str]]]] = {
    "one": [(True, FRAMED, QUERY_TOLD)],
    "two": [(True, FRAMED * 2, QUERY_TOLD)],
    "over segments": [
        (True, FRAMED[:1], OWN),
        (True, FRAMED[1:10], OWN),
        (True, FRAMED[10:] + FRAMED[:5], QUERY_TOLD),
        (True, FRAMED[5:], QUERY_TOLD),
    ],
}

EXCHANGES = [
    *((f"http, {title}", 80, said) for title, said in HTTP.items()),
    *((f"tls, {title}", 443, said) for title, said in TLS.items()),
    *((f"dns, {title}", 53, said) for title, said in DNS_OVER_TCP.items()),
]


def _answer(message: bytes, port: int) -> Packet:
    """A message in a datagram that goes the way it says."""
    response = port in (53, 5353) and len(message) > 2 and message[2] & 0x80
    return datagram(message, port, 40000) if response else datagram(message, 40000, port)


class TestGolden:
    @pytest.mark.parametrize(("message", "port", "protocol", "info"), DATAGRAMS)
    def test_datagrams(self, message: bytes, port: int, protocol: str, info: str) -> None:
        packet = _answer(message, port)
        assert may_begin(UDP, packet.source_port, packet.destination_port, message)
        told = describe(UDP, packet.source_port, packet.destination_port, message, len(message))
        assert told == (protocol, info, 0)

    @pytest.mark.parametrize(("title", "port", "said"), EXCHANGES, ids=[title for title, _, _ in EXCHANGES])
    def test_connections(self, title: str, port: int, said: Sequence[tuple[bool, bytes, tuple[str, str]]]) -> None:
        packets = segments(((forward, data) for forward, data, _ in said), port)
        assert listed(packets) == [told for _, _, told in said]

    def test_the_identifier_is_each_messages_own(self) -> None:
        for identifier in (0, 0x1A2B, 0xFFFF, 0x1A2B):
            message = dns(question(), identifier=identifier)
            assert describe(UDP, 40000, 53, message, len(message)) == (
                "DNS", f"Standard query 0x{identifier:04x} A example.com", 0,
            )  # fmt: skip

    def test_of_two_known_ports_the_lower_one_counts(self) -> None:
        message = dns(question(LOCAL, 12))
        told = describe(UDP, 5353, 53, message, len(message))
        assert told is not None
        assert told[0] == "DNS"

    @pytest.mark.parametrize(
        ("transport", "ports", "payload"),
        [
            (UDP, (53, 40000), b""),
            (UDP, (40000, 40001), QUERY),
            (UDP, (68, 67), dhcp(b"")[:100]),
            (TCP, (40000, 80), b""),
            (TCP, (40000, 80), b"hello"),
            (TCP, (40000, 80), b"GETTING /"),
            (TCP, (40000, 443), b"\x17\x03\x03\xff\xff"),
            (TCP, (40000, 443), b"\x19\x03\x03\0\5hello"),
            (1, (53, 53), QUERY),
        ],
    )
    def test_what_is_no_message_is_left_alone(self, transport: int, ports: tuple[int, int], payload: bytes) -> None:
        assert describe(transport, *ports, payload, len(payload)) is None


class TestAsTshark:
    """The columns above, and those of much more, are what tshark writes."""

    def test_datagrams(self, tmp_path: Path) -> None:
        packets = [_answer(message, port) for message, port, _, _ in DATAGRAMS]
        packets += [_answer(dns(question(), flags=flags << 11), 53) for flags in range(16)]
        packets += [_answer(dns(question(), flags=RESPONSE | code), 53) for code in range(16)]
        packets += [_answer(dns(question(kind=kind)), 53) for kind in (*range(270), 32768, 32769, 65281, 65422)]
        packets += [_answer(dns(answers=[record(kind, b"")], flags=RESPONSE), 53) for kind in range(270)]
        packets += [_answer(bytes([octet]) + bytes(47), 123) for octet in range(256) if octet & 7 != 7]
        packets += [_answer(dhcp(bytes([53, 1, kind, 255])), 67) for kind in range(20)]
        solicit = b"\x12\x34\x56\0\1\0\4\0\3\0\1"
        packets += [_answer(bytes([kind]) + solicit, 547) for kind in range(25) if kind not in (12, 13)]
        self._compare(packets, tmp_path)

    def test_connections(self, tmp_path: Path) -> None:
        packets = []
        for stream, (_, port, said) in enumerate(EXCHANGES):
            packets += segments(((forward, data) for forward, data, _ in said), port, stream)
        self._compare(packets, tmp_path)

    @pytest.mark.parametrize("size", [10, 37, 100])
    def test_connections_in_small_segments(self, tmp_path: Path, size: int) -> None:
        packets = []
        for stream, (title, port, said) in enumerate(EXCHANGES):
            if title not in ("tls, what is none", "dns, two"):
                packets += segments(((forward, data) for forward, data, _ in said), port, stream, size)
        self._compare(packets, tmp_path)

    def test_bodies_that_the_end_of_the_connection_ends(self, tmp_path: Path) -> None:
        open_ended = OK + HTML + b"\r\n<html>"
        packets = segments([(True, GET), (False, open_ended)], 80, 0, ended=True)
        packets += segments([(True, GET), (False, open_ended), (False, b"</html>")], 80, 1, ended=True)
        packets += segments([(True, GET), (False, OK + HTML + b"Content-Length: 9\r\n\r\nab")], 80, 2)
        packets += segments([(True, GET), (False, open_ended), (False, b"</html>")], 80, 3)
        packets.append(Packet(TCP, 80, 20003, b"", False, True, 3))
        self._compare(packets, tmp_path)
        assert listed(packets)[-1] == PAGE_TOLD

    def test_the_end_of_a_connection_ends_nothing_else(self, tmp_path: Path) -> None:
        packets = []
        begun = [(80, OK + b"Conte"), (80, OK + b"Content-Length: 9\r\n\r\nab"), (443, DATA[:20])]
        for stream, (port, said) in enumerate(begun):
            packets += segments([(False, said)], port, stream)
            packets.append(Packet(TCP, port, 20000 + stream, b"", False, True, stream))
        self._compare(packets, tmp_path)
        assert listed(packets)[1::2] == [OWN] * 3

    def test_connections_that_the_capture_cut(self, tmp_path: Path) -> None:
        body = OK + HTML + b"Content-Length: 1500\r\n\r\n" + b"x" * 1400
        large = tls_record(23, b"x" * 3000)
        said = [(True, GET), (False, body), (False, b"x" * 500), (False, b"x" * 20), (True, GET)]
        packets = segments(said, 80, 0)
        packets += segments([(True, DATA), (True, large), (True, DATA)], 443, 1, 1000)
        packets += segments([(False, large), (False, DATA)], 443, 2, 1000)
        self._compare(packets, tmp_path, 140)

    @pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"])
    def test_sessions_of_openssl(self, tmp_path: Path, version: str) -> None:
        for _ in range(10):
            said = tls_session(ssl.TLSVersion[version], tmp_path)
            # What looks so by chance is test_encrypted_bytes_that_look_like_a_message's.
            if not any(encrypted_looks_plain(data) for _, data in said):
                break
        else:
            pytest.fail("ten sessions with encrypted messages that look like others")
        for size in (1400, 97, 9000):
            packets = segments(said, 443, size=size)
            self._compare(packets, tmp_path)

    def test_encrypted_bytes_that_look_like_a_message(self, tmp_path: Path) -> None:
        """All behind Change Cipher Spec is encrypted (RFC 5246, 7.1); Wireshark goes by the bytes."""
        change = tls_record(20, b"\1")
        look_plain = [bytes.fromhex("0e002a3b"), bytes.fromhex("14000000")]
        look_encrypted = [bytes(8), bytes.fromhex("0e012a3b"), bytes.fromhex("fe000000")]
        said = [change + tls_record(22, start + b"\xee" * 36) for start in look_plain + look_encrypted]
        assert [encrypted_looks_plain(data) for data in said] == [True, True, False, False, False]
        packets = [packet for number, data in enumerate(said) for packet in segments([(True, data)], 443, number)]
        path = tmp_path / "encrypted.pcap"
        write_capture(path, packets)
        right = ("TLSv1.2", "Change Cipher Spec, Encrypted Handshake Message")
        assert listed(packets) == [right] * 5
        theirs = wireshark(path)
        assert theirs[2:] == [right] * 3
        assert theirs[0] == ("TLSv1.2", "Change Cipher Spec, [Server Hello Done Fragment]")
        assert theirs[1] == ("TLSv1.2", "Change Cipher Spec, Finished")

    @pytest.mark.parametrize("snaplen", [44, 60, 64, 76, 80])
    def test_packets_that_the_capture_cut(self, tmp_path: Path, snaplen: int) -> None:
        packets = [_answer(message, port) for message, port, _, _ in DATAGRAMS if port in (53, 123)]
        packets += segments([(True, GET)], 80, 0)
        packets += segments([(False, OK + HTML + b"Content-Length: 5\r\n\r\nhello")], 80, 1)
        packets += segments([(True, DATA * 3)], 443, 2)
        self._compare(packets, tmp_path, snaplen)

    def _compare(self, packets: Sequence[Packet], directory: Path, snaplen: int = 262144) -> None:
        path = directory / "messages.pcap"
        write_capture(path, packets, snaplen)
        theirs, ours = wireshark(path), listed(packets, snaplen)
        assert len(theirs) == len(ours)
        for packet, expected, told in zip(packets, theirs, ours, strict=True):
            assert comparable(told) == comparable(expected), packet


def _carried(path: Path, directory: Path) -> tuple[list[Packet], list[tuple[str, str]]]:
    """The TCP and UDP payloads that came in by a sample capture, and tshark's columns of them."""
    kept = directory / "ingress.pcap"
    tshark = [require_tool("tshark"), "-n", "-d", "udp.port==8472,vxlan"]
    ingress = [*tshark, "-r", str(path), "-Y", "!(sll.pkttype==4)", "-w", str(kept)]
    subprocess.run(ingress, check=True, capture_output=True)
    names = (
        "tcp.stream", "tcp.srcport", "tcp.dstport", "tcp.payload", "tcp.len", "tcp.flags.fin", "tcp.seq_raw",
        "_ws.col.Protocol", "_ws.col.Info",
    )  # fmt: skip
    asked = [word for field in names for word in ("-e", field)]
    done = subprocess.run(
        [*tshark, "-r", str(kept), "-Y", "tcp && !icmp", "-T", "fields", "-E", "separator=/t", *asked],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    packets, columns = [], []
    seen: dict[tuple[str, str], int] = {}
    for line in done.stdout.splitlines():
        stream, source, destination, payload, length, fin, sequence, protocol, info = line.split("\t")
        # Repeated and disordered segments are not for applications: whoever lists packets leaves them out.
        octets, at = bytes.fromhex(payload), int(sequence)
        expected = seen.get((stream, source))
        if expected is not None and octets and at != expected:
            continue
        seen[stream, source] = at + (int(length) or (expected is None))
        ports = int(source), int(destination)
        lost = int(length) - len(octets)
        packets.append(Packet(TCP, *ports, octets, ports[0] > ports[1], fin in ("1", "True"), int(stream), lost))
        columns.append((protocol, info))
    return packets, columns


@pytest.mark.parametrize("path", capture_files(), ids=lambda path: path.name)
def test_sample_captures_read_as_tshark_reads_them(path: Path, tmp_path: Path) -> None:
    packets, columns = _carried(path, tmp_path)
    for packet, expected, told in zip(packets, columns, listed(packets), strict=True):
        if expected[0] != "SSH":
            assert comparable(told) == comparable(expected), packet


# Messages that are changed here and there.
REAL = [
    *((UDP, port, message) for message, port, _, _ in DATAGRAMS),
    *((TCP, port, data) for _, port, said in EXCHANGES for _, data, _ in said),
]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[int, int, bytes]:
    transport, port, message = draw(st.sampled_from(REAL))
    octets = bytearray(message)
    for _ in range(draw(st.integers(0, 4))):
        if octets:
            octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    at = draw(st.integers(0, len(octets)))
    octets[at:at] = draw(st.binary(max_size=8))
    end = draw(st.integers(0, len(octets))) if draw(st.booleans()) else len(octets)
    return transport, port, bytes(octets[:end])


LONG_QUESTION = question(".".join(["a" * 63] * 3))


def _pointer_chains() -> bytes:
    """A long chain of compression pointers, each to the one before it, and many records that go through it all."""
    begin = 12 + 11  # behind the header and the first record's own
    chain = b"\0\0" + b"".join(struct.pack(">H", 0xC000 | at) for at in range(begin, begin + 15000, 2))
    top = struct.pack(">H", 0xC000 | begin + 15000)
    return dns(answers=[record(16, chain, b"\0"), *[record(5, top, top)] * 3000], flags=RESPONSE)


def _check(told: tuple[str, str, int] | None) -> None:
    if told is None:
        return
    protocol, info, remaining = told
    assert len(protocol) <= 10
    assert len(info) <= MOST_TEXT + 50
    assert 0 <= remaining <= 1 << 62
    assert info.isprintable()


class TestUntrusted:
    @given(
        st.sampled_from([TCP, UDP, 1]), st.sampled_from([53, 67, 80, 123, 443, 547, 5353]), st.binary(max_size=600),
        st.integers(0, 20),
    )  # fmt: skip
    def test_any_bytes(self, transport: int, port: int, payload: bytes, more: int) -> None:
        _check(describe(transport, 40000, port, payload, len(payload) + more))

    @given(mutated(), st.booleans())
    def test_changed_messages(self, message: tuple[int, int, bytes], forward: bool) -> None:
        transport, port, payload = message
        told = Applications().describe(transport, 40000, port, payload, len(payload), 0, forward)
        _check(told)
        if told is not None:
            assert may_begin(transport, 40000, port, payload)

    @given(st.lists(st.tuples(mutated(), st.booleans(), st.booleans(), st.integers(0, 70)), max_size=12))
    def test_changed_messages_on_one_connection(
        self, said: list[tuple[tuple[int, int, bytes], bool, bool, int]]
    ) -> None:
        applications = Applications(2)
        remaining = {False: 0, True: 0}
        for number, ((_, port, payload), forward, last, cut) in enumerate(said):
            kept = payload[: len(payload) - cut] if cut < 20 else payload
            # Now and then the lister is wrong about what is left.
            left = min(remaining[forward], len(payload)) if cut < 60 else cut
            told = applications.describe(TCP, 40000, port, kept, len(payload), number // 8, forward, left, last)
            _check(told)
            remaining[forward] = told[2] if told else 0

    @pytest.mark.parametrize(
        ("transport", "port", "payload"),
        [
            pytest.param(UDP, 53, _pointer_chains(), id="pointer chains"),
            pytest.param(UDP, 53, struct.pack(">6H", 1, 0, *[65535] * 4) + bytes(65000), id="empty questions"),
            pytest.param(UDP, 53, struct.pack(">6H", 1, 0, 65535, 0, 0, 0) + LONG_QUESTION * 320, id="long names"),
            pytest.param(UDP, 67, dhcp(bytes(65000)), id="padding"),
            pytest.param(UDP, 67, dhcp(b"\x0c\0" * 32000), id="empty options"),
            pytest.param(UDP, 547, b"\1\0\0\0" + b"\0\3\xff\xff" * 15000, id="nested options"),
            pytest.param(UDP, 547, b"\1\0\0\0" + b"\0\1\0\0" * 15000, id="many options"),
            pytest.param(TCP, 443, tls_record(22, client_hello(b"\0\x99\0\0" * 4000)), id="extensions"),
            pytest.param(TCP, 443, tls_record(22, b"\0\0\0\0" * 4000) * 4, id="handshakes"),
            pytest.param(TCP, 443, tls_record(23, b"x") * 10000, id="records"),
            pytest.param(TCP, 443, tls_record(21, b"\1\1") * 9000, id="alerts"),
            pytest.param(TCP, 80, b"GET / HTTP/1.1\r\n\r\n" * 3500, id="requests"),
            pytest.param(TCP, 80, b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 15000, id="headers"),
            pytest.param(TCP, 80, OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 9000, id="chunks"),
            pytest.param(TCP, 80, b"GET " + b" " * 60000 + b"\n\n", id="blanks"),
            pytest.param(TCP, 80, b"HTTP/1.1" + b" " * 60000 + b"\n\n", id="blanks in a status"),
            pytest.param(TCP, 80, OK + b"Content-Type:" + b" " * 60000 + b"\n\n", id="blanks in a header"),
            pytest.param(TCP, 53, b"\0\0" * 30000, id="empty messages"),
        ],
    )
    def test_the_worst_takes_not_long(self, transport: int, port: int, payload: bytes) -> None:
        describe(transport, 40000, port, payload, len(payload))  # dpkt is imported
        begun = time.process_time()
        told = describe(transport, 40000, port, payload, len(payload))
        assert time.process_time() - begun < 0.1
        _check(told)

    def test_followed_connections_are_bounded(self) -> None:
        applications = Applications(8)
        for stream in range(100):
            applications.describe(TCP, 40000, 443, DATA[:20], 20, stream, True)
        assert len(applications._streams) == 8

    def test_what_is_held_of_them_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("vxtool.listing.applications._MOST_HELD", 100000)
        applications = Applications()
        beginning = tls_record(22, bytes(16000))[:10000]
        for stream in range(100):
            applications.describe(TCP, 40000, 443, beginning, len(beginning), stream, True)
            held = sum(followed.size() for followed in applications._streams.values())
            assert held == applications._held <= 100000
        assert len(applications._streams) == 10

    def test_a_connection_that_speaks_is_followed_on(self) -> None:
        applications = Applications(2)
        hello = tls_record(22, server_hello(IN_TLS13))
        applications.describe(TCP, 443, 40000, hello, len(hello), 0, False)
        for stream in range(1, 50):
            applications.describe(TCP, 40000, 443, DATA, len(DATA), stream, True)
            told = applications.describe(TCP, 40000, 443, DATA, len(DATA), 0, True)
            assert told == ("TLSv1.3", "Application Data", 0)

    def test_after_a_gap_nothing_is_under_way(self) -> None:
        applications = Applications()
        said = applications.describe(TCP, 40000, 443, DATA[:20], 20, 0, True)
        assert said == ("TCP", PART, len(DATA) - 20)
        told = applications.describe(TCP, 40000, 443, DATA, len(DATA), 0, True, 0)
        assert told == ("TLSv1.2", "Application Data", 0)


def test_dpkt_is_imported_only_where_it_is_needed() -> None:
    code = (
        "import sys; from vxtool.listing.applications import describe;"
        f"describe(17, 40000, 53, {QUERY!r}, {len(QUERY)}); assert 'dpkt' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# SSH, as tshark 4.0 writes it of a connection between OpenSSH 9.2's ssh and sshd.


def test_ssh_is_told_until_it_is_encrypted() -> None:
    applications = Applications()

    def told(source: int, destination: int, payload: bytes) -> tuple[str, str]:
        assert may_begin(6, source, destination, payload)
        found = applications.describe(6, source, destination, payload, len(payload), 1, destination == 22)
        assert found is not None
        assert found[2] == 0
        return found[:2]

    def packet(message: int, size: int = 20) -> bytes:
        return struct.pack(">IBB", size, 6, message) + bytes(size - 2)

    client, server = (50000, 22), (22, 50000)
    banner = b"SSH-2.0-OpenSSH_9.2p1\r\n"
    assert told(*client, banner) == ("SSHv2", "Client: Protocol (SSH-2.0-OpenSSH_9.2p1)")
    assert told(*server, banner) == ("SSHv2", "Server: Protocol (SSH-2.0-OpenSSH_9.2p1)")
    assert told(*client, packet(20)) == ("SSHv2", "Client: Key Exchange Init")
    assert told(*server, packet(31) + packet(21) + bytes(64)) == (
        "SSHv2",
        "Server: Elliptic Curve Diffie-Hellman Key Exchange Reply, New Keys, Encrypted packet (len=64)",
    )
    assert told(*client, packet(21)) == ("SSHv2", "Client: New Keys")
    assert told(*client, packet(20)) == ("SSHv2", "Client: Encrypted packet (len=24)")
