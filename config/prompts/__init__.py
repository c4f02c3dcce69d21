"""The catalogue of texts, and the sound files made from it."""
