"""A device of PyTorch behind the stream's door: pixels go up as they were read, what is stored comes down. Loaded on demand (extra ``torch``)."""
