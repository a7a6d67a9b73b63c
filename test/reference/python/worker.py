"""A consumer of the original Python client, until it is killed.

usage: worker.py QUEUE OBJECT_STORE [strategy]
Ops: a text is upper-cased, a number is incremented, {"fail": text} raises.
"""

import sys

from opsqueue.consumer import ConsumerClient, Strategy


def work(op):
    if isinstance(op, dict):
        raise ValueError(op["fail"])
    return op.upper() if isinstance(op, str) else op + 1


strategy = {
    "oldest": Strategy.Oldest(),
    "newest": Strategy.Newest(),
    "random": Strategy.Random(),
    "distinct": Strategy.PreferDistinct(meta_key="customer", underlying=Strategy.Random()),
}[sys.argv[3] if len(sys.argv) > 3 else "random"]
while True:
    try:
        ConsumerClient(sys.argv[1], sys.argv[2]).run_each_op(work, strategy=strategy)
    except Exception as error:  # the connection broke: the original's loop ends, its users start it again
        print(f"again after {type(error).__name__}", flush=True)
