"""``python -m service``: what an operator does to the service's data."""

from __future__ import annotations

import sys

from service.transfer.command import main

if __name__ == "__main__":
    sys.exit(main())
