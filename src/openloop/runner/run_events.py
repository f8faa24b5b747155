"""Puts the events of a run on record, and shows them."""

from __future__ import annotations

from typing import Any, Protocol

from openloop.core.vocabulary import Kind
from openloop.loop.events import Event
from openloop.loop.state import State
from openloop.process.signals import Interrupts
from openloop.record.projections import LiveFacts
from openloop.record.store import Store


class RunView(Protocol):
    """Shows a run to a person or a program. Must not raise."""

    def event(self, event: Event, state: State, line: bytes) -> None:
        """line: the event as events.jsonl holds it."""

    def beat(self, live: LiveFacts, state: State) -> None:
        """About once a second while a command runs, in the watchdog's thread."""


class RunEvents:
    """Records and shows the events of one run."""

    def __init__(
        self, store: Store, view: RunView, interrupts: Interrupts, gaps: list[float]
    ) -> None:
        """gaps: seconds in which nothing could run, added by the watchdog's thread."""
        self._store = store
        self._view = view
        self._interrupts = interrupts
        self._gaps = gaps

    def record(self, kind: Kind, **fields: Any) -> None:
        """Append an event, see `Store.record`, and show it."""
        self.show(self._store.record(kind, **fields))

    def show(self, event: Event) -> None:
        """Show an event that has just been recorded."""
        self._view.event(event, self._store.state, self._store.line)

    def show_live(self, live: LiveFacts) -> None:
        """Rewrite the heartbeat, and show what runs now."""
        self._store.beat(live)
        self._view.beat(live, self._store.state)

    def show_own_work(self, words: str) -> None:
        """Show that OpenLoop itself is at work."""
        self.show_live(LiveFacts(own_work=words))

    def note_tampering(self, *found: str) -> bool:
        """Record the damage that commands did, "" for none. Returns whether there was any, which
        decides how the run ends."""
        unsettled = {"unsettled": True} if self._store.is_unrestored else {}
        for text in filter(None, found):
            self.record(Kind.NOTE, note="tampered", text=text, **unsettled)
        return any(found)

    def note_damage(self, found: str) -> None:
        """Record the paths that could not be restored: no other run begins before they are."""
        if found:
            self.record(Kind.NOTE, note="tampered", text=found, unsettled=True)

    def note_interruptions(self) -> None:
        """Record the signals and suspensions since the last call."""
        while self._gaps:
            seconds = f"{self._gaps.pop(0):.0f} s"
            text = f"the machine stood still for {seconds}; time limits were extended by that"
            self.record(Kind.NOTE, note="gap", text=text)
        if self._interrupts.received and not self._store.state.interruption:
            name = self._interrupts.received[0].name
            self.record(Kind.NOTE, note="signal", signal=name, text=f"received {name}")
