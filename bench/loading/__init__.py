"""How fast weights get from where they are stored to where they are used."""
