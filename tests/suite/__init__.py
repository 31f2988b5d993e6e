"""The runner of pandas' own tests through a candidate module; see ``python -m tests.suite --help``."""
