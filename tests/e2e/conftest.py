"""The story that several modules of this folder tell, and how wide it is."""

import pytest

from tests.backfill_story import past, supplied  # noqa: F401, fixtures


@pytest.fixture(scope="session")
def parallelism() -> int:
    """Each subtask starts a Python worker. Two of them where a test asks for two: test_one_day, most of all."""
    return 1
