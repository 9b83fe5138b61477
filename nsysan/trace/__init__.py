"""Read an nsys export: every nsys version in, one vocabulary of frames out."""
