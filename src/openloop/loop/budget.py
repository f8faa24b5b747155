"""The limits on tokens and cost of a run."""

from __future__ import annotations

from openloop.config.config import Config
from openloop.core import usage
from openloop.core.usage import Figures, RunUsage
from openloop.loop.state import State


def reason_against_session(config: Config, state: State) -> str:
    """Why no further session may begin; "" while one may."""
    limits, total = config.limits, state.usage
    if limits.max_cost is not None and total.unpriced:
        number = f"{total.unpriced} of {total.sessions} sessions"
        return f"max_cost_usd {limits.max_cost:g} cannot be kept: the cost of {number} is unknown"
    return exceeded_limit(config, total, Figures())


def exceeded_limit(config: Config, total: RunUsage, session: Figures) -> str:
    """The limit that the run has reached; "" for none. session: usage of a session that still
    runs."""
    limits, used = config.limits, total.figures.plus(session)
    if limits.max_cost is not None and (used.cost_usd or 0) >= limits.max_cost:
        return f"max_cost_usd {limits.max_cost:g} is used up: {usage.dollars(used.cost_usd or 0)}"
    if limits.max_tokens is not None and (used.tokens or 0) >= limits.max_tokens:
        return f"max_tokens {limits.max_tokens} is used up: {used.tokens}"
    return ""
