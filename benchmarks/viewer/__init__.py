"""What a person waits for at the viewer."""
