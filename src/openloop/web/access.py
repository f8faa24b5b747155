"""Access to the page: a local Host, no foreign origin, the token of this start.

Checked in this order; the first failed check refuses the request. Names of the host are compared
without the port, because `ssh -L` may give the page another one; a foreign page can neither name
such a host nor send the cookie (SameSite=Strict)."""

from __future__ import annotations

import hmac
import secrets
from email.message import Message
from http.cookies import CookieError, SimpleCookie

_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_SAME = (None, "same-origin", "none")  # values of Sec-Fetch-Site


class Access:
    """The token of one start of the server. cookie: the name under which browsers keep it."""

    def __init__(self, cookie: str) -> None:
        self.token = secrets.token_urlsafe(32)
        self.cookie = cookie
        self._keys: list[str] = []

    def one_time_key(self) -> str:
        """A key that works like the token, once: other users see a browser's command line."""
        self._keys.append(secrets.token_urlsafe(32))
        return self._keys[-1]

    def refusal_reason(self, headers: Message) -> str:
        """Why a request is not from this machine's own page; "" when it is."""
        host = headers.get_all("Host") or []
        if len(host) != 1 or _without_port(host[0]) not in _HOSTS:
            return "the Host header names another machine"
        if headers.get("Sec-Fetch-Site") not in _SAME:
            return "the request comes from another site"
        origin = headers.get("Origin")
        if origin is not None and origin != f"http://{host[0]}":
            return "the request comes from another origin"
        return ""

    def admits(self, headers: Message) -> bool:
        """Whether a request carries the token, as a cookie or as a bearer."""
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.matches(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("Cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return cookie is not None and self.matches(cookie.value)

    def matches(self, given: str) -> bool:
        """Whether this is the token; compared in constant time."""
        return hmac.compare_digest(given.encode(), self.token.encode())

    def accepts_key(self, given: str) -> bool:
        """Whether this is the token, or a one-time key, which is used up by that."""
        for key in self._keys:
            if hmac.compare_digest(given.encode(), key.encode()):
                self._keys.remove(key)
                return True
        return self.matches(given)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdecimal() else host.lower()
