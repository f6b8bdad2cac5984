"""The claims of "A lift for ICNN training", one row each, beside what was measured here."""
