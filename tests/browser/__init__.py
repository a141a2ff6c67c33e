"""What a real browser makes of the pages that ordain writes. It is started often and slowly, so `make test-browser` runs these."""
