"""Puts the agent on a box and takes it off again. Standard library only: it runs straight out of our own wheel."""
