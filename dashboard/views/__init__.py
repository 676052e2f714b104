"""The pages, one per module. Only these modules, `app.py` and `state.py` draw."""
