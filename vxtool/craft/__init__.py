"""Packets out: inner frames and scenarios to capture files and sockets.

The way through it: options (`packets`) and scenario files (`scenario`) become trains of packets (`build`,
`conversation`, `train`), which cross a router (`router`) into a capture (`capture`), with its truth beside it
(`truth`), or are sent (`inject`). It knows only `vxtool.packet` and `vxtool.capture`.
"""
