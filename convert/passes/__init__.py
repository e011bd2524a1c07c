"""One graph rewrite per file; ``convert.optimize`` runs them in order."""
