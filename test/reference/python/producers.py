"""Producers of the original Python client under load: submissions one after the other until the time is over.

usage: producers.py QUEUE OBJECT_STORE SECONDS THREADS
Every result is compared; a line comes after every fifty submissions, and the last line says how many submissions and operations were exact.
"""

import sys
import threading
import time

from opsqueue.producer import ProducerClient

queue, store, seconds, threads = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
until = time.monotonic() + seconds
counts = {"submissions": 0, "operations": 0, "errors": 0}
lock = threading.Lock()
wrong = []


def run(number):
    size = 1
    while time.monotonic() < until and not wrong:
        size = size % 40 + 3
        expected = [op + 1 for op in range(number, number + size * 10)]
        try:
            results = list(
                ProducerClient(queue, store).run_submission(
                    range(number, number + size * 10), chunk_size=size, strategic_metadata={"customer": number % 5}
                )
            )
        except Exception as error:  # the server was killed during a call that the original does not retry
            with lock:
                counts["errors"] += 1
            print(f"again after {type(error).__name__}: {error}", flush=True)
            time.sleep(0.2)
            continue
        with lock:
            if results != expected:
                wrong.append((number, size, results[:5]))
            counts["submissions"] += 1
            counts["operations"] += size * 10
            if counts["submissions"] % 50 == 0:
                print("fifty more", flush=True)


running = [threading.Thread(target=run, args=(n,)) for n in range(threads)]
for thread in running:
    thread.start()
for thread in running:
    thread.join()
print(f"exact: {counts['submissions']} submissions, {counts['operations']} operations, {counts['errors']} calls tried again")
sys.exit(1 if wrong else 0)
