"""What this host believes, and why: root metadata, the TUF client's order of checks, and the floors below which nothing goes."""
