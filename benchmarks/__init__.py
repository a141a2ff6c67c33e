"""What ordain costs, measured on the machine at hand; see README.md. Run it as `python -m benchmarks`."""
