"""The world outside the box, at the wire: what a bench without hardware plugs into the real drivers."""
