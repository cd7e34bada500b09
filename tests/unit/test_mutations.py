"""Does every test that breaks the code on purpose still find what it breaks?

Such a test says what it replaces (`changed({file: [(old, new)]})`). The long ones run in `make test-faults` alone, so a
text that has moved since would be noticed an hour later.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def replaced() -> Iterator[tuple[str, str, str]]:
    """(place of the test, file of the code, text that it replaces) of every replacement that is spelt out."""
    for test in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(test.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Dict):
                continue
            for file, pairs in zip(node.keys, node.values, strict=True):
                if not (isinstance(file, ast.Constant) and isinstance(file.value, str) and isinstance(pairs, ast.List)):
                    continue
                for pair in pairs.elts:
                    if isinstance(pair, ast.Tuple) and len(pair.elts) == 2 and isinstance(pair.elts[0], ast.Constant):
                        yield f"{test.relative_to(ROOT)}:{pair.lineno}", file.value, pair.elts[0].value


REPLACED = [row for row in replaced() if row[1].endswith((".py", ".sql", ".lua", ".toml"))]


def test_replacements_are_found():
    assert len(REPLACED) >= 15


@pytest.mark.parametrize(("place", "file", "old"), REPLACED, ids=[row[0] for row in REPLACED])
def test_the_text_that_a_test_replaces_is_there(place: str, file: str, old: str):
    assert old in (ROOT / file).read_text(encoding="utf-8"), f"{place}: {file} no longer holds {old!r}"
