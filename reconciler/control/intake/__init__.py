"""What agents report: read strictly, checked, kept in batches, and acknowledged only after that."""
