"""What the fuzzers once found stays found: see tests/fuzz.

Each file in tests/regressions is a case, as tests/fuzz/native/cases.h says, or an input of the target in its name.
The C targets run theirs in `make native-test`, under sanitizers; here both engines read all that are captures,
which filters and words are not.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from conftest import REPOSITORY, require_native, require_tool

CASES = sorted(
    path
    for path in (REPOSITORY / "tests" / "regressions").glob("*.bin")
    if not path.name.startswith(("python-filters-", "python-words-"))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_native()
    require_tool("cc")
    return tmp_path_factory.mktemp("cases")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_engines_agree_on_what_was_once_found(path: Path, folder: Path) -> None:
    from fuzz.case_files import CaseLibrary
    from fuzz.differential import difference_in_all

    case = CaseLibrary(folder).read(path.read_bytes())
    assert case is not None
    assert difference_in_all(case) is None


def test_cases_stay_cases_when_they_are_changed(folder: Path) -> None:
    """The mutator keeps within its bounds, and most of what it makes can still be read."""
    from fuzz.case_files import CaseLibrary

    library = CaseLibrary(folder)
    chance = random.Random(1)
    pool = [path.read_bytes() for path in CASES]
    records = 0
    for _ in range(300):
        data = chance.choice(pool)
        for _ in range(5):
            data = library.cross(data, chance.choice(pool), 5000, chance.getrandbits(60))
            data = library.mutate(data, 5000, chance.getrandbits(60))
            assert len(data) <= 5000
        case = library.read(data)
        if case is not None:
            records += any(len(file) > 100 for file in case.files)
    assert records > 200
