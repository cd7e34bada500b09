"""The stories that several modules tell, and how wide they are."""

import pytest

from tests.backfill_story import past, supplied  # noqa: F401, fixtures
from tests.e2e.turn_of_the_year import turn  # noqa: F401, a fixture


@pytest.fixture(scope="session")
def parallelism() -> int:
    """Each subtask starts a Python worker. Two of them where a test asks for two: test_one_day, most of all."""
    return 1
