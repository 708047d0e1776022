"""What a datagram wears where it is seen: the numbers that engines, tables and options share."""

from __future__ import annotations

PLAIN, VXLAN, GENEVE = range(3)
WEAR_NAMES = ("plain", "vxlan", "geneve")
