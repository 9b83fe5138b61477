"""What paces a step: the graph of who depends on whom, its replay, and what the step takes with one thing changed."""
