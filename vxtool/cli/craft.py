"""`vxtool craft`: packets made to order, into a capture file or onto a wire."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from vxtool.cli.craft_options import PACKET_OPTIONS, ROUTER_OPTIONS, SECTIONS
from vxtool.cli.grouped import GroupedCommand, in_sections
from vxtool.cli.output import STDOUT, check_output, say
from vxtool.errors import PacketError, UsageError

if TYPE_CHECKING:
    from vxtool.craft.capture import Format
    from vxtool.craft.plan import Plan

    Unit = Literal["ns", "us"]


_SLOW = "10"  # packets a second, where they are sent and nothing is said


@click.command("craft", cls=GroupedCommand, short_help="Make packets: single ones, floods, whole scenarios.")
@in_sections(SECTIONS)
def command(
    *,
    output: str | None,
    beside: str | None,
    seed: int,
    scenario: str | None,
    list_: bool,
    repeat: str | None,
    format: str | None,
    unit: str | None,
    snaplen: int | None,
    send: bool,
    interface: str | None,
    listen: float | None,
    anywhere: bool,
    **options: Any,
) -> int:
    """Make packets into a capture file, or send them: one or millions, as a router saw them, or a whole scenario
    with the cluster files that belong to it. Beside a router's capture, FILE.truth.json is what a right analysis
    says of it.

    \b
      vxtool craft --from 172.20.0.107 --to 172.20.2.4 --icmp echo --vni 36705 \\
        --outer 192.168.10.100:51213,192.168.20.100 -o ping.pcap
      vxtool craft --from 172.20.0.107 --to 172.20.2.4 --tcp 32788:80 --mss 1410 \\
        --vni 36705 --outer 192.168.10.100,192.168.20.100 \\
        --count 1M --through eth1,eth2 --drop 3% -o syn.pcap
      vxtool craft --scenario stale-mtu -o stale.pcap
      vxtool craft --from 172.20.0.107 --to 172.20.2.4 --icmp echo --vni 36705 \\
        --outer 192.168.10.100,192.168.20.100 --inner-mac 02:00:00:00:01:01,MAC \\
        --count 3 --send --listen 2
    """
    if list_:
        return _list()
    given = {key: value for key, value in options.items() if value not in (None, (), False)}
    if output is None and not send:
        raise UsageError("nothing to do with the packets; give -o FILE or --send")
    for name, value in (("interface", interface), ("listen", listen), ("anywhere", anywhere)):
        if value and not send:
            raise UsageError(f"--{name} needs --send")
    if send:
        _check_sending(given, interface)
    chosen = _format(format, output)
    if scenario is not None:
        if given:
            name = next(iter(given)).rstrip("_").replace("_", "-")
            raise UsageError(f"--{name} and --scenario cannot go together; write the scenario's file anew")
        plan = _plan_of_scenario(scenario, seed, repeat)
        plan = replace(
            plan,
            format=cast("Format", chosen or plan.format),
            unit=cast("Unit", unit or plan.unit),
            snaplen=plan.snaplen if snaplen is None else snaplen,
        )
    else:
        if repeat is not None:
            raise UsageError("--repeat needs --scenario; --count makes many packets")
        if send:
            given.setdefault("rate", _SLOW)
        plan = _plan_of_options(given, seed=seed, format=chosen, unit=unit, snaplen=snaplen)
    code = 0
    if output is not None:
        code = _write(plan, output, beside)
    if send:
        from vxtool.cli.craft_send import Sending, run_send

        code = run_send(plan, Sending(interface, anywhere, listen or 0, own_macs="mac" in given))
    return code


def _check_sending(given: dict[str, Any], interface: str | None) -> None:
    for name in sorted(ROUTER_OPTIONS):
        if name in given:
            raise UsageError(f"--{name} is of captures; what is sent meets real routers")
    if interface is None:
        from vxtool.cli.craft_send import check_for_udp

        check_for_udp(given)


def _list() -> int:
    from vxtool.craft.scenario import titles

    rows = list(titles())
    width = max(len(name) for name, _ in rows)
    for name, title in rows:
        say(f"{name:{width}}  {title}")
    return 0


def _plan_of_scenario(name: str, seed: int, repeat: str | None) -> Plan:
    from vxtool.craft.packets import count
    from vxtool.craft.scenario import load_scenario, plan_scenario
    from vxtool.craft.values import located

    with located("--repeat"):
        times = None if repeat is None else count(repeat)
    return plan_scenario(load_scenario(name), seed, times)


def _format(format: str | None, output: str | None) -> str | None:
    return "pcapng" if format is None and output is not None and output.endswith(".pcapng") else format


def _plan_of_options(
    given: dict[str, Any], *, seed: int, format: str | None, unit: str | None, snaplen: int | None
) -> Plan:
    from vxtool.craft.options import plan_of_options

    try:
        return plan_of_options(
            {key: value for key, value in given.items() if key in PACKET_OPTIONS},
            {key: value for key, value in given.items() if key in ROUTER_OPTIONS},
            seed=seed,
            format_=format,
            unit=unit,
            snaplen=snaplen,
        )
    except PacketError as error:  # of values, not of a capture that was read
        raise UsageError(str(error)) from None


def _write(plan: Plan, output: str, beside: str | None) -> int:
    from vxtool.craft.plan import write_plan

    check_output(output, ())
    if output == STDOUT:
        if sys.stdout.isatty():
            raise UsageError("a capture is nothing for a terminal; give -o FILE, or send it on by a pipe")
        sys.stdout.flush()
        write_plan(plan, sys.stdout.buffer)
        return 0
    written = write_plan(plan, output, beside)
    records = f"{written.records:,} record{'s' if written.records != 1 else ''}"
    say(f"{', '.join(written.captures)}: {records}")
    if plan.routed and written.truth is None:
        say("no truth is told: lengths that lie, cuts, and losses among equal packets leave it open")
    if written.beside:
        say(f"beside it: {', '.join(written.beside)}")
    return 0
