"""Import and export of other tools' formats, one module per format."""
