"""What an engine is told before the first byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vxtool.engine.wears import GENEVE, VXLAN, VXLAN_GPE

DEFAULT_PORTS: Mapping[int, int] = {8472: VXLAN, 4789: VXLAN, 4790: VXLAN_GPE, 6081: GENEVE}


class EngineOptions(NamedTuple):
    """How records become journeys. Times are ns of capture time."""

    inputs: int = 1
    ports: Mapping[int, int] = DEFAULT_PORTS  # UDP destination port -> VXLAN, GENEVE or VXLAN_GPE
    window: int = 1_000_000_000  # how long a journey waits for its next sighting
    settle: int = 10_000_000  # how long one that came in and went out stays open for more stages
    part: bool = False  # not the first part of a capture: what an earlier part may continue is kept for `merge`
    most_journeys: int = 4_000_000  # open at once
    most_flows: int = 4_000_000
    most_datagrams: int = 0  # listed one by one in `Tables.datagrams`; by themselves none are
    most_sightings: int = 0  # of these, listed in `Tables.sightings`
