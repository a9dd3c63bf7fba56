"""VAE Lab."""

import os

# Between two parallel regions GNU OpenMP spins for the next one; on busy or few cores that starves whoever does the
# work (a 60-fold slowdown was seen). It reads this when torch loads it, so it must be set before.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
