"""What needs a machine to itself: packages installed into a clean system. Slow, as root, and run by `make test-hosts`."""
