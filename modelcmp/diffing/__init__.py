"""Where two runs part: pairing dumps and tensors, measuring, and a verdict in words."""
