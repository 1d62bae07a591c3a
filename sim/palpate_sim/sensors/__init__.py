"""Sensor models: each sees what physics lets it see, no more. Pure functions over batches of parts."""
