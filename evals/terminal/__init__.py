"""What commands show to a person: tables that fit the terminal, runs, a single sample. Nothing here prints."""
