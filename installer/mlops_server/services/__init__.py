"""Models in service: each answers over HTTP from its environment, in a unit of its own."""
