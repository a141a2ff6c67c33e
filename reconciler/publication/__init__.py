"""What both zones use: the store, keys and TUF metadata."""
