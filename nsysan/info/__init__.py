"""What is in a trace."""
