"""Foreign formats, a file each. What a source cannot say stays unknown; nothing is invented."""
