"""Runs over time, in one SQLite database that Datasette can open."""
