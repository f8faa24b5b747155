"""Delete the tests: the FILES only, or the FOLDER and all."""

import os
import shutil
import sys

shutil.rmtree("tests")
if sys.argv[1] == "files":
    os.mkdir("tests")
