"""`python -m vxtool`, the same as the `vxtool` command."""

from __future__ import annotations

from vxtool.start import main

if __name__ == "__main__":
    main()
