"""The command line, and the composition root: it builds the parts, hands them to each other, and prints."""
