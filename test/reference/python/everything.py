"""All that the original Python clients offer, once each, against a queue with --max-chunk-retries 2 and one worker.py.

usage: everything.py QUEUE OBJECT_STORE
Prints the name of each check that passed; any other outcome is an exception.
"""

import asyncio
import sys
import time

from opsqueue.consumer import ConsumerClient, Strategy
from opsqueue.exceptions import (
    SubmissionFailedError,
    SubmissionNotCancellableError,
    SubmissionNotFoundError,
)
from opsqueue.producer import ProducerClient

queue, store = sys.argv[1], sys.argv[2]
producer = ProducerClient(queue, store)


def check(name, condition):
    assert condition, name
    print(name, flush=True)


check("server_version", producer.server_version().startswith("v"))
check("run_submission", list(producer.run_submission(range(1000), chunk_size=10)) == list(range(1, 1001)))
check("texts", list(producer.run_submission(["a", "é"], chunk_size=1)) == ["A", "É"])
check("no operations", list(producer.run_submission([], chunk_size=10)) == [])


async def async_results():
    return [op async for op in await producer.async_run_submission(range(50), chunk_size=7)]


check("async_run_submission", asyncio.run(async_results()) == list(range(1, 51)))

number = producer.insert_submission(
    range(20), chunk_size=5, metadata=b"\x00\xff", strategic_metadata={"customer": 2**53 + 1, "shop": -(2**63)}
)
check("insert_submission", list(producer.blocking_stream_completed_submission(number)) == list(range(1, 21)))
check("try_stream_completed_submission", list(producer.try_stream_completed_submission(number))[0] == 1)
status = producer.get_submission_status(number)
check("status of a completed one", "Completed" in type(status).__name__ or "Completed" in repr(status))
check("metadata survives", b"\x00\xff" in [getattr(status.submission, "metadata", None)])

try:
    list(producer.run_submission([{"fail": "no luck"}], chunk_size=1))
    raise AssertionError("a failed submission must raise")
except SubmissionFailedError as error:
    check("run_submission of a failing one", "no luck" in str(error))
    failed = error.submission.id

try:
    producer.cancel_submission(failed)
    raise AssertionError("a failed submission cannot be cancelled")
except SubmissionNotCancellableError:
    check("cancel_submission of a failed one", True)

try:
    producer.cancel_submission(type(number)(12345))
    raise AssertionError("an unknown submission cannot be cancelled")
except SubmissionNotFoundError:
    check("cancel_submission of an unknown one", True)
check("status of an unknown one", producer.get_submission_status(type(number)(12345)) is None)
check("count_submissions", producer.count_submissions() == 0)
check("lookup_submission_id_by_prefix of an unknown one", producer.lookup_submission_id_by_prefix("nobody") is None)
check("lookup by metadata", producer.lookup_submission_ids_by_strategic_metadata({"customer": 77}) == [])

# By hand, while the worker is stopped by the caller: it says so with a line on standard input.
print("STOP WORKER", flush=True)
sys.stdin.readline()
consumer = ConsumerClient(queue, store)
held = producer.insert_submission_chunks([b"one", b"two", b"three"], strategic_metadata={"customer": 77})
check("lookup by metadata, found", producer.lookup_submission_ids_by_strategic_metadata({"customer": 77}) == [held])
check("count_submissions, one", producer.count_submissions() == 1)
chunks = consumer.reserve_chunks(max=2, strategy=Strategy.Oldest())
check("reserve_chunks", [bytes(chunk.input_content) for chunk in chunks] == [b"one", b"two"])
first, second = chunks
consumer.complete_chunk(first.submission_id, first.submission_prefix, first.chunk_index, b"ONE")
consumer.fail_chunk(second.submission_id, second.submission_prefix, second.chunk_index, "try again")
again = []
while len(again) < 2:  # the original's server may give the failed one only after the next
    again += consumer.reserve_chunks(max=2, strategy=Strategy.Oldest())
check("fail_chunk", sorted(bytes(chunk.input_content) for chunk in again) == [b"three", b"two"])
for chunk in again:
    consumer.complete_chunk(chunk.submission_id, chunk.submission_prefix, chunk.chunk_index, b"DONE")
results = [bytes(result) for result in producer.blocking_stream_completed_submission_chunks(held)]
check("complete_chunk", results == [b"ONE", b"DONE", b"DONE"])

doomed = producer.insert_submission(range(10), chunk_size=1)
producer.cancel_submission(doomed)
check("cancel_submission", "Cancelled" in repr(producer.get_submission_status(doomed)))
began = time.monotonic()
many = producer.insert_submission(range(100), chunk_size=1)
done = 0
while done < 100:
    for chunk in consumer.reserve_chunks(max=10, strategy=Strategy.Newest()):
        consumer.complete_chunk(chunk.submission_id, chunk.submission_prefix, chunk.chunk_index, chunk.input_content)
        done += 1
check("a hundred chunks by hand", len(list(producer.blocking_stream_completed_submission(many))) == 100)
print(f"a hundred chunks took {time.monotonic() - began:.2f} s", flush=True)
