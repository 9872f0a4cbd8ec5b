"""Machines and how long a model takes on them: data sheets, roofline, prediction."""
