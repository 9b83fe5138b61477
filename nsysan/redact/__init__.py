"""Copies and reports that can be given away: what analysis needs, and nothing that names people, machines or paths."""
