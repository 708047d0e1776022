"""Packet lists: each record, or each datagram, as a line, as Wireshark shows it."""
