"""A judge model: how it is asked, how its verdict is read and combined with a rule, how far it can be trusted."""
