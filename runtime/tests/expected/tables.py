#!/usr/bin/env python3
"""Makes the folder tables: ten rows as Parquet and as Arrow IPC, written by Arrow's own library.

    python tables.py            # needs pyarrow (26.0 made them); writes the folder beside this script

Row i has `weight` i + 0.25 (double), `label` i % 3 (int32), `code` 65000 + i (uint16), `half` i / 2 (halffloat), `even`
(bool), `species` (string), `pixels` [10 i, 10 i + 1, 10 i + 2] (fixed-size list of float), `holes` (int32, null in row 5),
`holed` (as `pixels`, with a null inside of row 6), `large` (uint64, 2^63 in row 7), `lists` (list of int64) and `day` (date).
Row groups and record batches have 4, 4 and 2 rows.
"""

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS, GROUP = range(10), 4
PIXELS = pa.list_(pa.float32(), 3)
TABLE = pa.table(
    {
        "weight": pa.array([i + 0.25 for i in ROWS], pa.float64()),
        "label": pa.array([i % 3 for i in ROWS], pa.int32()),
        "code": pa.array([65000 + i for i in ROWS], pa.uint16()),
        "half": pa.array([i / 2 for i in ROWS], pa.float16()),
        "even": pa.array([i % 2 == 0 for i in ROWS], pa.bool_()),
        "species": pa.array([["rose", "lily", "aster"][i % 3] for i in ROWS], pa.string()),
        "pixels": pa.array([[10 * i, 10 * i + 1, 10 * i + 2] for i in ROWS], PIXELS),
        "holes": pa.array([None if i == 5 else i for i in ROWS], pa.int32()),
        "holed": pa.array([[i, None if i == 6 else i, i] for i in ROWS], PIXELS),
        "large": pa.array([2**63 if i == 7 else i for i in ROWS], pa.uint64()),
        "lists": pa.array([[i] * i for i in ROWS], pa.list_(pa.int64())),
        "day": pa.array([datetime.date(2024, 1, 1 + i) for i in ROWS], pa.date32()),
    }
)

folder = Path(__file__).with_name("tables")
folder.mkdir(exist_ok=True)
for codec in ["snappy", "zstd", "none"]:
    pq.write_table(TABLE, folder / f"{codec}.parquet", compression=codec, row_group_size=GROUP)
for name, codec in [("plain", None), ("zstd", "zstd"), ("lz4", "lz4")]:
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_file(folder / f"{name}.arrow", TABLE.schema, options=options) as writer:
        writer.write_table(TABLE, max_chunksize=GROUP)
with pa.ipc.new_stream(folder / "stream.arrows", TABLE.schema) as writer:
    writer.write_table(TABLE, max_chunksize=GROUP)
