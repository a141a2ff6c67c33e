"""What an installation needs to be made again, in one file: taken while it runs, and brought back into an empty place."""
