"""Texts, molecules, crystals, formulas and media of models and data sets, made safe to show."""
