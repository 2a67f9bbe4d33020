"""A metric script, loaded through `gpt2lessons.metrics.load`."""
