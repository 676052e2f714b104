"""The contents of the pages as tables: a module per page with its name, and shared modules. Nothing here draws."""
