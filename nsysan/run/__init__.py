"""Many traces on one clock: their ranks, steps and collectives are those of one run."""
