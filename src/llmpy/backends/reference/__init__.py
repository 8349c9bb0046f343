"""The backend in NumPy that defines every operation."""
