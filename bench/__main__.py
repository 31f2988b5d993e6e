"""``python -m bench``: all benchmarks."""

import sys

from .run_all import main

sys.exit(main())
