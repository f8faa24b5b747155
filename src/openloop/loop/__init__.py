"""What a run does next, decided from events alone.

`actions.next_action(config, state)` decides, `transitions.apply(state, event)` returns the next
state. `gates` decides the outcome of a step and whether evidence is stale, `waits` and `budget`
what an agent's refusals and usage mean. Pure: a whole mission can be replayed from a table of
outcomes."""

MAY_IMPORT = ("core", "config")
DOORS = ("actions", "gates", "events", "state", "transitions", "waits", "budget")
