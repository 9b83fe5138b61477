"""The speed of light: the least that a step of a model can take on its GPUs, and what the measured one lost to it."""
