"""What runtimes, tools and the kernel print when memory runs out.

Regular expressions for bytes and `re.MULTILINE`. Each begins at the start of a line: a test
named `test_oom`, source text or a sentence about memory must not count, and neither does a
plain `Killed`, which has many causes.
"""

OOM_MARKERS = (
    # Python, with the module that numpy and others put before the name
    r"^(?:\[rank\d+\]: ?)?(?:\w+\.)*_?(?:Array)?MemoryError(?::|\s*$)",
    # torch, CUDA, TensorFlow, JAX
    r"^(?:\[rank\d+\]: ?)?(?:torch(?:\.cuda)?|cupy\.cuda\.memory)\.OutOfMemoryError: ",
    r"^(?:\[rank\d+\]: ?)?(?:\w+\.)*\w+Error: CUDA (?:error: )?out of memory",
    r"^(?:\w+\.)*ResourceExhaustedError: .*OOM when allocating",
    r"^(?:\w+\.)*XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory",
    # Java and its build tools
    r'^(?:\[(?:ERROR|error)\] |Exception in thread ".*?" |Caused by: |Terminating due to |'
    r"Exception: )?java\.lang\.OutOfMemoryError\b",
    r"^# There is insufficient memory for the Java Runtime Environment to continue",
    # Node, Deno
    r"^FATAL ERROR: .*\b(?:heap|process) out of memory",
    r"^(?:# )?Fatal JavaScript out of memory: ",
    r"^(?:Uncaught )?Error \[ERR_WORKER_OUT_OF_MEMORY\]: .*memory",
    # Go
    r"^(?:fatal error: )?(?:runtime: )?out of memory(?:: cannot allocate|\s*$)",
    r"^fatal error: runtime: cannot allocate memory",
    # Rust
    r"^memory allocation of \d+ bytes failed",
    # C and C++
    r"^terminate called after throwing an instance of 'std::bad_alloc'",
    r"^libc\+\+abi: terminating .*\bstd::bad_alloc",
    r"^==\d+== ?ERROR: (?:AddressSanitizer: out of memory|libFuzzer: out-of-memory)",
    # gcc, clang, ld
    r"^(?:\S+: )?virtual memory exhausted: Cannot allocate memory",
    r"^\S+: out of memory allocating \d+ bytes",
    r"^\S+: (?:fatal error: Killed signal terminated program|internal compiler error: Killed)",
    r"^collect2: fatal error: ld terminated with signal 9 \[Killed\]",
    r"^\S*ld(?:\.\w+)?: (?:final link failed: )?memory exhausted",
    r"^LLVM ERROR: out of memory",
    # the kernel, with what dmesg or syslog put before it
    r"^(?:(?:[A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-\d\d-\d\dT\S{8,24}) \S{1,64} kernel: ?)?"
    r"(?:\[[^\]\n]{1,40}\] ?)?"
    r"(?:Memory cgroup out|Out) of memory: Kill(?:ed)? process \d+",
    # Slurm
    r"^slurmstepd(?:-\S+)?: error: .*(?:oom[-_]kill event|[Ee]xceeded (?:job |step )?memory limit)",
    r"^srun: error: .*: Out Of Memory\s*$",
    # PHP, Ruby, R, OCaml, .NET, Erlang, Julia, Perl
    r"^(?:PHP )?Fatal error: +(?:Allowed memory size of \d+ bytes exhausted|Out of memory \()",
    r"^(?:\S+:\d+:in .*: |\[FATAL\] )?failed to allocate memory(?: \(NoMemoryError\)|\s*$)",
    r"^Error(?: in .{1,200}?)? ?: (?:cannot allocate (?:vector|memory block) of size|"
    r"(?:vector )?memory exhausted \(limit reached\?\)|vector memory limit of)",
    r"^Fatal error: (?:exception (?:Stdlib\.)?Out_of_memory|[Oo]ut of memory\.?\s*$)",
    r"^Unhandled exception\. System\.OutOfMemoryException\b",
    r"^eheap_alloc: Cannot allocate \d+ bytes of memory",
    r"^ERROR: OutOfMemoryError\(\)",
    r"^Out of memory(?: in perl:|[!.]?\s*$)",
)

# Every line that one of them matches holds at least one of these: searching for plain bytes is
# far faster, and most logs hold none.
LITERALS = (
    b"emory",
    b"std::bad_alloc",
    b"Killed",
    b"slurmstepd",
    b"OOM when allocating",
    b"cannot allocate ",
)
