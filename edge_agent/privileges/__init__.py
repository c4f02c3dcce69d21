"""What root does in a folder of another user, it does as that user."""
