"""The story that several modules of this folder tell."""

from tests.backfill_story import past, supplied  # noqa: F401, fixtures
