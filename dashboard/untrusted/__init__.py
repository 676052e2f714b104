"""Safe display of texts, molecules, crystals, formulas and media from models and data sets."""
