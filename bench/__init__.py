"""Programs that measure: speed against the hardware and against peers, memory, fidelity.

Each one says what it measures and what the floor is: ``python -m bench.NAME --help``.
All of them, with a summary: ``python -m bench --quick``.
"""
