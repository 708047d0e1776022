"""What a datagram wears where it is seen, and what tunnel a port has: the numbers that engines, tables and options
share."""

from __future__ import annotations

PLAIN, VXLAN, GENEVE = range(3)
WEAR_NAMES = ("plain", "vxlan", "geneve")

# A port may have a further kind: VXLAN-GPE, which is worn as VXLAN, but may hold another than an Ethernet frame.
VXLAN_GPE = 3
PORT_NAMES = (*WEAR_NAMES, "vxlan-gpe")
