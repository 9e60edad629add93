"""Many pictures: their sources, the run, what is kept of it, the report."""
