"""Tables -> figures (Altair). Nothing here reads or draws on a page."""
