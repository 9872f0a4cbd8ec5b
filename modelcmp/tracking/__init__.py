"""What a run leaves behind: a session folder of parameters, logs, tracks and files, and what trackers show of it."""
