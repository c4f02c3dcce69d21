"""Installs the agent on a box and removes it. Standard library only: it runs directly from the wheel."""
