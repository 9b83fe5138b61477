"""Drive nsys: find it, ask what it can do, run it, check what came back."""
