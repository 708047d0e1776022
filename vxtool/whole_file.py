"""Files that are there whole or not at all: what is written goes into a file beside, which is renamed at the end.

So a full disk, an interrupt or a crash leaves what stood under the name before, never half of something new.
"""

from __future__ import annotations

import atexit
import errno
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

_beside_now: set[str] = set()  # files beside that are to go away, whatever happens
_numbers = itertools.count()


class WholeFile:
    """A file under way to `path`: `stream` takes its bytes; then `finish`, or `give_up`.

    A device or a named pipe is written to directly, and so is a file in a folder that may not be written to. Raises
    OSError where neither can be opened; `finish` raises it where the last bytes cannot be written, and has given up
    then.
    """

    stream: BinaryIO

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # What a symbolic link points to is replaced, not the link.
        self._path = os.path.realpath(path)
        self._beside: str | None = None
        try:
            there: os.stat_result | None = os.stat(self._path)
        except FileNotFoundError:
            there = None
        if there is None or stat.S_ISREG(there.st_mode):
            self._open_beside(there)
        if self._beside is None:
            self.stream = open(self._path, "wb")  # noqa: SIM115 (closed by finish or give_up)

    def _open_beside(self, there: os.stat_result | None) -> None:
        if there is not None and not os.access(self._path, os.W_OK):
            return  # opening it tells why not
        folder, name = os.path.split(self._path)
        start = os.fsdecode(os.fsencode(name)[:100])  # names are at most 255 bytes long
        for number in _numbers:
            beside = os.path.join(folder, f".{start}.{number}.{os.getpid()}.part")
            _beside_now.add(beside)  # before it is there: an interrupt may come at any moment
            try:
                self.stream = open(beside, "xb")  # noqa: SIM115 (closed by finish or give_up)
                break
            except FileExistsError:  # left by one that was killed and had this process's number
                _beside_now.discard(beside)
            except PermissionError:
                _beside_now.discard(beside)
                return
            except OSError as error:
                _beside_now.discard(beside)
                if error.errno == errno.EROFS:
                    return
                raise
        self._beside = beside
        if there is not None:
            with suppress(OSError):
                os.chmod(beside, stat.S_IMODE(there.st_mode))
                os.chown(beside, there.st_uid, there.st_gid)

    def finish(self) -> None:
        """All is written: the file is there."""
        try:
            self.stream.close()
            if self._beside is not None:
                os.replace(self._beside, self._path)
                _beside_now.discard(self._beside)
                self._beside = None
        except BaseException:  # an interrupt too
            self.give_up()
            raise

    def give_up(self) -> None:
        """Leave what was there before."""
        with suppress(OSError):
            self.stream.close()
        if self._beside is not None:
            with suppress(OSError):
                os.unlink(self._beside)
            _beside_now.discard(self._beside)
            self._beside = None


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A `WholeFile` that is finished where the block ends well, and given up where it does not."""
    file = WholeFile(path)
    try:
        yield file.stream
    except BaseException:
        file.give_up()
        raise
    file.finish()


@atexit.register
def remove_unfinished() -> None:
    """Remove what this process has begun to write, and was interrupted at before it could give it up."""
    for beside in tuple(_beside_now):
        if beside.endswith(f".{os.getpid()}.part"):  # what a fork inherited is its parent's
            with suppress(OSError):
                os.unlink(beside)
