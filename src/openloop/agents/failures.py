"""Failures of agents, classified by HTTP status or by the agent's own error message."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from openloop.core.text import printable
from openloop.core.vocabulary import Refusal

ERROR = "error"  # a failure that is no refusal: the session failed, though it may exit 0
HOPELESS = 4  # tries in a row; the first ones may renew a token
LONGEST = 300  # characters of a sentence

_BY_STATUS = {401: Refusal.AUTH, 402: Refusal.CREDIT, 403: Refusal.AUTH, 429: Refusal.LIMIT}
_BY_STATUS |= dict.fromkeys((500, 502, 503, 504, 529), Refusal.OVERLOADED)

# Searched in the message of an agent's own error, in this order; never in what it quotes.
_BY_WORDS = (
    (
        Refusal.CREDIT,
        r"credit balance|insufficient.?(?:quota|funds|credit|balance)|out of credits?"
        r"|credits? (?:are|is|have been) (?:depleted|exhausted)|payment required|\b402\b"
        r"|(?:exceeded your current quota|quota exceeded\W+check your plan)"
        r"(?!.*(?:retry|again) in)",
    ),
    (
        Refusal.AUTH,
        r"\b40[13]\b|unauthori[sz]ed|api.?key not valid|API_KEY_INVALID"
        r"|(?:incorrect|invalid|missing|no)[\w. -]{0,12}api.?key|authenticat|not logged in"
        r"|log ?in (?:again|first)|run /login|(?:token|session) (?:has )?expired|forbidden",
    ),
    (
        Refusal.LIMIT,
        r"\b429\b|rate.?limit|usage limit|hit your (?:\w+ )?limit|limit reached|too many requests"
        r"|(?:exceeded|exhausted).{0,30}quota|quota (?:exceeded|exhausted)|RESOURCE_EXHAUSTED",
    ),
    (
        Refusal.OVERLOADED,
        r"overloaded|\b5(?:0[0234]|29)\b|service unavailable|at capacity|bad gateway"
        r"|gateway time.?out|connection (?:error|refused|reset)|ECONN\w+|ENOTFOUND|ETIMEDOUT",
    ),
)
_COMPILED = tuple((kind, re.compile(words, re.IGNORECASE)) for kind, words in _BY_WORDS)


class SessionFailure(NamedTuple):
    """Why a session could not work or failed. kind: a Refusal, or ERROR. says: the agent's own
    sentence, printable. reset: the time given for its end, as it was written; "" for none.
    retries: the agent itself tries again. times: reported in a row, by
    records: text may come from another source."""

    kind: str
    says: str
    reset: str = ""
    retries: bool = False
    times: int = 1

    @property
    def is_hopeless(self) -> bool:
        """Whether the agent retries an error that no retry can fix."""
        lasting = self.kind in (Refusal.CREDIT, Refusal.AUTH)
        return lasting and self.retries and self.times >= HOPELESS


def kind_of(status: str, says: str) -> str:
    """The kind of failure that an HTTP status and an error message report."""
    words = next((kind for kind, regex in _COMPILED if regex.search(says)), None)
    if words is Refusal.CREDIT:  # comes as 400 or 429
        return words
    by_status = _BY_STATUS.get(int(status)) if status.isdecimal() else None
    return by_status or words or ERROR


def one_line_message(text: str) -> str:
    """An error message as one printable line, without the wrapping that CLIs put around it."""
    text = text.strip()
    if found := re.fullmatch(r"(?s)\[API Error:? ?(.*?)\](?:\n.*)?", text):
        text = found[1]
    text = _message(text) or text
    return printable(" ".join(text.split()))[:LONGEST]


def _message(text: str) -> str:
    """The message in an error that a provider sent as JSON."""
    if not text.startswith("{"):
        return ""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    while isinstance(found, dict):
        found = found.get("message", found.get("error"))
    return found if isinstance(found, str) else ""
