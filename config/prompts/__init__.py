"""What the gate says: the catalogue of strings and the sound files made from it."""
