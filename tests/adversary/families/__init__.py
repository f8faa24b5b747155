"""One module a family of agents; `index.FAMILIES` says what each does."""
