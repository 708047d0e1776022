"""The archive that `cilium sysdump` writes: a zip of one folder, of which a few files are of use.

Nothing is unpacked to the disk, and no more is read than lists can be large. This module stands apart because it
brings zipfile along.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import BinaryIO

from vxtool.cluster import files
from vxtool.cluster.knowledge import Facts
from vxtool.cluster.sysdump import kind_of_file, time_in_name, wall_clock
from vxtool.errors import UsageError

_MOST_LISTS = 4  # times the largest list, for all that is read of one archive
_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # a first file, or none
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, LookupError, OverflowError,
           MemoryError, struct.error)  # fmt: skip

# The header field with times in UTC, and its flag for the time of change (Info-ZIP, proginfo/extrafld.txt).
_TIMES = 0x5455
_CHANGED = 1


def is_archive(head: bytes) -> bool:
    """Whether a file that begins with these four bytes is a zip."""
    return head in _MAGIC


def read_sysdump(path: str, file: BinaryIO, take: Callable[[str, str, str, Facts], None]) -> Facts:
    """Return what an archive tells. `take` adds what a text tells: its name, the text, its kind, the facts.

    A file in it that cannot be used is named among the problems. UsageError where none can.
    """
    facts = Facts()
    left = _most_of_all()
    seen = False
    unsure: list[int | None] = []
    try:
        archive = zipfile.ZipFile(file)
    except (*_BROKEN, NotImplementedError) as error:
        raise UsageError(f"{path}: is no whole zip archive ({_worded(error)}); copy it again") from None
    for member in sorted(archive.infolist(), key=lambda each: each.filename):
        name = member.filename.rpartition("/")[2]
        kind = kind_of_file(name)
        if kind is None:
            continue
        seen = True
        try:
            data = _unpacked(archive, member, min(left, files.MAX_BYTES))
            left -= len(data)
            take(name, files.as_text(name, data), kind, facts)
        except UsageError as error:
            facts.problems.append(str(error))
            continue
        changed = _time_of_change(member.extra)
        if changed is not None:
            facts.taken = max(changed, facts.taken or changed)
        # 1980 stands where no time was written.
        dated = wall_clock(*member.date_time) if member.date_time[0] > 1980 else None
        unsure.append(time_in_name(name) or dated)
    if not seen:
        raise UsageError(
            f"{path}: a zip archive without a file of `cilium sysdump` that is of use, such as "
            "ciliumendpoints-….yaml; unpack it, and give its folder"
        )
    if facts.taken is None:
        facts.taken = time_in_name(os.path.basename(path)) or max(filter(None, unsure), default=None)
        facts.taken_unsure = facts.taken is not None
    return facts


def _most_of_all() -> int:
    return _MOST_LISTS * files.MAX_BYTES


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    name = member.filename.rpartition("/")[2]
    try:
        with archive.open(member) as stream:
            data = stream.read(most + 1)
    except (*_BROKEN, NotImplementedError) as error:
        raise UsageError(f"{name}: cannot be unpacked ({_worded(error)})") from None
    if len(data) > most:
        if most < files.MAX_BYTES:
            raise UsageError(f"{name}: the archive's lists unpack to more than {_most_of_all() >> 20} MiB together")
        raise UsageError(f"{name}: unpacks to more than {most >> 20} MiB")
    return data


def _time_of_change(extra: bytes) -> int | None:
    """In ns since 1970, as `cilium sysdump` has it written. What else an archive tells of times, in names and in
    the field that every zip has, is of an unknown zone."""
    while len(extra) >= 4:
        number, length = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if number == _TIMES and len(field) >= 5 and field[0] & _CHANGED:
            seconds: int = struct.unpack_from("<i", field, 1)[0]
            return seconds * 1_000_000_000
    return None


def _worded(error: BaseException) -> str:
    return ascii(" ".join(str(error).split())[:80])[1:-1] or type(error).__name__
