"""Planning a sweep: its runs, what they cost, the frozen source."""
