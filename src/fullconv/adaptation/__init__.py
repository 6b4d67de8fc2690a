"""A head for a padded network, fitted to its own answers for crops: features, a ridge, and a ladder of heads."""
