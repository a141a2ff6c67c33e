"""Fleet repository files, read into documents; see `tree` for where the bytes come from."""
