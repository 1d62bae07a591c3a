"""One module per command; each has `register(app)`. Heavy imports happen inside the commands."""
