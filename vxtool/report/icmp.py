"""Kinds of ICMP in the words in which Hubble prints them, which are those of its packet library (gopacket, layers
icmp4.go and icmp6.go): `DestinationUnreachable(Port)`, `PacketTooBig`."""

from __future__ import annotations

# The types that tell something by their code, with the codes from 0 on.
_WITH_CODES: dict[str, dict[int, tuple[str, str]]] = {
    "icmp": {
        3: (
            "DestinationUnreachable",
            "Net Host Protocol Port FragmentationNeeded SourceRoutingFailed NetUnknown HostUnknown SourceIsolated "
            "NetAdminProhibited HostAdminProhibited NetTOS HostTOS CommAdminProhibited HostPrecedence "
            "PrecedenceCutoff",
        ),
        5: ("Redirect", "Net Host TOS+Net TOS+Host"),
        11: ("TimeExceeded", "TTLExceeded FragmentReassemblyTimeExceeded"),
        12: ("ParameterProblem", "PointerIndicatesError MissingOption BadLength"),
    },
    "icmpv6": {
        1: (
            "DestinationUnreachable",
            "NoRouteToDst AdminProhibited BeyondScopeOfSrc AddressUnreachable PortUnreachable "
            "SrcAddressFailedPolicy RejectRouteToDst",
        ),
        3: ("TimeExceeded", "HopLimitExceeded FragmentReassemblyTimeExceeded"),
        4: ("ParameterProblem", "ErroneousHeaderField UnrecognizedNextHeader UnrecognizedNextHeader"),
    },
}
_WITHOUT: dict[str, dict[int, str]] = {
    "icmp": {
        0: "EchoReply",
        4: "SourceQuench",
        8: "EchoRequest",
        9: "RouterAdvertisement",
        10: "RouterSolicitation",
        13: "TimestampRequest",
        14: "TimestampReply",
    },
    "icmpv6": {
        2: "PacketTooBig",
        128: "EchoRequest",
        129: "EchoReply",
        133: "RouterSolicitation",
        134: "RouterAdvertisement",
        135: "NeighborSolicitation",
        136: "NeighborAdvertisement",
        137: "Redirect",
    },
}


def icmp_name(protocol: str, kind: int, code: int) -> str:
    """The name of a type and code; `protocol` is "icmp" or "icmpv6". What has no name is written as numbers."""
    if kind in _WITH_CODES[protocol]:
        name, codes = _WITH_CODES[protocol][kind]
        known = dict(enumerate(codes.split()))
        return f"{name}({known.get(code, f'Code: {code}')})"
    if kind in _WITHOUT[protocol]:
        return _WITHOUT[protocol][kind] + (f"(Code: {code})" if code else "")
    return f"{kind}({code})"
