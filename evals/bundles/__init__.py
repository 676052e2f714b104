"""A run as one file that anybody can check: packing and verifying."""
