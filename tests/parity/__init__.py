"""Generated pandas programs whose results in the engine must be pandas' own (design §2.1 says how exactly)."""
