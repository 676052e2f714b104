"""What the pages show, as tables: a module per page, named like it, and what they share. Nothing here draws."""
