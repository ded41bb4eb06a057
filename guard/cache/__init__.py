"""Hot reads: answers that are kept, given again while they are fresh, and late ones in need.

See ``docs/cache.md``.
"""

from guard.cache.hot_reads import HotReads
from guard.cache.keeping import Keeping, keeping

__all__ = ["HotReads", "Keeping", "keeping"]
