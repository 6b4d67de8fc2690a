"""Six families of classifiers: the map against batched crops, against sliding-window code in PyTorch, and against arithmetic."""
