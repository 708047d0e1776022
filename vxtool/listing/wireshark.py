"""What Wireshark shows of the records of a capture: the columns of its packet list, through pyshark and tshark.

pyshark can read packet lists (`only_summaries`), but in its version 0.6 that mode gives the first packet alone:
each call throws away what the one before had read. Whole packets take it 1.6 ms each, and as JSON 0.24 ms. So
tshark is asked for the columns alone, as line-wise JSON (`-T ek` with `-e`), and pyshark is given a parser that
reads all lines of a piece of that at once: 0.02 ms each.
"""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from vxtool.errors import InputError, UsageError

_FIELDS = ("frame.number", "_ws.col.Source", "_ws.col.Destination", "_ws.col.Protocol", "frame.len", "_ws.col.Info")
_KEYS = tuple(name.replace(".", "_") for name in _FIELDS)
# As tshark calls the kinds of tunnels that ports have.
_DISSECTORS = {"vxlan": "vxlan", "geneve": "geneve", "vxlan-gpe": "vxlan_gpe"}


class Row(NamedTuple):
    """The columns of one record."""

    number: int
    source: str
    destination: str
    protocol: str
    length: int
    info: str


class Wireshark:
    """The tshark that pyshark finds. UsageError where one of them is missing."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what asyncio will leave out some day
            try:
                from pyshark import FileCapture
                from pyshark.tshark import tshark
                from pyshark.tshark.output_parser.tshark_ek import TsharkEkJsonParser
            except ImportError as error:
                if error.name is not None and error.name.partition(".")[0] == "pyshark":
                    raise UsageError(
                        "crosscheck needs pyshark, which is not installed: pip install 'vxtool[wireshark]'."
                    ) from None
                raise UsageError(f"crosscheck needs pyshark, which cannot be used here: {error}.") from None
        try:
            tshark.get_process_path()
        except tshark.TSharkNotFoundException:
            raise UsageError(
                "crosscheck needs tshark, which is not in PATH: install it (apt install tshark, brew install "
                "wireshark)."
            ) from None
        try:
            self.version = str(tshark.get_tshark_version())
        except (OSError, ValueError, tshark.TSharkVersionException) as error:
            raise UsageError(f"crosscheck needs tshark, which cannot be run: {error}.") from None

        class Columns(TsharkEkJsonParser):  # type: ignore[misc]
            def _extract_packet_from_data(
                self, data: bytes, got_first_packet: bool = True
            ) -> tuple[bytes | None, bytes]:
                end = data.rfind(b"\n") + 1
                return (data[:end], data[end:]) if end else (None, data)

            def _parse_single_packet(self, packet: bytes) -> list[Row]:
                lines = packet.splitlines()
                return [_row(line) for line in lines if line and not line.startswith(b'{"index"')]

        class ColumnCapture(FileCapture):  # type: ignore[misc]
            def _setup_tshark_output_parser(self) -> Columns:
                return Columns()

            async def _cleanup_subprocess(self, process: Any) -> None:
                # At the end of the output pyshark kills tshark, which may be gone, and then takes it for crashed.
                self._running_processes.discard(process)
                if not self._eof_reached and process.returncode is None:
                    process.kill()
                code = await process.wait()
                if self._eof_reached and code:
                    raise OSError(f"exit code {code}: {self._last_error_line or 'it said nothing'}")

        self._capture = ColumnCapture

    def rows(self, path: str, ports: Mapping[int, str]) -> Iterator[Row]:
        """The columns of each record of a capture; `ports` are the UDP ports of tunnels.

        Raises InputError where tshark fails.
        """
        with _own_watcher():
            yield from self._rows(path, ports)

    def _rows(self, path: str, ports: Mapping[int, str]) -> Iterator[Row]:
        loop = asyncio.new_event_loop()
        asked = [part for name in _FIELDS for part in ("-e", name)]
        capture: Any = self._capture(
            path,
            keep_packets=False,
            use_ek=True,
            # pyshark itself says -n: no names for addresses and ports.
            custom_parameters=asked,
            decode_as={f"udp.port=={port}": _DISSECTORS[kind] for port, kind in ports.items()},
            eventloop=loop,
        )
        records = 0
        try:
            for rows in capture:
                records += len(rows)
                yield from rows
        except (ValueError, KeyError) as error:
            why = f"what tshark printed behind record {records} cannot be read: {error}"
            raise InputError(f"{path}: {why}") from None
        except Exception as error:  # pyshark's own, which end in an attribute error where asyncio has changed
            raise InputError(f"{path}: tshark stopped behind record {records}: {_line(error)}") from None
        finally:
            capture.close()
            loop.close()


@contextmanager
def _own_watcher() -> Iterator[None]:
    """Let asyncio hear of the end of tshark whatever loop others use: a pyshark capture of theirs binds all of that
    to its own. From Python 3.14 on there is nothing to bind."""
    if sys.version_info >= (3, 14):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = asyncio.get_child_watcher()
        asyncio.set_child_watcher(asyncio.ThreadedChildWatcher())
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asyncio.set_child_watcher(before)


def _row(line: bytes) -> Row:
    layers = json.loads(line)["layers"]
    number, source, destination, protocol, length, info = (_first(layers.get(key)) for key in _KEYS)
    return Row(int(number), source, destination, protocol, int(length), info)


def _first(values: Any) -> str:
    if isinstance(values, list):
        return str(values[0]) if values else ""
    return "" if values is None else str(values)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
