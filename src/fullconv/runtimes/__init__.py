"""Engines that run a lowered network."""
