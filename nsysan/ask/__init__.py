"""What an engineer asks of a trace: expressions of what should change, and what a step then takes."""
