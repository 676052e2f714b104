"""The pages of a board, or of a results folder: static HTML, feeds, data and badges."""
