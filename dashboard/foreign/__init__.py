"""What models and data sets wrote, made safe to show: text, molecules, crystals, formulas, media."""
