"""Tables that come with the package: kernels that communicate, engine step patterns, link speeds."""
