"""What the sections of a sweep file are made of: frozen values, how one is refused, what a search optimises."""
