"""The functions that SQL calls: declared without what only their bodies need, and each with a body."""

from __future__ import annotations

import subprocess
import sys

from pyflink.table.udf import UserDefinedFunctionWrapper

from udfs import bodies, functions


def test_to_declare_the_functions_takes_neither_pandas_nor_a_client_of_a_store():
    code = "import sys, udfs.functions; print({'pandas', 'pyarrow', 'redis', 'happybase'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_each_function_has_a_body():
    declared = {name: made for name, made in vars(functions).items() if isinstance(made, UserDefinedFunctionWrapper)}
    assert len(declared) > 20
    for name, made in declared.items():
        assert issubclass(getattr(bodies, made._func._named), bodies.Body), name
        assert made._deterministic == made._func.is_deterministic(), name
