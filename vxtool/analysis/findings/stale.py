"""Lists that are of another time than the capture: pods' addresses are given to others when pods go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from vxtool.analysis.findings.evidence import MOST_EVIDENCE, Case, number
from vxtool.analysis.knowledge import CLOCKS, address_text
from vxtool.analysis.times import rfc3339
from vxtool.engine.answers import Wanted

if TYPE_CHECKING:
    from vxtool.analysis.model import Evidence, Finding, Severity
    from vxtool.cluster.knowledge import Endpoint

# How long before or after the capture a list may be taken without anything being made of it, in ns.
_NEAR = 3_600_000_000_000
# How far the clocks on the walls of the world are ahead of UTC and behind it, in ns.
_EAST, _WEST = 14 * _NEAR, 12 * _NEAR
_MOST_PROOFS = 1_000  # among which records of an address are looked for

_COMMAND = (
    "`kubectl get ciliumendpoints,ciliumidentities,ciliumnodes,pods,nodes,services,endpointslices -A -o json "
    "> cluster.json`"
)


class _Later(NamedTuple):
    """A pod whose address was seen before the pod was there: before `since`. `ended`: so was the last record."""

    first_time: int
    address: str
    pod: Endpoint
    since: int
    ended: bool


def find(case: Case) -> Iterator[Finding]:
    later = _find_later(case)
    distant = list(_distant(case))
    if later:
        ended = sum(item.ended for item in later)
        pods = number(ended or len(later), "pod")
        if ended:
            title = f"{pods} in the lists came after the capture: the addresses were not theirs then"
        else:
            title = f"{pods} in the lists came during the capture: the addresses were not theirs before"
        # Of a CiliumEndpoint alone it is not certain that its pod is as young.
        certain = any(item.pod.created is not None for item in later)
        yield _finding("warning" if certain else "info", title, len(later), [*_worded(case, later), *distant])
    elif distant:
        title = "names come from lists of another time than the capture"
        yield _finding("info", title, len(distant), distant)


def _finding(severity: Severity, title: str, count: int, evidence: list[Evidence]) -> Finding:
    return {
        "id": "identity.stale-list",
        "severity": severity,
        "title": title,
        "count": count,
        "evidence": evidence[:MOST_EVIDENCE],
        "remedy": f"take the lists while the capture runs, where kubectl does: {_COMMAND}",
        "unknown": "who had these addresses when the packets were sent, and whether the clocks of the cluster and "
        "of the machine that captured agree",
    }


def _find_later(case: Case) -> list[_Later]:
    """The pods whose addresses were in use before they were: first those from after the capture."""
    first, last = case.tables.first_time, case.tables.last_time
    if first is None or last is None:
        return []
    pods = case.knowledge.cluster.pods
    young = [
        (address, pod, since, since > last + CLOCKS)
        for known in (case.knowledge.later, pods)
        for address, pod in known.items()
        if (since := pod.since) is not None and since > first + CLOCKS
    ]
    if not young:
        return []
    seen: dict[str, int] = {}
    for ends in case.judge.bundles.ends([item.number for item in case.judged]):
        for address in filter(None, map(address_text, (ends.source, ends.destination))):
            seen[address] = min(seen.get(address, ends.first_time), ends.first_time)
    found = [
        _Later(seen[address], address, pod, since, ended)
        for address, pod, since, ended in young
        if address in seen and since > seen[address] + CLOCKS
    ]
    return sorted(found, key=lambda item: (not item.ended, item.first_time, item.address))


def _worded(case: Case, later: list[_Later]) -> Iterator[Evidence]:
    shown = later[:MOST_EVIDENCE]
    records: dict[str, Evidence] = {}
    everything = Wanted([item.number for item in case.judged])
    for proof in case.judge.bundles.earliest(everything, _MOST_PROOFS):
        for address in (address_text(proof.flow.source), address_text(proof.flow.destination)):
            if address is not None and address not in records:
                records[address] = case.evidence(proof.sample, "")
    for item in shown:
        path = case.knowledge.cluster.files.get(item.address, "a list")
        what = "that name is not used" if item.ended else "before that it was not this pod's"
        text = (
            f"{item.address} is {item.pod} in {path}, created at {_second(item.since)}, "
            f"{_apart(item.since - item.first_time)} after the address was first seen: {what}"
        )
        nowhere: Evidence = {"input": None, "record": None, "time": rfc3339(item.first_time), "text": text}
        yield {**records[item.address], "text": text} if item.address in records else nowhere


def _distant(case: Case) -> Iterator[Evidence]:
    """The lists that tell when they were taken, and were so long before or after the capture."""
    first, last = case.tables.first_time, case.tables.last_time
    if first is None or last is None:
        return
    for source in case.knowledge.cluster.sources:
        if source.taken is None:
            continue
        east, west = (_EAST, _WEST) if source.taken_unsure else (0, 0)
        if source.taken - east > last + _NEAR:
            when = f"{_apart(source.taken - last)} after the last record"
        elif source.taken + west < first - _NEAR:
            when = f"{_apart(first - source.taken)} before the first record"
        else:
            continue
        zone = ", if that is UTC: it tells no time zone" if source.taken_unsure else ""
        text = f"{source.path} was taken at {_second(source.taken)}, {when}{zone}"
        yield {"input": None, "record": None, "time": None, "text": text}


def _second(time: int) -> str:
    """To the second, which is as exact as Kubernetes tells it."""
    return f"{rfc3339(time)[:19].replace('T', ' ')} UTC"


def _apart(nanoseconds: int) -> str:
    seconds = round(nanoseconds / 1_000_000_000)
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{round(seconds / size):,} {unit}s"
    return f"{seconds} seconds"
