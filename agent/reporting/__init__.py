"""What is said of a host: facts, the status of each fleet, receipts of what came of releases, and what runs."""
