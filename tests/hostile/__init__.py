"""Hostile inputs by kind: what strangers, tools and machines put in a command's way beside a damaged export."""
