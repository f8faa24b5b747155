"""What a run does next, decided from events alone.

Pure: `actions.next_action(config, state)` decides, `transitions.apply(state, event)` remembers. A
whole mission can be replayed from a table of outcomes.

`actions.next_action` is the decision.
"""

MAY_IMPORT = ("core", "config")
DOORS = ("actions", "gates", "events", "state", "transitions", "waits", "budget")
