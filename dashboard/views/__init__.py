"""A page per file; the only place, beside `app.py` and `state.py`, that draws."""
