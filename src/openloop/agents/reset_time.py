"""The end of a limit in seconds from now, from the texts in which agents write it."""

from __future__ import annotations

import calendar
import re
import time

LONGEST = 400 * 86400.0  # seconds: what lies beyond is garbage
JUST_OVER = 3600.0  # seconds for which a time of day is taken for today's, not tomorrow's
_DAY = 86400.0

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?\s*(Z|UTC|GMT|[+-]\d\d:?\d\d)?"
)
_UNIT = r"ms|d(?:ays?)?|h(?:ours?|rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?"
_SPAN = re.compile(rf"\bin\s+((?:\d+(?:\.\d+)?\s*(?:{_UNIT})[\s,]*(?:and\s+)?)+)", re.IGNORECASE)
_PART = re.compile(rf"(\d+(?:\.\d+)?)\s*({_UNIT})", re.IGNORECASE)
_DATE = (
    r"(?:(?P<month>[A-Z][a-z]{2})[a-z]*\.? (?P<day>\d{1,2})(?:st|nd|rd|th)?,?"
    r"(?: (?P<year>\d{4}),?)?(?: at)? )?"
)
_CLOCK = re.compile(
    rf"(?:resets?|try again|until|available)(?: at| on)?:? {_DATE}"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))? ?(?P<half>[ap]\.?m\.?)?(?: ?\((?P<zone>[\w/+-]+)\))?",
    re.IGNORECASE,
)
_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_SECONDS = {"d": _DAY, "h": 3600.0, "m": 60.0, "s": 1.0}


def seconds_until_reset(text: str, now: float) -> float | None:
    """Seconds from `now` (since 1970) to the moment that the text names; negative when it is over,
    None when the text names none or one that makes no sense."""
    found = _stamp(text.strip())
    if found is None:
        found = _iso(text)
    seconds = found - now if found is not None else _span(text)
    if seconds is None:
        moment = _clock(text, now)
        seconds = None if moment is None else moment - now
    return seconds if seconds is not None and abs(seconds) <= LONGEST else None


def _stamp(text: str) -> float | None:
    """Seconds since 1970, which some write as milliseconds."""
    if not re.fullmatch(r"\d{9,14}(?:\.\d+)?", text):
        return None
    value = float(text)
    return value / 1000 if value >= 1e11 else value


def _iso(text: str) -> float | None:
    found = _ISO.search(text)
    if not found:
        return None
    fields = [int(part) for part in found.groups()[:5]] + [int(found[6] or 0)]
    zone = found[7] or ""
    try:
        moment = float(calendar.timegm((*fields, 0, 0, 0)))
        time.gmtime(moment)
    except (ValueError, OverflowError, OSError):
        return None
    if zone[:1] in ("+", "-"):
        offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        moment -= offset if zone[0] == "+" else -offset
    return moment


def _span(text: str) -> float | None:
    """`in 2h39m52s`, `in 3 days 2 hours`, `in 20s`."""
    found = _SPAN.search(text)
    if not found:
        return None
    total = 0.0
    for amount, unit in _PART.findall(found[1]):
        size = 0.001 if unit.lower() == "ms" else _SECONDS[unit[0].lower()]
        total += float(amount) * size
    return total


def _clock(text: str, now: float) -> float | None:
    """`resets 10:56am (UTC)`, `try again at 10:45 AM`, `try again at Dec 1st, 2026 9:00 AM`: the
    local time zone where none is written."""
    found = _CLOCK.search(text)
    if not found or (found["minute"] is None and found["half"] is None):
        return None
    hour, minute = int(found["hour"]), int(found["minute"] or 0)
    if found["half"]:
        hour = hour % 12 + (12 if found["half"][0] in "pP" else 0)
    if hour > 23 or minute > 59:
        return None
    in_utc = (found["zone"] or "").upper() in ("UTC", "GMT")
    today = time.gmtime(now) if in_utc else time.localtime(now)
    year, month, day = today.tm_year, today.tm_mon, today.tm_mday
    if found["month"]:
        month = _MONTHS.get(found["month"].capitalize(), 0)
        year, day = int(found["year"] or year), int(found["day"])
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return None
    moment = _moment(year, month, day, hour, minute, in_utc)
    if moment is not None and moment <= now < moment + 60:
        return moment + 60  # some time in this minute
    if moment is not None and not found["month"] and moment < now - JUST_OVER:
        moment += _DAY
    return moment


def _moment(y: int, m: int, d: int, hour: int, minute: int, in_utc: bool) -> float | None:
    fields = (y, m, d, hour, minute, 0, 0, 0, -1)
    try:
        return float(calendar.timegm(fields) if in_utc else time.mktime(fields))
    except (ValueError, OverflowError):
        return None
