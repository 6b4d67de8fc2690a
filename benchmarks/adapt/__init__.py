"""How near a fitted head brings padded networks' maps to their crops, on pictures that it was not fitted on."""
