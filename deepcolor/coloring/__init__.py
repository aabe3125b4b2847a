"""The shipped stages: networks that colour grey photos, each starting from the best of the one before."""
