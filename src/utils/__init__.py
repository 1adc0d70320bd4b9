"""General helpers: errors, files, processes, environment and console."""
