"""What runs over several seeds, or over one test split, say about which model is better."""
