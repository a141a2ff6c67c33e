"""Whether what a release brought works here: probes, and the marks of releases that failed."""
