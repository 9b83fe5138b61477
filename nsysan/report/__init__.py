"""A finished Report object, and one renderer per output."""
