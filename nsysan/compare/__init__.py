"""Two runs or more, like for like."""
