"""What the rows of a trace mean: ranks, classes of work, decode steps, matched collectives."""
