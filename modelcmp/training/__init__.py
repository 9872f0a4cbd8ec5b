"""Several architectures trained under identical settings, evaluated and ranked."""
