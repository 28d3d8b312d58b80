"""Run every benchmark in turn; each prints its own numbers beside its peer's."""

import importlib
import pkgutil
import time

import benchmarks


def main() -> None:
    for module in sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__)):
        if module == "__main__":
            continue
        print(f"\n== {module}", flush=True)
        began = time.perf_counter()
        importlib.import_module(f"benchmarks.{module}").main()
        print(f"   {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
