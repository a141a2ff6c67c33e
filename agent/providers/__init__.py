"""One module per kind of resource: each observes, compares purely, then fixes."""
