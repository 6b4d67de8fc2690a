"""Many images by one network: a map of each, what is written of it, and one table of all."""
