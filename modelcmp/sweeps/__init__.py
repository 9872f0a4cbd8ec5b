"""Sweeps over hyperparameters, trials over seeds, and how sure their figures make us."""
