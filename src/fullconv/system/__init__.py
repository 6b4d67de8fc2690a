"""What the machine gives: memory, and files written whole or not at all."""
