#!/usr/bin/env python3
"""Convert one ncnn network to the ONNX file that lives in the repository.

    python scripts/convert_ncnn.py NAME.param NAME.bin SCALE OUT.onnx [--expect SHA256]

Half-precision weights stay half in the file. The result is deterministic: the same input
gives the same bytes. Prints what belongs into catalog.toml and PROVENANCE.md.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from superres.models.ncnn import to_onnx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("param", type=Path)
    parser.add_argument("bin", type=Path)
    parser.add_argument("scale", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--expect", help="SHA-256 that the .bin file must have")
    args = parser.parse_args()
    weights = args.bin.read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    if args.expect not in (None, digest):
        sys.exit(f"{args.bin} has SHA-256 {digest}, not {args.expect}: refused.")
    data = to_onnx(args.param.read_text("ascii"), weights, args.scale).SerializeToString(
        deterministic=True
    )
    args.out.write_bytes(data)
    print(f"source sha256 {digest}")
    print(f"result sha256 {hashlib.sha256(data).hexdigest()} size {len(data)}")


if __name__ == "__main__":
    main()
