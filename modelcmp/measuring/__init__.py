"""Running models and probes here and now: how long, how much memory, and what the machine can do."""
