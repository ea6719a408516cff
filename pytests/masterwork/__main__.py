"""python -m masterwork"""

import sys

from masterwork.cli import main

sys.exit(main())
