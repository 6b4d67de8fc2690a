"""Keras 3 and the HDF5 files of Keras 2, through Keras's own PyTorch backend."""
