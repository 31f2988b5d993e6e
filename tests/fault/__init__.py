"""Processes killed at every step of a commit, stores and networks that misbehave: what a query gives all the same."""
