"""A shop that exists only as numbers: its catalogue, its pictures, and the people who visit it."""
