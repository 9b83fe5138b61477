"""Tensor-parallel decode on a machine made of arithmetic: what a run would take without its fault is known, not argued.

`program` is what a rank does in a step, `inputs` how long each piece of it takes in each step on each rank, `faults`
change inputs and can be taken out again, `machine` says when everything begins and ends, `truth` runs it again with
one thing changed, `export` writes it as nsys would. `cases` are runs that are known on paper, `scenarios` random ones.

Nothing here may import nsysan's replay or its figures: they are judged by it.
"""
