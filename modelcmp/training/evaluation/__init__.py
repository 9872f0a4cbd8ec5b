"""What a model's predictions are worth: pure functions on arrays, recomputable without the model."""
