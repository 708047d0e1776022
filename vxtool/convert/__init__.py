"""Captures out of captures: tunnels taken off and put on, and records copied.

What the inputs show is found by the engine and judged by analysis, once; then the inputs are read a second time,
and what is wanted of them is written. So no more is held than which records that is.

    comments.py   what a packet's comment keeps of its tunnel, as text and back
    unwrap.py     a record's tunnel headers, and fragments put together
    choose.py     which records are wanted, and what became of them
    decap.py      inner frames out of a tunnel
    encap.py      frames into a tunnel
    extract.py    records as they were
"""
