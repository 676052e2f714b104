"""The website of a board or of a results folder: static HTML pages, a feed, data and badges."""
