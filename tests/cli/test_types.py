"""Option values are read exactly, or refused with what was expected."""

from __future__ import annotations

import click
import pytest

from vxtool.cli.types import duration, positive_duration, tunnel_port


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0s", 0),
        ("7ns", 7),
        ("500us", 500_000),
        ("250µs", 250_000),
        ("10ms", 10_000_000),
        ("1s", 1_000_000_000),
        ("1.5s", 1_500_000_000),
        ("0.000000001s", 1),
        ("86399.999999999s", 86_399_999_999_999),
        ("2m", 120_000_000_000),
        ("1440m", 86_400_000_000_000),
    ],
)
def test_a_duration_is_exact_to_the_nanosecond(text: str, nanoseconds: int) -> None:
    assert duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "1", "s", "-1s", "1 s", "1e3s", "1.s", "1h", "1441m", "٣s", "9" * 400 + "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        duration(text)


def test_where_time_is_needed_zero_is_refused() -> None:
    assert positive_duration("1ns") == 1
    with pytest.raises(click.BadParameter, match="more than 0"):
        positive_duration("0.0s")


def test_a_tunnel_port_is_a_number_and_a_protocol() -> None:
    assert tunnel_port("4789=vxlan") == (4789, "vxlan")
    assert tunnel_port("65535=geneve") == (65535, "geneve")


@pytest.mark.parametrize(
    "text", ["", "4789", "=vxlan", "0=vxlan", "65536=vxlan", "4789=gre", "4789=", "-1=vxlan", "x=vxlan"]
)
def test_what_is_no_tunnel_port_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="as in 4789=vxlan"):
        tunnel_port(text)
