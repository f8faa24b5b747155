"""The circuit breaker: repeated failure blocks instead of burning the budget.

Closed: rounds run. A round that fails adds one to the count, any other sets it to zero; at
the limit the breaker trips and is open (status `blocked`). The next run is the half-open
trial: one round; complete closes the breaker, anything else opens it again at once.
"""

from __future__ import annotations

from openloop.config.config import Config
from openloop.loop.state import State


def count_after(state: State, *, failed: bool) -> int:
    """Failed rounds in a row once the current round is over."""
    return state.consecutive_failures + 1 if failed else 0


def reason_to_trip(config: Config, state: State, *, failed: bool, complete: bool) -> str:
    """Why the breaker trips at the end of this round; "" when it stays closed."""
    count = count_after(state, failed=failed)
    if complete:
        return ""
    if state.trial:
        return "the trial round of a blocked workspace did not end complete"
    if count >= config.limits.max_consecutive_failures:
        rounds = "round" if count == 1 else "rounds in a row"
        return f"{count} failed {rounds}, the limit is {config.limits.max_consecutive_failures}"
    return ""
