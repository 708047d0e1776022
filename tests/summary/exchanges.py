"""Messages of applications, made by hand, and the captures that carry them past tshark."""

from __future__ import annotations

import contextlib
import re
import ssl
import struct
import subprocess
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from conftest import require_tool

from vxtool.listing.applications import TCP, UDP, Applications, may_begin
from vxtool.listing.messages.columns import PART

CLIENT, SERVER = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
RAW = 101  # the link type of packets that begin with their IP header


class Packet(NamedTuple):
    """One payload on its way. A stream is a client's port and a server's."""

    transport: int
    source_port: int
    destination_port: int
    payload: bytes
    forward: bool = True
    last: bool = False
    stream: int = 0
    lost: int = 0  # bytes behind the payload that were not captured


# DNS


def name(dotted: str) -> bytes:
    labels = [label.encode("latin-1") for label in dotted.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def question(dotted: str = "example.com", kind: int = 1, network: int = 1) -> bytes:
    return name(dotted) + struct.pack(">HH", kind, network)


def record(kind: int, data: bytes, owner: bytes = b"\xc0\x0c", network: int = 1) -> bytes:
    return owner + struct.pack(">HHIH", kind, network, 300, len(data)) + data


def dns(
    *questions: bytes,
    answers: Sequence[bytes] = (),
    authorities: Sequence[bytes] = (),
    additional: Sequence[bytes] = (),
    flags: int = 0x0100,
    identifier: int = 0x1A2B,
) -> bytes:
    counts = len(questions), len(answers), len(authorities), len(additional)
    header = struct.pack(">6H", identifier, flags, *counts)
    return b"".join([header, *questions, *answers, *authorities, *additional])


# TLS


def tls_record(kind: int, contents: bytes, version: int = 0x0303) -> bytes:
    return struct.pack(">BHH", kind, version, len(contents)) + contents


def handshake(kind: int, contents: bytes) -> bytes:
    return bytes([kind]) + len(contents).to_bytes(3, "big") + contents


def encrypted_looks_plain(records: bytes) -> bool:
    """Whether a handshake record behind a Change Cipher Spec among these may begin like a message in the clear: of
    a type that Wireshark knows, all of which are below 68, and shorter than 64 KiB. Rather too often than not."""
    at, is_encrypted = 0, False
    while at + 5 < len(records):
        kind, _, length = struct.unpack_from(">BHH", records, at)
        start = records[at + 5 : at + 10]
        if kind == 22 and is_encrypted and start[0] < 68 and start[1] == 0 and any(start):
            return True
        is_encrypted |= kind == 20
        at += 5 + length
    return False


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack(">HH", kind, len(value)) + value


def server_name(host: bytes) -> bytes:
    return extension(0, struct.pack(">HBH", len(host) + 3, 0, len(host)) + host)


def _extensions(extensions: bytes) -> bytes:
    return struct.pack(">H", len(extensions)) + extensions if extensions else b""


def client_hello(extensions: bytes = b"", version: int = 0x0303) -> bytes:
    fixed = struct.pack(">H", version) + b"r" * 32 + b"\0" + struct.pack(">HH", 2, 0xC02F) + b"\1\0"
    return handshake(1, fixed + _extensions(extensions))


def server_hello(extensions: bytes = b"", version: int = 0x0303, random: bytes = b"R" * 32) -> bytes:
    fixed = struct.pack(">H", version) + random + b"\0" + struct.pack(">H", 0xC02F) + b"\0"
    return handshake(2, fixed + _extensions(extensions))


def tls_session(version: ssl.TLSVersion, directory: Path) -> list[tuple[bool, bytes]]:
    """What a client and a server of OpenSSL say to each other: whether the client speaks, and what it says."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        [
            require_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
            "-subj", "/CN=example.com", "-keyout", str(key), "-out", str(certificate),
        ],
        capture_output=True,
        check=True,
    )  # fmt: skip
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate, key)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TLS 1.0 and 1.1
        for context in (server_context, client_context):
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
    to_client, from_client, to_server, from_server = (ssl.MemoryBIO() for _ in range(4))
    client = client_context.wrap_bio(to_client, from_client, server_hostname="example.com")
    server = server_context.wrap_bio(to_server, from_server, server_side=True)
    said: list[tuple[bool, bytes]] = []

    def carry() -> None:
        for forward, sent, received in ((True, from_client, to_server), (False, from_server, to_client)):
            if data := sent.read():
                said.append((forward, data))
                received.write(data)

    for _ in range(4):
        for end in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
            carry()
    client.write(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
    carry()
    server.write(b"x" * 40000)
    carry()
    client.write(b"a")
    client.write(b"b")
    carry()
    for end in (client, server):
        with contextlib.suppress(ssl.SSLError):
            end.unwrap()
        carry()
    return said


# DHCP


def dhcp(options: bytes, operation: int = 1, identifier: int = 0x1234ABCD) -> bytes:
    fixed = struct.pack(">BBBBIHH", operation, 1, 6, 0, identifier, 0, 0) + bytes(16)
    return fixed + b"\xaa" * 6 + bytes(10) + bytes(192) + b"\x63\x82\x53\x63" + options


# Packets, captures, and what tshark and vxtool say of them


def datagram(payload: bytes, source_port: int, destination_port: int) -> Packet:
    return Packet(UDP, source_port, destination_port, payload)


def segments(
    said: Iterable[tuple[bool, bytes]], port: int, stream: int = 0, size: int = 1 << 16, ended: bool = False
) -> list[Packet]:
    """What was said on a connection, cut into segments of at most `size` bytes; `ended`: the last one has a FIN."""
    found = []
    for forward, data in said:
        ports = (20000 + stream, port) if forward else (port, 20000 + stream)
        for at in range(0, len(data), size):
            found.append(Packet(TCP, *ports, data[at : at + size], forward, False, stream))
    if ended:
        found[-1] = found[-1]._replace(last=True)
    return found


def _checksum(header: bytes) -> int:
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def write_capture(path: Path, packets: Sequence[Packet], snaplen: int = 262144) -> None:
    """Write a pcap of packets as they would be on the wire, but for the checksums of TCP and UDP."""
    sequences: dict[tuple[int, bool], int] = {}
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snaplen, RAW)]
    for number, packet in enumerate(packets):
        ports = packet.source_port, packet.destination_port
        if packet.transport == UDP:
            header = struct.pack(">4H", *ports, 8 + len(packet.payload), 0)
        else:
            own, other = (packet.stream, packet.forward), (packet.stream, not packet.forward)
            sequence = sequences.setdefault(own, 1000)
            flags = 0x19 if packet.last else 0x18
            acknowledged = sequences.get(other, 1000)
            header = struct.pack(">HHIIBB3H", *ports, sequence, acknowledged, 0x50, flags, 65000, 0, 0)
            sequences[own] = sequence + len(packet.payload)
        body = header + packet.payload
        ends = (CLIENT, SERVER) if packet.forward else (SERVER, CLIENT)
        fixed = struct.pack(">BBHHHBB", 0x45, 0, 20 + len(body), number + 1 & 0xFFFF, 0, 64, packet.transport)
        checksum = _checksum(fixed + b"\0\0" + b"".join(ends))
        whole = fixed + struct.pack(">H", checksum) + b"".join(ends) + body
        kept = whole[:snaplen]
        out.append(struct.pack("<IIII", 1000, number % 1000000, len(kept), len(whole)) + kept)
    path.write_bytes(b"".join(out))


def wireshark(path: Path) -> list[tuple[str, str]]:
    """The protocol and info columns of each packet, as tshark writes them."""
    command = [
        require_tool("tshark"), "-n", "-r", str(path), "-T", "fields", "-E", "separator=/t",
        "-e", "_ws.col.Protocol", "-e", "_ws.col.Info",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=True)
    lines = done.stdout.decode("utf-8", "replace").split("\n")[:-1]
    return [(protocol, info) for protocol, _, info in (line.partition("\t") for line in lines)]


def listed(packets: Iterable[Packet], snaplen: int = 262144) -> list[tuple[str, str]]:
    """The columns of each packet as a lister has them of Applications; with empty info where it has its own."""
    applications = Applications()
    remaining: dict[tuple[int, bool], int] = {}
    told = []
    for packet in packets:
        own = {TCP: "TCP", UDP: "UDP"}[packet.transport], ""
        kept = packet.payload[: max(0, snaplen - (28 if packet.transport == UDP else 40))]
        length = len(packet.payload) + packet.lost
        side = packet.stream, packet.forward
        left = remaining.get(side, 0) if packet.transport == TCP else 0
        if left > length and len(kept) == length and not packet.last:
            remaining[side] = left - length
            told.append(("TCP", PART))
            continue
        ports = packet.source_port, packet.destination_port
        if not left and not may_begin(packet.transport, *ports, kept):
            told.append(own)
            continue
        answer = applications.describe(
            packet.transport, *ports, kept, length, packet.stream, packet.forward, left, packet.last
        )
        remaining[side] = answer[2] if answer else 0
        told.append((answer[0], answer[1]) if answer and answer[0] else own)
    return told


_NOTES = re.compile(r"^(\[TCP [^]]*\] ?)+")
_OWN_INFO = re.compile(r"\d+ → \d+ .*", re.DOTALL)


def comparable(columns: tuple[str, str]) -> tuple[str, str]:
    """Columns without what differs by design: TCP's and UDP's own info, notes in brackets, server names."""
    protocol, info = columns
    info = re.sub(r" \(SNI=[^)]*\)", "", info).replace(PART, "").rstrip()
    if protocol == "TCP":
        info = _NOTES.sub("", info)
    return protocol, "" if protocol in ("TCP", "UDP") and _OWN_INFO.fullmatch(info) else info
