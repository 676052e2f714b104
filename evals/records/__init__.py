"""What a run leaves on disk: the store, its file formats, the card."""
