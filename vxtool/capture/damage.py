"""Why reading a capture stopped, as a code with numbers, and the sentence that says it.

Both engines stop at the same byte for the same reason, so the reason is data: a code of a fixed set and two
numbers. The sentence is made here alone, from those, for whoever has to read it.
"""

from __future__ import annotations

from typing import NamedTuple

CODES = (
    "none",
    "empty",
    "not-capture",
    "modified-pcap",
    "bad-version",
    "cut-header",
    "cut-record",
    "bad-record-length",
    "bad-block-length",
    "bad-block-trailer",
    "bad-byte-order",
    "short-block",
    "bad-option",
    "unknown-interface",
    "too-many-interfaces",
    "no-memory",
)
"""All codes, in the order of `vx_damage_code` in engine/native/container.h: a code's index is its number."""

# What an input that is no capture may be instead, by its first bytes, and what to do then.
_LOOKALIKES = (
    (b"BZh", "it is bzip2-compressed: pipe it through bzip2 -dc"),
    (b"\x04\x22\x4d\x18", "it is lz4-compressed: pipe it through lz4 -dc"),
    (b"PK\x03\x04", "it is a zip archive: unpack it first"),
    (b"snoo", "it is a snoop capture: convert it with editcap -F pcap"),
    (b"GMBU", "it is a Network Monitor capture: convert it with editcap -F pcap"),
    (b"RTSS", "it is a Network Monitor capture: convert it with editcap -F pcap"),
)


class Damage(NamedTuple):
    """Where and why reading stopped.

    `code` is one of CODES; `offset` is where the damaged header, record or block begins, in bytes from the
    start of the (decompressed) input; `record` is the number of complete records before it; `value` is what
    was there and `expected` what should have been, in the unit that the code asks for.
    """

    code: str
    offset: int
    record: int
    value: int = 0
    expected: int = 0

    @property
    def unreadable(self) -> bool:
        """True where nothing could be read at all; else the input is truncated: what came before counts."""
        return self.offset == 0

    def text(self) -> str:
        """One sentence without the input's name: what was there, what was expected, what to do."""
        if self.unreadable:
            return self._reason()
        return f"{self.place()}; what came before counts"

    def place(self) -> str:
        """The same without what follows from it."""
        return f"{self._reason()} (byte {self.offset}, after record {self.record})"

    def _reason(self) -> str:
        value, expected = self.value, self.expected
        match self.code:
            case "empty":
                return "empty: no bytes at all, expected a capture: was tcpdump -w stopped before it wrote?"
            case "not-capture":
                return f"not a capture: it begins with {_shown(value)}; {_advice(value)}"
            case "modified-pcap":
                return "modified pcap (magic a1b2cd34) is not supported: convert it with editcap -F pcap"
            case "bad-version":
                return f"version {value} of the format is not known, expected {expected}: is it damaged?"
            case "cut-header":
                return f"cut short within the file header after {_bytes(value)}, expected at least {expected}"
            case "cut-record":
                return f"cut short within a record: {_bytes(value)} of at least {expected} are there"
            case "bad-record-length":
                return f"a record claims {value} captured bytes, expected at most {expected}"
            case "bad-block-length":
                return f"a block claims {value} bytes, expected a multiple of 4 from 12 to {expected}"
            case "bad-block-trailer":
                return f"a block ends with the length {value}, expected {expected} as at its beginning"
            case "bad-byte-order":
                return f"a section begins with the byte-order magic {value:08x}, expected {expected:08x}"
            case "short-block":
                return f"a block has a body of {value} bytes, expected at least {expected}"
            case "bad-option":
                return f"an option or name in a block claims {value} bytes, expected {expected}"
            case "unknown-interface":
                return f"interface {value} is not described, the section describes {expected}"
            case "too-many-interfaces":
                return f"interface {value} is described, expected at most {expected}: split it"
            case "no-memory":
                return f"no memory for {value} bytes: free some, or cut the capture with editcap -c"
        raise ValueError(f"damage code {self.code!r}: expected one of {', '.join(CODES[1:])}")


def _bytes(number: int) -> str:
    return f"{number} byte" if number == 1 else f"{number} bytes"


def _shown(value: int) -> str:
    """The first four bytes of an input, as text where they are printable ASCII."""
    first = value.to_bytes(4, "big")
    return repr(first.decode()) if all(0x20 <= byte < 0x7F for byte in first) else f"the bytes {first.hex()}"


def _advice(value: int) -> str:
    first = value.to_bytes(4, "big")
    for magic, advice in _LOOKALIKES:
        if first.startswith(magic):
            return advice
    return "expected pcap or pcapng, as tcpdump -w writes it"
