"""A map in the browser: a server for one person on this machine. It reads the results and the image that it was given, and nothing else."""
