"""What does a wait give that ran out of time? Reads and writes nothing."""

from __future__ import annotations

from typing import Any

from tenacity import RetryCallState


def last_answer(state: RetryCallState) -> Any:
    """For `Retrying(retry_error_callback=…)`: what was answered last, instead of a `RetryError`."""
    assert state.outcome is not None, "asked only after an attempt"
    return state.outcome.result()
