"""What Wireshark writes into its columns of the messages of applications: one module for each protocol.

Bytes go in, text comes out. Everything here is for bytes that an attacker may have made: no loop runs longer
than the bytes are long, no text grows without end, and what cannot be read is said to be so or left alone.
"""
