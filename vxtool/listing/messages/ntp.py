"""NTP (RFC 5905): the first octet says it all.

     0   2     5     8
    +---+-----+-----+
    |LI | VN  |mode |
    +---+-----+-----+
"""

from __future__ import annotations

from .columns import CUT, MALFORMED

PORT = 123

_MODES = (
    "reserved", "symmetric active", "symmetric passive", "client", "server", "broadcast", "control", "private",
)  # fmt: skip
_CONTROL, _PRIVATE = 6, 7
_LENGTHS = {_CONTROL: 12, _PRIVATE: 8}  # of the two modes that share nothing else with the rest
_LENGTH = 48


def describe(message: bytes, lost: int) -> tuple[str, str] | None:
    """The protocol and info columns of a message, of which `lost` bytes at the end were not captured."""
    if not message:
        return None
    version, mode = message[0] >> 3 & 7, message[0] & 7
    told = f"NTP Version {version}" if 1 <= version <= 4 else "reserved"
    missing = _LENGTHS.get(mode, _LENGTH) - len(message)
    return "NTP", f"{told}, {_MODES[mode]}{'' if missing <= 0 else CUT if missing <= lost else MALFORMED}"
