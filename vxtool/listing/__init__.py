"""Packet lists as Wireshark shows them."""
