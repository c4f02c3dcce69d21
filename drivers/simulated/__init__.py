"""Simulated devices, people and street: the real drivers connect to them over ptys and loopback, without hardware."""
