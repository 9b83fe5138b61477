"""A run held against rules."""
