"""The lowered form of any network in PyTorch: a module that trains, and an engine. Loaded on demand (extra ``torch``)."""
