"""How other harnesses extract an answer, as published, with their defects, which are named."""
