"""minnet beside its peers."""
