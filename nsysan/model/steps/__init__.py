"""Which work belongs to which step of one trace."""
