"""Pages that travel: a result, a study or a verification as one HTML file that opens anywhere, without a server, a network or a script."""
