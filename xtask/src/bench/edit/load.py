# Loads the shared library each line of standard input names, with all symbols bound, in a child of its own; answers
# each with "ok" or with what went wrong.
import ctypes, os, signal, sys, tempfile

for line in sys.stdin:
    path = line.rstrip("\n")
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            try:
                ctypes.CDLL(path, os.RTLD_NOW)
            except OSError as error:
                os.write(2, str(error).encode())
                os._exit(1)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        said.seek(0)
        text = said.read(2000).decode(errors="replace").replace("\n", " ")
    answer = "ok" if status == 0 else f"status {status}: {text}"
    print(answer, flush=True)
