"""The profile cache: profiles by a digest of everything that decides them."""
