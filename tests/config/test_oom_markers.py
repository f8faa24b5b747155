"""The list of out-of-memory markers that ships: what it finds, and what it leaves alone."""

import json
import re
import time
import unittest

from openloop.config import config
from openloop.config.oom_markers import LITERALS, OOM_MARKERS

OOM_LINES = """\
MemoryError
MemoryError: Unable to allocate 1.00 TiB
numpy.core._exceptions._ArrayMemoryError: Unable to allocate 7.28 TiB for an array
numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.28 TiB for an array
[rank0]: MemoryError: bad allocation
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.
torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB
[rank3]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.
cupy.cuda.memory.OutOfMemoryError: Out of memory allocating 8,000,000,000 bytes
RuntimeError: CUDA out of memory. Tried to allocate 20.00 MiB
RuntimeError: CUDA error: out of memory
torch.AcceleratorError: CUDA error: out of memory
tensorflow.python.framework.errors_impl.ResourceExhaustedError: OOM when allocating tensor
jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 4294 bytes.
Exception in thread "main" java.lang.OutOfMemoryError: Java heap space
java.lang.OutOfMemoryError: GC overhead limit exceeded
Caused by: java.lang.OutOfMemoryError: Metaspace
Terminating due to java.lang.OutOfMemoryError: Java heap space
[ERROR] java.lang.OutOfMemoryError: Java heap space
# There is insufficient memory for the Java Runtime Environment to continue.
FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory
FATAL ERROR: CALL_AND_RETRY_LAST Allocation failed - JavaScript heap out of memory
FATAL ERROR: NewSpace::Rebalance Allocation failed - process out of memory
# Fatal JavaScript out of memory: Reached heap limit
Error [ERR_WORKER_OUT_OF_MEMORY]: Worker terminated due to reaching memory limit
fatal error: runtime: out of memory
runtime: out of memory: cannot allocate 8388608-byte block (66961408 in use)
fatal error: out of memory
fatal error: runtime: cannot allocate memory
memory allocation of 1073741824 bytes failed
terminate called after throwing an instance of 'std::bad_alloc'
libc++abi: terminating due to uncaught exception of type std::bad_alloc: std::bad_alloc
libc++abi: terminating with uncaught exception of type std::bad_alloc
==4242==ERROR: AddressSanitizer: out of memory: allocator is trying to allocate 0x1 bytes
==4242== ERROR: libFuzzer: out-of-memory (used: 2050Mb; limit: 2048Mb)
cc1plus: out of memory allocating 65536 bytes after a total of 1212416 bytes
virtual memory exhausted: Cannot allocate memory
g++: fatal error: Killed signal terminated program cc1plus
x86_64-linux-gnu-gcc: fatal error: Killed signal terminated program cc1
g++: internal compiler error: Killed (program cc1plus)
collect2: fatal error: ld terminated with signal 9 [Killed]
/usr/bin/ld: final link failed: memory exhausted
ld.bfd: memory exhausted
LLVM ERROR: out of memory
Out of memory: Killed process 4242 (python) total-vm:8000kB, anon-rss:7000kB
Out of memory: Kill process 4242 (python) score 900 or sacrifice child
[12345.678901] Out of memory: Killed process 4242 (python) total-vm:8000kB
[    5.678901] Memory cgroup out of memory: Killed process 4242 (stress)
[Mon Nov 23 18:19:01 2026] Out of memory: Killed process 4242 (java)
Nov 23 18:19:01 host kernel: [12345.678901] Out of memory: Killed process 4242 (java)
Nov 23 18:19:01 host kernel: Memory cgroup out of memory: Killed process 4242 (java)
slurmstepd: error: Detected 1 oom_kill event in StepId=1234.0.
slurmstepd: error: Detected 1 oom-kill event(s) in step 1234.batch cgroup.
slurmstepd: error: Exceeded job memory limit
slurmstepd-node7: error: Step 1.0 exceeded memory limit (9 > 8), being killed
srun: error: node7: task 0: Out Of Memory
PHP Fatal error:  Allowed memory size of 134217728 bytes exhausted (tried to allocate 20480 bytes)
Fatal error: Allowed memory size of 134217728 bytes exhausted (tried to allocate 20480 bytes)
PHP Fatal error:  Out of memory (allocated 2097152) (tried to allocate 20480 bytes)
app.rb:1:in `*': failed to allocate memory (NoMemoryError)
-e:1:in 'String#*': failed to allocate memory (NoMemoryError)
[FATAL] failed to allocate memory
Error: cannot allocate vector of size 7.5 Gb
Error in matrix(0, 1e5, 1e5) : cannot allocate vector of size 74.5 Gb
Error: vector memory exhausted (limit reached?)
Error: vector memory limit of 16.0 Gb reached, see mem.maxVSize()
Fatal error: exception Out_of_memory
Fatal error: exception Stdlib.Out_of_memory
Fatal error: out of memory.
Unhandled exception. System.OutOfMemoryException: Array dimensions exceeded supported range.
eheap_alloc: Cannot allocate 1140328500 bytes of memory (of type "heap").
ERROR: OutOfMemoryError()
Out of memory!
Out of memory
Out of memory in perl:util:safesysrealloc""".splitlines()
BENIGN_LINES = """\
Killed
make: *** [Makefile:3: check] Killed
test_oom (tests.test_limits.Limits.test_oom) ... ok
test_out_of_memory PASSED
tests/test_oom.py::test_memory_error PASSED [ 50%]
    raise MemoryError("simulated")
    except MemoryError:
class MyMemoryError(Exception):
  MemoryError
MemoryErrorTest passed
E       MemoryError
FAILED tests/test_a.py::test_b - MemoryError
ok 5 - handles java.lang.OutOfMemoryError
// throws java.lang.OutOfMemoryError when full
# Out of memory handling
Out of memory handling: see the manual
* out of memory: what to do
out of memory tests: 12 passed
memory usage: 512 MB
collected 12 items
12 passed in 0.34s
free memory: 80 %
Peak memory allocation of the run: 3 MB
"Out of memory: Killed process" is what the kernel says
grep: Out of memory: Killed process not found
error: the process was killed by signal 9
std::bad_alloc is thrown when new fails
if (e instanceof OutOfMemoryError) {
Fatal error: cannot open file 'a.php'
Error: cannot allocate an agent
Error in f(x) : subscript out of bounds
slurmstepd: error: *** JOB 1 CANCELLED DUE TO TIME LIMIT ***
g++: fatal error: no input files
clang: error: no such file or directory
room zoom_killer bloom-killing
ld: cannot find -lfoo
ENOMEM""".splitlines()


