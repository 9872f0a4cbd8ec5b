"""Snapshots of a run's weights and optimizer, to find out later where two runs part."""
