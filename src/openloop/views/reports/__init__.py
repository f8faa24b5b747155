"""`openloop report`: `report` gathers the contents, the other modules write its formats."""