class OomMarkers(unittest.TestCase):
    def setUp(self):
        self.compiled = [re.compile(marker.encode(), re.MULTILINE) for marker in OOM_MARKERS]

    def hits(self, line):
        log = f"first\n{line}\nlast\n".encode()
        return [marker.pattern for marker in self.compiled if marker.search(log)]

    def test_each_line_is_found_whatever_ends_it(self):
        for line in OOM_LINES:
            with self.subTest(line):
                self.assertTrue(self.hits(line))
                self.assertTrue(self.hits(line + "\r"))

    def test_benign_lines_are_not_found(self):
        for line in BENIGN_LINES:
            with self.subTest(line):
                self.assertEqual([], self.hits(line))

    def test_only_the_start_of_a_line_counts(self):
        for line in OOM_LINES:
            with self.subTest(line):
                self.assertEqual([], self.hits(f"the log said '{line}'"))
                self.assertEqual([], self.hits(f"    {line}"))

    def test_every_marker_is_needed_and_anchored(self):
        found = {pattern for line in OOM_LINES for pattern in self.hits(line)}
        self.assertEqual({marker.encode() for marker in OOM_MARKERS}, found)
        self.assertTrue(all(marker.startswith("^") for marker in OOM_MARKERS))

    def test_every_line_holds_a_literal_and_every_literal_is_needed(self):
        held = [[each for each in LITERALS if each in line.encode()] for line in OOM_LINES]
        self.assertTrue(all(held))
        self.assertEqual(set(LITERALS), {each[0] for each in held if len(each) == 1})

    def test_the_shipped_list_would_pass_as_a_persons_own(self):
        own = {"version": 1, "commands": {"verify": "x"}, "limits": {"oom_markers": OOM_MARKERS}}
        read = config.parse(json.dumps(own).encode(), where="openloop.json")
        self.assertEqual(OOM_MARKERS, read.limits.oom_markers)

    def test_a_long_line_without_end_takes_no_time(self):
        start = time.perf_counter()
        for text in (b"a" * 200_000, b"a." * 100_000, b"Error in " * 20_000, b"[" * 200_000):
            for marker in self.compiled:
                marker.search(text)
        self.assertLess(time.perf_counter() - start, 5)


if __name__ == "__main__":
    unittest.main()
