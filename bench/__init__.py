"""Benchmarks: terality beside pandas, Polars and DuckDB in one run on the same files."""
