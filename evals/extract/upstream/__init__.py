"""How other harnesses read an answer out of a reply, as published, defects included and named."""
