"""The backend over any namespace of the array API standard."""
