"""Make empty folders at PATHS and give the folders above them other permissions."""

import os
import sys

for path in sys.argv[1:]:
    os.makedirs(path)
    above = os.path.dirname(path)
    if above:
        os.chmod(above, 0o777)
