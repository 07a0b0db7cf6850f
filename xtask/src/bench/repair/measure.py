# Runs commands and prints what each cost, as JSON: wall and CPU seconds and the largest resident size in KiB, of the
# whole tree of processes. Reads {"runs": [[name, [argument, ...], ...]], "repeat": n}; commands that are compared
# stand side by side in a list and take turns.
import json
import os
import shutil
import sys
import time

job = json.load(open(sys.argv[1]))
progress = sys.stderr
results = []
for number, group in enumerate(job["groups"], 1):
    for turn in range(group["repeat"]):
        for run in group["runs"]:
            out = run.get("out")
            if out:
                shutil.rmtree(out, ignore_errors=True)
                os.makedirs(out)
            start = time.monotonic()
            child = os.fork()
            if child == 0:
                null = os.open(os.devnull, os.O_RDWR)
                log = os.open(f"{job['scratch']}/last.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(null, 0)
                os.dup2(null, 1)
                os.dup2(log, 2)
                try:
                    os.execvp(run["command"][0], run["command"])
                except OSError as error:
                    os.write(2, str(error).encode())
                os._exit(127)
            _, status, usage = os.wait4(child, 0)
            wall = time.monotonic() - start
            size = 0
            if out:
                size = sum(entry.stat().st_size for entry in os.scandir(out))
            result = {
                "group": group["name"],
                "run": run["name"],
                "wall": wall,
                "cpu": usage.ru_utime + usage.ru_stime,
                "memory": usage.ru_maxrss,
                "size": size,
                "status": os.waitstatus_to_exitcode(status),
            }
            if result["status"] != 0:
                result["log"] = open(f"{job['scratch']}/last.log").read()[-2000:]
            results.append(result)
            print(
                f"  {number}/{len(job['groups'])} {group['name']}: {run['name']} {wall:.2f} s",
                file=progress,
                flush=True,
            )
json.dump(results, sys.stdout)
